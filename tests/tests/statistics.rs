//! Checks statistics: every acquisition is counted, every process sees the counts, and holds are
//! measured only on request.

use std::time::{Duration, Instant};

use shmlock::{Error, ShmLock, Statistics};
use shmlock_tests::hostile::{Folder, Intruder, Solo, fork};
use shmlock_tests::{Fixture, actor, alone, quietly};

const HERE: &str = "a lock of this process";

/// Returns the numbers of acquisitions, contended acquisitions and recoveries.
fn counts(statistics: Statistics) -> (u64, u32, u32) {
    (statistics.acquisitions, statistics.contended, statistics.recoveries)
}

#[test]
fn acquisitions_by_every_process_are_counted_and_nested_ones_are_not() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let lock = quietly(|| ShmLock::open(&name)).expect(HERE);
    assert_eq!(counts(lock.statistics().expect(HERE)), (0, 0, 0));
    let mut other = actor!("{name}");
    for _ in 0..3 {
        other.ask("lock l");
        other.ask("lock l"); // nested
        assert_eq!(other.ask("try l"), "true");
        for _ in 0..3 {
            other.ask("release l");
        }
    }
    let guard = lock.lock().expect("free");
    let seen = lock.statistics().expect(HERE);
    assert_eq!((counts(seen), Some(seen.acquisitions)), ((4, 0, 0), guard.fencing_token()));
    assert_eq!(seen.longest_hold, None, "measured without a request");
}

#[test]
fn an_acquisition_is_contended_if_it_found_the_lock_held() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let (mut holder, mut waiter) = (actor!("{name}"), actor!("{name}"));
    let lock = quietly(|| ShmLock::open(&name)).expect(HERE);
    let contended = || lock.statistics().expect(HERE).contended;
    holder.ask("lock l");
    assert_eq!(waiter.ask("try l"), "false");
    assert_eq!(waiter.refuse("for l 1"), "TimedOut");
    assert_eq!(contended(), 0, "a failed attempt was counted");
    // The failed waiter left WAITERS set. Release and acquire again, so that WAITERS then shows the
    // next waiter.
    holder.ask("release l");
    holder.ask("lock l");
    waiter.tell("lock l");
    holder.sees_a_waiter();
    holder.ask("release l");
    waiter.done();
    assert_eq!(contended(), 1);
    waiter.ask("release l");
    holder.ask("lock l");
    assert_eq!(contended(), 1, "an acquisition of a free lock counted as contended");
    holder.kill();
    assert_eq!(waiter.ask("try l"), "true");
    assert_eq!(
        counts(lock.statistics().expect(HERE)),
        (5, 2, 1),
        "a recovery did not count as contended"
    );
    waiter.ask("consistent l");
}

#[test]
fn every_process_sees_the_longest_hold() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let measuring = folder.lock("l").measure_holds(true).open().expect(HERE);
    let plain = folder.lock("l").open().expect(HERE);
    drop(plain.lock().expect("free"));
    assert_eq!(plain.statistics().expect(HERE).longest_hold, None);
    // A hold long enough to differ from the others, without sleeping. It begins between the first
    // two readings of the clock, however long the thread pauses there.
    let (before, guard) = (Instant::now(), measuring.lock().expect("free"));
    let begun = Instant::now();
    let nested = measuring.lock().expect("ours");
    while begun.elapsed() < Duration::from_millis(5) {}
    drop(nested);
    assert_eq!(plain.statistics().expect(HERE).longest_hold, None, "the hold is not over");
    drop(guard);
    let whole = before.elapsed();
    let longest = plain.statistics().expect(HERE).longest_hold.expect("measured");
    assert!((Duration::from_millis(4)..=whole).contains(&longest), "{longest:?} of {whole:?}");
    drop(measuring.lock().expect("free"));
    drop(plain.lock().expect("free"));
    let seen =
        folder.unchanged(|| folder.lock("l").inspect()).expect("may be read").expect("there");
    // The last hold is the longest one if the processor was taken from it.
    assert!(seen.statistics.longest_hold >= Some(longest), "{:?}", seen.statistics);
    assert_eq!(seen.statistics, plain.statistics().expect(HERE));
    assert!(
        seen.statistics
            .to_string()
            .contains("4 acquisitions, 0 contended, 0 recoveries, longest hold")
    );
}

#[test]
fn a_hold_of_more_than_32_bits_of_nanoseconds_is_stored_and_read_whole() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let measuring = folder.lock("l").measure_holds(true).open().expect(HERE);
    let intruder = Intruder::on(&folder.file("l"));
    let longest = || measuring.statistics().expect(HERE).longest_hold.expect("measured");
    intruder.scribble(132, 7);
    intruder.scribble(128, 5);
    assert_eq!(longest(), Duration::from_nanos((7 << 32) + 5));
    drop(measuring.lock().expect("free"));
    assert_eq!(longest(), Duration::from_nanos((7 << 32) + 5), "a shorter hold replaced it");
    intruder.scribble(132, 0);
    drop(measuring.lock().expect("free"));
    assert!(longest() > Duration::from_nanos(5) && longest() < Duration::from_secs(4));
    intruder.scribble(128, u32::MAX);
    intruder.scribble(132, u32::MAX);
    assert!(longest() > Duration::from_secs(1 << 33), "garbage is returned as it is");
}

#[test]
fn the_count_of_contended_acquisitions_wraps() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let lock = folder.lock("l").open().expect(HERE);
    Intruder::on(&folder.file("l")).scribble(60, u32::MAX);
    Intruder::on(&folder.file("l")).scribble(0, 0x0012_3456); // a dead owner
    lock.lock().expect("a dead owner's").declare_consistent().expect("held");
    assert_eq!(counts(lock.statistics().expect(HERE)), (1, 0, 1));
}

#[test]
fn a_forked_child_reads_no_statistics_through_its_parents_handle() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let lock = folder.lock("l").measure_holds(true).open().expect(HERE);
        let mut guard = Some(lock.lock().expect("free"));
        fork(|_| {
            assert!(matches!(lock.statistics(), Err(Error::ForkedHandle { .. })));
            drop(guard.take());
        })
        .ends_well();
        drop(guard);
        assert!(lock.statistics().expect(HERE).longest_hold.is_some());
    });
}
