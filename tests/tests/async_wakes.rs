//! Checks what wakes a waiting task, and what a waiting task leaves in the word, poll by poll.

use std::fs;
use std::task::Poll;
use std::time::Duration;

use shmlock::{Error, ExitEvent, ShmLock, WaitStrategy};
use shmlock_tests::hostile::{Denied, Folder, If, Solo, deny};
use shmlock_tests::proc::falls_asleep_on_a_word;
use shmlock_tests::{Capability, Fixture, TestWaker, actor, alone, can, poll, quietly};

const HERE: &str = "a lock of this process";

/// A poll interval longer than any test: a waiter that needs it to make progress hangs.
const NEVER: Duration = Duration::from_secs(3600);

#[test]
fn an_exit_event_ends_a_wait_at_once() {
    if !can(Capability::SleepOnTwoWords) {
        return;
    }
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut holder = actor!("{name}");
    holder.ask("lock l");
    let local = ExitEvent::new();
    let named = quietly(|| ExitEvent::named(&name)).expect("an event");
    for event in [&local, &named] {
        let lock =
            quietly(|| ShmLock::builder(&name).poll_interval(NEVER).exit_event(event).open())
                .expect(HERE);
        let waker = TestWaker::new();
        let mut waiting = lock.lock_async();
        assert!(poll(&mut waiting, &waker).is_pending());
        event.set().expect("ours");
        waker.wait();
        assert!(matches!(poll(&mut waiting, &waker), Poll::Ready(Err(Error::Cancelled { .. }))));
        let again = poll(&mut lock.lock_async(), &waker);
        assert!(matches!(again, Poll::Ready(Err(Error::Cancelled { .. }))), "it is still set");
        event.clear().expect("ours");
    }
}

#[test]
fn a_task_notices_that_the_file_was_removed() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let holder = folder.lock("l").open().expect(HERE);
    let lock = folder.lock("l").poll_interval(Duration::from_millis(1)).open().expect(HERE);
    let _guard = holder.lock().expect("free");
    let waker = TestWaker::new();
    let mut waiting = lock.lock_async();
    assert!(poll(&mut waiting, &waker).is_pending());
    fs::remove_file(folder.file("l")).expect("ours");
    waker.wait();
    assert!(matches!(poll(&mut waiting, &waker), Poll::Ready(Err(Error::Orphaned { .. }))));
}

#[test]
fn a_handle_that_holds_the_lock_refuses_another_task() {
    let fixture = Fixture::new();
    let lock = quietly(|| ShmLock::open(&fixture.name("l"))).expect(HERE);
    let waker = TestWaker::new();
    let guard = lock.lock().expect("free");
    let answer = poll(&mut lock.lock_async(), &waker);
    let Poll::Ready(Err(error @ Error::AlreadyHeld { .. })) = answer else { panic!("{answer:?}") };
    assert!(error.to_string().contains("give each task a handle of its own"));
    assert!(lock.is_held());
    drop(guard);
    assert!(!lock.is_held(), "the refusal took nothing");
    assert!(matches!(poll(&mut lock.lock_async(), &waker), Poll::Ready(Ok(_))));
}

#[test]
fn a_task_that_acquires_after_waiting_keeps_waiters_set() {
    if !can(Capability::SleepOnTwoWords) {
        return;
    }
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let (mut holder, mut waiter) = (actor!("{name}"), actor!("{name} poll=3600000"));
    let lock = quietly(|| ShmLock::builder(&name).poll_interval(NEVER).open()).expect(HERE);
    holder.ask("lock l");
    let waker = TestWaker::new();
    let mut waiting = lock.lock_async();
    assert!(poll(&mut waiting, &waker).is_pending());
    waiter.tell("lock l");
    falls_asleep_on_a_word(waiter.pid());
    holder.ask("release l");
    if let Poll::Ready(guard) = poll(&mut waiting, &waker) {
        assert!(
            lock.status().expect(HERE).waiters,
            "WAITERS is clear, though another waiter sleeps"
        );
        drop(guard);
    }
    drop(waiting);
    waiter.done();
}

#[test]
fn without_futex_waitv_a_task_polls_after_each_interval() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let holder = ShmLock::open(&name).expect(HERE);
        if !deny(&[Denied { call: libc::SYS_futex_waitv, when: If::Called, errno: libc::ENOSYS }]) {
            return;
        }
        let lock =
            ShmLock::builder(&name).poll_interval(Duration::from_millis(1)).open().expect(HERE);
        let guard = holder.lock().expect("free");
        let waker = TestWaker::new();
        let mut waiting = lock.lock_async();
        assert!(poll(&mut waiting, &waker).is_pending());
        drop(guard);
        waker.wait();
        assert!(matches!(poll(&mut waiting, &waker), Poll::Ready(Ok(_))));
    });
}

#[test]
fn a_task_that_polls_by_the_clock_does_not_set_waiters() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut holder = actor!("{name}");
    holder.ask("lock l");
    let lock = quietly(|| {
        ShmLock::builder(&name)
            .wait_strategy(WaitStrategy::SleepPolling)
            .poll_interval(Duration::from_millis(1))
            .open()
    })
    .expect(HERE);
    let waker = TestWaker::new();
    let mut waiting = lock.lock_async();
    assert!(poll(&mut waiting, &waker).is_pending());
    assert!(!lock.status().expect(HERE).waiters);
    holder.ask("release l");
    waker.wait();
    assert!(matches!(poll(&mut waiting, &waker), Poll::Ready(Ok(_))));
}
