//! How long it takes until whoever waits gets on, after a death that cost the wake, or an owner.

#![allow(unsafe_code, reason = "maps the word that it wakes waiters on")]

use std::path::Path;
use std::ptr::null_mut;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::thread;
use std::time::{Duration, Instant};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::thread::futex;
use shmlock::{ShmLock, WaitStrategy};
use shmlock_tests::hostile::{Folder, Intruder, Mode, Solo, WATCH, fork};
use shmlock_tests::{actor, alone, proc, until};

/// Long, so that what the machine is slow at does not count.
const POLL: Duration = Duration::from_millis(600);
const HERE: &str = "a lock of this process";
const WAITERS: u32 = 1 << 31;

/// The owner is gone when its parent knows: then at most one interval passes. The other is for a
/// busy machine.
#[test]
fn the_death_of_an_owner_is_noticed_within_an_interval_of_its_end() {
    let fixture = Solo::new();
    for strategy in [WaitStrategy::Futex, WaitStrategy::SleepPolling] {
        let name = fixture.name("l");
        let mut owner = actor!("{name}");
        owner.ask("lock l");
        let waiter =
            ShmLock::builder(&name).poll_interval(POLL).wait_strategy(strategy).open().expect(HERE);
        thread::scope(|scope| {
            let waiting = scope.spawn(move || {
                waiter.lock().expect("its owner dies").declare_consistent().expect("held");
                Instant::now()
            });
            if strategy == WaitStrategy::Futex {
                owner.sees_a_waiter();
            }
            owner.kill();
            let gone = Instant::now();
            let took = waiting.join().expect("no panic").saturating_duration_since(gone);
            assert!(took < 2 * POLL, "{strategy:?}: {took:?}");
        });
    }
}

/// How soon it notices a death is figure R of `bench/comparison`.
#[test]
fn one_of_the_waiters_is_on_the_watch() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut owner = actor!("{name}");
    owner.ask("lock l");
    let file = Intruder::on(&Path::new("/dev/shm").join(&fixture.files()[0]));
    let is_watched = || file.lock_of_others(&(WATCH..=WATCH)).is_some();
    assert!(!is_watched(), "nobody waits");

    let mut waiters = [(); 3].map(|()| actor!("{name}"));
    for waiter in &mut waiters {
        waiter.tell("lock l");
    }
    let [one, other, mut last] = waiters;
    until(is_watched);
    for mut doomed in [one, other] {
        doomed.kill();
        until(is_watched); // by one of those who are left
    }
    owner.ask("release l");
    last.done();
    assert!(!is_watched(), "it waits no longer");
}

/// Because somebody else has its byte: an enemy, a watch that is stopped, or a child that was
/// forked while its parent was on the watch.
#[test]
fn a_watch_that_is_not_kept_costs_no_more_than_an_interval() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut owner = actor!("{name}");
    owner.ask("lock l");
    let file = Intruder::on(&Path::new("/dev/shm").join(&fixture.files()[0]));
    assert!(file.lock(Mode::Write, &(WATCH..=WATCH)), "nobody waits");
    let waiter = ShmLock::builder(&name).poll_interval(POLL).open().expect(HERE);
    let took = thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            waiter.lock().expect("its owner dies").declare_consistent().expect("held");
            Instant::now()
        });
        owner.sees_a_waiter();
        owner.kill();
        let gone = Instant::now();
        waiting.join().expect("no panic").saturating_duration_since(gone)
    });
    assert!(took < 2 * POLL, "{took:?}");
}

/// Until then neither the watch nor anything else has it look: what other tests call a wake that
/// was not lost is one.
#[test]
fn who_has_a_long_interval_sleeps_until_it_is_woken() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let (owner, next) =
            (folder.lock("l").open().expect(HERE), folder.lock("l").open().expect(HERE));
        let guard = owner.lock().expect("free");
        let file = Intruder::on(&folder.file("l"));
        let sleeper = fork(|_line| {
            let lock =
                folder.lock("l").poll_interval(Duration::from_secs(3600)).open().expect(HERE);
            assert!(
                lock.lock().expect("it comes free").recovered().is_none(),
                "nobody died in the section"
            );
        });
        let is_asleep = || proc::sleeps(sleeper.pid().unsigned_abs());
        until(|| file.owner_word() & WAITERS != 0 && is_asleep()); // it has marked the word, and sleeps on nothing else after that
        file.scribble(0, WAITERS); // free, as one leaves it who dies after passing on
        thread::sleep(Duration::from_millis(100)); // nothing is to happen meanwhile
        assert!(is_asleep(), "it was not woken");
        drop(next.lock().expect("free")); // whoever takes it owes the wake
        sleeper.ends_well();
        assert!(guard.release().is_err(), "the word was not ours any more");
    });
}

/// Sleepers and a word that came free without a wake: as an owner leaves them that dies between the
/// two, or a woken one that dies before it has marked again.
#[test]
fn sleepers_whose_wake_was_lost_get_on_within_an_interval_each() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let owner = folder.lock("l").open().expect(HERE);
    let guard = owner.lock().expect("free");
    let file = Intruder::on(&folder.file("l"));
    thread::scope(|scope| {
        let sleepers: Vec<_> = (0..2)
            .map(|_| {
                let lock = folder.lock("l").poll_interval(POLL).open().expect(HERE);
                scope.spawn(move || {
                    assert!(
                        lock.lock().expect("it comes free").recovered().is_none(),
                        "nobody died in the section"
                    );
                    Instant::now()
                })
            })
            .collect();
        until(|| file.owner_word() & WAITERS != 0);
        let freed = Instant::now();
        file.scribble(0, 0);
        for sleeper in sleepers {
            let took = sleeper.join().expect("no panic").saturating_duration_since(freed);
            assert!(took < 2 * POLL, "{took:?}");
        }
    });
    assert!(guard.release().is_err(), "the word was not ours any more");
}

/// By a stranger, or by what other waiters leave: a wake says nothing about whether the owner
/// lives.
#[test]
fn a_waiter_that_is_woken_again_and_again_notices_a_death_within_an_interval() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut owner = actor!("{name}");
    owner.ask("lock l");
    let file = Intruder::on(&Path::new("/dev/shm").join(&fixture.files()[0]));
    assert!(file.lock(Mode::Write, &(WATCH..=WATCH)), "nobody waits"); // so each sleep is an interval, but for the first
    // SAFETY: a new mapping at an address of the kernel's choice.
    let map = unsafe {
        mmap(null_mut(), 192, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, file.file(), 0)
    };
    let map = map.expect("a mapping");
    // SAFETY: mapped until the end of the test, aligned, and any value is one.
    let word = unsafe { &*map.cast::<AtomicU32>() };
    let waiter = ShmLock::builder(&name).poll_interval(POLL).open().expect(HERE);
    let is_over = AtomicBool::new(false);
    let took = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                futex::wake(word, futex::Flags::empty(), 1).expect("a word");
                thread::sleep(Duration::from_millis(1)); // how often, and no more
            }
        });
        let waiting = scope.spawn(move || {
            let taken = waiter
                .try_lock_for(20 * POLL)
                .map(|guard| guard.declare_consistent().expect("held"));
            (taken, Instant::now())
        });
        owner.sees_a_waiter();
        owner.kill();
        let gone = Instant::now();
        let (taken, end) = waiting.join().expect("no panic");
        is_over.store(true, Relaxed);
        taken.expect("its owner is dead");
        end.saturating_duration_since(gone)
    });
    assert!(took < 2 * POLL, "{took:?}");
    // SAFETY: nobody uses it any more.
    unsafe { munmap(map, 192) }.expect("ours");
}
