//! Checks users of one lock whose clocks differ: deadlines hold, and the age of a hold is wrong by
//! the difference.

use std::time::{Duration, Instant};

use shmlock::{ExitEvent, ShmLock};
use shmlock_tests::alone;
use shmlock_tests::hostile::{Child, Folder, Line, Solo, fork, shift_clocks};

const HERE: &str = "a lock";
const MANY_POLLS: Duration = Duration::from_millis(100);

/// Runs `body` in a process whose clocks are this many seconds ahead.
fn in_another_time(seconds: i64, body: impl FnOnce(&Line)) -> Child {
    fork(|line| {
        // Only children of ours are in the namespace.
        if shift_clocks(seconds) {
            fork(|_| body(line)).ends_well();
        } else {
            line.say(i64::MIN);
        }
    })
}

#[test]
fn deadlines_hold_among_processes_whose_clocks_differ() {
    const AHEAD: i64 = 1_000_000;
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let lock = folder.lock("l").open().expect(HERE);
        let guard = lock.lock().expect("free");
        let waiter = in_another_time(AHEAD, |line| {
            let event = ExitEvent::named_in("e", folder.path(), 0o600).expect("an event");
            let before_boot = Instant::now();
            for builder in [folder.lock("l"), folder.lock("l").exit_event(&event)] {
                let lock = builder.open().expect(HERE);
                let error = lock.try_lock_for(MANY_POLLS).expect_err("it is held");
                assert!(error.is_timed_out(), "{error:?}");
                assert!(before_boot.elapsed() >= MANY_POLLS);
            }
            line.ready();
            let lock =
                folder.lock("l").poll_interval(Duration::from_secs(3600)).open().expect(HERE);
            lock.acquire().expect("its holder wakes us");
        });
        if waiter.line().hear() == 0 {
            wait_for_waiter(&lock);
            drop(guard);
        }
        waiter.ends_well();
    });
}

fn wait_for_waiter(lock: &ShmLock) {
    shmlock_tests::until(|| lock.status().expect(HERE).waiters);
}

#[test]
fn the_age_of_a_hold_is_wrong_by_the_difference_of_the_clocks() {
    const AHEAD: i64 = 1_000_000;
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let since =
            |lock: &ShmLock| lock.holder().expect(HERE).expect("held").since().expect("its record");
        let (ours, theirs) =
            (folder.lock("ours").open().expect(HERE), folder.lock("theirs").open().expect(HERE));
        ours.acquire().expect("free");
        let other = in_another_time(AHEAD, |line| {
            let (ours, theirs) = (
                folder.lock("ours").open().expect(HERE),
                folder.lock("theirs").open().expect(HERE),
            );
            let seen = since(&ours);
            theirs.acquire().expect("free");
            assert_eq!(since(&theirs), Duration::ZERO, "its own clock");
            line.say(i64::try_from(seen.as_secs()).expect("not so long"));
            line.wait();
        });
        let seen = other.line().hear();
        if seen != i64::MIN {
            assert!(seen >= AHEAD - 1, "our hold does not look that much older there: {seen}");
            assert_eq!(
                since(&theirs),
                Duration::ZERO,
                "their hold, which begins in the future here, has an age"
            );
            other.line().ready();
        }
        other.ends_well();
        ours.release().expect("held");
    });
}
