//! A handle with `poisoning` acquires no lock whose protected data an owner may have left
//! half-written.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use shmlock::{Error, ShmLock};
use shmlock_tests::hostile::{Folder, Solo, fork};
use shmlock_tests::proc::falls_asleep_on_a_word;
use shmlock_tests::{Capability, TestWaker, actor, alone, can, poll};

const HERE: &str = "a lock of our own";

/// Panics while `begin`'s result lives, which the unwinding drops.
fn panics_while<T>(begin: impl FnOnce() -> T) {
    catch_unwind(AssertUnwindSafe(|| {
        let _held = begin();
        panic!("on purpose");
    }))
    .expect_err("it panics");
}

fn open(name: &str) -> ShmLock {
    ShmLock::builder(name).poisoning(true).open().expect(HERE)
}

fn is_poisoned<T>(answer: &Result<T, Error>) -> bool {
    answer.as_ref().is_err_and(Error::is_poisoned)
}

/// Declares the data consistent by a handle that may acquire the lock.
fn repair(name: &str) {
    let lock = ShmLock::open(name).expect(HERE);
    let guard = lock.lock().expect("free");
    assert!(guard.recovered().is_some(), "the lock was released with the notice");
    guard.declare_consistent().expect("held");
}

#[test]
fn every_call_that_acquires_is_refused_after_a_death_until_the_data_is_declared_consistent() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let lock = open(&name);
    let mut owner = actor!("{name}");
    owner.ask("lock l");
    let pid = owner.pid();
    owner.kill();
    match lock.lock() {
        Err(Error::Poisoned { dead: Some(dead), .. }) => assert_eq!(dead.pid(), Some(pid)),
        other => panic!("the first call recovers the lock and refuses it: {other:?}"),
    }
    let statistics = lock.statistics().expect(HERE);
    assert_eq!((statistics.recoveries, statistics.acquisitions), (1, 1), "the owner's alone");
    assert!(is_poisoned(&lock.lock()) && is_poisoned(&lock.try_lock()));
    assert!(is_poisoned(&lock.try_lock_for(Duration::ZERO)) && is_poisoned(&lock.acquire()));
    assert!(is_poisoned(&lock.try_acquire()));
    assert!(is_poisoned(&pollster::block_on(lock.lock_async())));
    assert!(!lock.is_held() && !lock.is_locked().expect(HERE), "a refusal holds nothing");
    repair(&name);
    assert_eq!(lock.lock().expect("consistent").recovered(), None);
}

/// Each waiter looks at the lock of its own accord once in an hour, so wakes alone end the waits.
#[test]
fn a_refused_waiter_wakes_the_next() {
    if !can(Capability::KeepMemoryFromChildren) {
        return; // an emulator does not show in which call a process sleeps either
    }
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let lock = open(&name);
        let guard = lock.lock().expect("free");
        let waiters = [(); 3].map(|()| {
            let waiter = fork(|_| {
                let hour = Duration::from_secs(3600);
                let builder = ShmLock::builder(&name).poisoning(true).poll_interval(hour);
                assert!(is_poisoned(&builder.open().expect(HERE).lock()));
            });
            falls_asleep_on_a_word(waiter.pid().unsigned_abs());
            waiter
        });
        panics_while(|| guard);
        for waiter in waiters {
            waiter.ends_well();
        }
        repair(&name);
    });
}

#[test]
fn a_panic_in_the_critical_section_counts_as_a_death() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let lock = open(&name);
    // By a guard, by a guard that is nested in another hold, and by a handle that is dropped.
    let in_guard = || panics_while(|| lock.lock().expect("consistent"));
    let sections: [&dyn Fn(); 3] = [
        &in_guard,
        &|| {
            let outer = lock.lock().expect("consistent");
            in_guard();
            assert!(lock.is_held());
            drop(outer);
        },
        &|| {
            panics_while(|| {
                let dropped = open(&name);
                dropped.acquire().expect("consistent");
                dropped
            });
        },
    ];
    for section in sections {
        section();
        assert!(matches!(lock.lock(), Err(Error::Poisoned { dead: None, .. })));
        repair(&name);
        assert_eq!(lock.lock().expect("consistent").recovered(), None);
    }
}

#[test]
fn a_panic_outside_of_the_critical_section_or_without_the_setting_is_no_death() {
    struct LocksInDrop<'a>(&'a ShmLock);
    impl Drop for LocksInDrop<'_> {
        fn drop(&mut self) {
            drop(self.0.lock().expect("consistent"));
        }
    }
    let fixture = Solo::new();
    let name = fixture.name("l");
    let lock = open(&name);
    panics_while(|| drop(lock.lock().expect("free")));
    drop(lock.lock().expect("the guard was dropped before the panic"));
    panics_while(|| LocksInDrop(&lock));
    drop(lock.lock().expect("a destructor's critical section is whole"));
    let plain = ShmLock::open(&name).expect(HERE);
    panics_while(|| plain.lock().expect("free"));
    drop(lock.lock().expect("that handle's panics are no deaths"));
}

#[test]
fn a_task_is_refused_and_its_future_is_done() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let (lock, owner) = (open(&name), open(&name));
    owner.acquire().expect("free");
    let waker = TestWaker::new();
    let mut waiting = lock.lock_async();
    assert!(poll(&mut waiting, &waker).is_pending());
    panics_while(|| owner);
    assert!(is_poisoned(&pollster::block_on(waiting)));
    repair(&name);
}

#[test]
fn a_block_is_refused_after_a_panic_and_keeps_the_data_from_before_it() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let builder = || folder.lock("b");
    let mut block = builder().poisoning(true).open_block::<u64>().expect(HERE);
    *block.lock().expect("free") = 1;
    *block.lock().expect("consistent") = 2;
    panics_while(|| {
        let mut guard = block.lock().expect("consistent");
        *guard = 3;
        guard
    });
    assert!(is_poisoned(&block.lock()));
    let mut repair = builder().open_block::<u64>().expect(HERE);
    let mut guard = repair.lock().expect("free");
    assert_eq!(*guard, 2, "what the panicking section wrote is discarded");
    shmlock::BlockGuard::declare_consistent(&mut guard).expect("held");
    drop(guard);
    assert_eq!(*block.lock().expect("consistent"), 2);
}
