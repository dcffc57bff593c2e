//! Checks how long waiters take to make progress after a death that cost an owner or a wake.

#![allow(unsafe_code, reason = "maps the word to wake waiters")]

use std::path::Path;
use std::ptr::null_mut;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::thread;
use std::time::{Duration, Instant};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::thread::futex;
use shmlock::{ShmLock, WaitStrategy};
use shmlock_tests::hostile::{Folder, Intruder, Mode, Solo, WATCHERS, fork};
use shmlock_tests::{actor, alone, proc, until};

/// Long, so that delays of a slow machine do not count.
const POLL: Duration = Duration::from_millis(600);
/// The time between two looks of a process that does not watch the lock.
const TICK: Duration = Duration::from_secs(1);
const HERE: &str = "a lock of this process";
const WAITERS: u32 = 1 << 31;

/// The owner has ended when its parent knows. A waiter that polls without the futex then needs an
/// interval at most. The second interval allows for a busy machine.
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

/// One of two watchers may become the owner, and does not see its own death.
#[test]
fn two_of_the_waiting_processes_watch_the_lock() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut owner = actor!("{name}");
    owner.ask("lock l");
    let file = Intruder::on(&Path::new("/dev/shm").join(&fixture.files()[0]));
    assert_eq!(file.watchers(), 0, "a process watches already");

    let mut waiters = [(); 3].map(|()| actor!("{name}"));
    for waiter in &mut waiters {
        waiter.tell("lock l");
    }
    let [one, other, mut last] = waiters;
    until(|| file.watchers() == 2);
    for (mut doomed, left) in [(one, 2), (other, 1)] {
        doomed.kill();
        until(|| file.watchers() == left); // those that remain
    }
    owner.ask("release l");
    last.done();
    until(|| file.watchers() == 0); // nobody waits
}

/// Another process holds the bytes of the watchers: a hostile one, or stopped ones.
#[test]
fn where_no_process_watches_a_death_is_noticed_within_a_second() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut owner = actor!("{name}");
    owner.ask("lock l");
    let file = Intruder::on(&Path::new("/dev/shm").join(&fixture.files()[0]));
    assert!(file.lock(Mode::Write, &WATCHERS), "a process watches already");
    let waiter = ShmLock::builder(&name).open().expect(HERE);
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
    assert!(took < 2 * TICK, "{took:?}");
}

/// Neither a probe nor anything else makes the sleeping waiter read the word. So a hang in another
/// test is a lost wake, or an overlooked death.
#[test]
fn a_waiter_with_a_long_interval_sleeps_until_it_is_woken() {
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
                "a death was reported"
            );
        });
        let pid = sleeper.pid().unsigned_abs();
        let is_asleep = || proc::sleeps(pid);
        // It has set WAITERS, is watched, and sleeps on the word alone.
        until(|| file.owner_word() & WAITERS != 0 && file.watchers() == 1);
        proc::wait_for_events_alone(&[pid]);
        file.scribble(0, WAITERS); // free, as a process leaves it that dies before its wake
        // The window in which nothing may happen; it synchronises nothing.
        thread::sleep(Duration::from_millis(100));
        assert!(is_asleep(), "it was not woken");
        drop(next.lock().expect("free")); // the next owner owes the wake
        sleeper.ends_well();
        assert!(guard.release().is_err(), "the release overlooked the overwritten word");
    });
}

/// The word came free without a wake, and without a death that would be an event: a woken waiter
/// was stopped.
#[test]
fn sleeping_waiters_whose_wake_was_lost_acquire_within_a_second() {
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
                        "a death was reported"
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
            assert!(took < 2 * TICK, "{took:?}");
        }
    });
    assert!(guard.release().is_err(), "the release overlooked the overwritten word");
}

/// The wakes come from a foreign process, or from other waiters. They do not show whether the owner
/// lives.
#[test]
fn a_waiter_that_is_woken_repeatedly_notices_a_death_within_an_interval() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut owner = actor!("{name}");
    owner.ask("lock l");
    let file = Intruder::on(&Path::new("/dev/shm").join(&fixture.files()[0]));
    // So no process watches.
    assert!(file.lock(Mode::Write, &WATCHERS), "a process watches already");
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
                // The rate of the wakes; it synchronises nothing.
                thread::sleep(Duration::from_millis(1));
            }
        });
        let waiting = scope.spawn(move || {
            let acquired = waiter
                .try_lock_for(20 * POLL)
                .map(|guard| guard.declare_consistent().expect("held"));
            (acquired, Instant::now())
        });
        owner.sees_a_waiter();
        owner.kill();
        let gone = Instant::now();
        let (acquired, end) = waiting.join().expect("no panic");
        is_over.store(true, Relaxed);
        acquired.expect("its owner is dead");
        end.saturating_duration_since(gone)
    });
    assert!(took < 2 * POLL, "{took:?}");
    // SAFETY: no thread uses the mapping any more.
    unsafe { munmap(map, 192) }.expect("ours");
}
