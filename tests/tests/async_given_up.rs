//! What is left of a wait in a task that is given up, forgotten, or copied by a fork: nothing that
//! anybody misses.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use shmlock::{Error, ShmLock};
use shmlock_tests::hostile::{Folder, Solo, fork};
use shmlock_tests::proc::{falls_asleep_on_a_word, sleeps_on_words, threads_named};
use shmlock_tests::{
    Capability, Fixture, TestWaker, actor, alone, can, poll, quietly, rounds, until,
};

const HERE: &str = "a lock of this process";

/// Longer than any test: who needs an interval to notice something does not get on.
const NEVER: Duration = Duration::from_secs(3600);

/// The thread that sleeps for tasks.
const HELPER: &str = "shmlock-async";

/// The release wakes whoever slept first: the thread that sleeps for the task. If the task is
/// dropped before it is polled, the wake is due to the next.
#[test]
fn a_future_dropped_after_its_wake_passes_the_wake_on() {
    if !can(Capability::SleepOnTwoWords) {
        return;
    }
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let (mut holder, mut waiter) = (actor!("{name}"), actor!("{name} poll=3600000"));
    let lock = quietly(|| ShmLock::builder(&name).poll_interval(NEVER).open()).expect(HERE);
    for _ in 0..rounds(20) {
        holder.ask("lock l");
        let waker = TestWaker::new();
        let mut waiting = lock.lock_async();
        assert!(poll(&mut waiting, &waker).is_pending());
        waiter.tell("lock l");
        falls_asleep_on_a_word(waiter.pid());
        holder.ask("release l");
        // Either the thread took the wake, and we pass it on; or the waiter had it, and has the
        // lock.
        drop(waiting);
        waiter.done();
        waiter.ask("release l");
    }
}

/// The thread goes on sleeping on the word of a future that has been dropped, for it has others to
/// sleep for, and is first in the kernel's queue.
#[test]
fn a_wake_for_a_future_that_was_dropped_is_passed_on_by_the_thread() {
    if !can(Capability::SleepOnTwoWords) {
        return;
    }
    alone!(|| {
        let fixture = Solo::new();
        let (name, elsewhere) = (fixture.name("l"), fixture.name("elsewhere"));
        let (mut holder, mut waiter) = (actor!("{name}"), actor!("{name} poll=3600000"));
        let open = |name: &str| {
            quietly(|| ShmLock::builder(name).poll_interval(NEVER).open()).expect(HERE)
        };
        let (lock, there, there_too) = (open(&name), open(&elsewhere), open(&elsewhere));
        let _guard = there.lock().expect("free");
        let waker = TestWaker::new();
        let mut keeps_it_busy = there_too.lock_async();
        assert!(poll(&mut keeps_it_busy, &waker).is_pending());
        for _ in 0..rounds(20) {
            holder.ask("lock l");
            let mut waiting = lock.lock_async();
            assert!(poll(&mut waiting, &waker).is_pending());
            until(|| sleeps_on_words(HELPER));
            drop(waiting);
            waiter.tell("lock l");
            falls_asleep_on_a_word(waiter.pid());
            holder.ask("release l");
            waiter.done();
            waiter.ask("release l");
        }
    });
}

#[test]
fn a_future_dropped_while_the_lock_is_held_leaves_the_mark_for_others() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut holder = actor!("{name}");
    let lock = quietly(|| ShmLock::open(&name)).expect(HERE);
    holder.ask("lock l");
    let waker = TestWaker::new();
    let mut waiting = lock.lock_async();
    assert!(poll(&mut waiting, &waker).is_pending());
    holder.ask("release l");
    holder.ask("lock l"); // the mark has gone with the release
    drop(waiting);
    assert!(lock.status().expect(HERE).waiters, "the wake that it used up may have been another's");
}

#[test]
fn when_nobody_waits_any_more_the_thread_ends_and_it_comes_back_when_it_is_needed() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let holder = ShmLock::open(&name).expect(HERE);
        let lock = ShmLock::builder(&name).poll_interval(NEVER).open().expect(HERE);
        for _ in 0..3 {
            let guard = holder.lock().expect("free");
            let waker = TestWaker::new();
            let mut waiting = lock.lock_async();
            assert!(poll(&mut waiting, &waker).is_pending());
            until(|| threads_named(HELPER) == 1); // it gives itself its name
            drop(waiting);
            drop(guard);
            until(|| threads_named(HELPER) == 0);
        }
    });
}

#[test]
fn a_future_that_is_forgotten_costs_nothing_but_its_mark_even_if_its_handle_is_closed() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let interval = Duration::from_millis(1);
        let holder = ShmLock::open(&name).expect(HERE);
        let guard = holder.lock().expect("free");
        for _ in 0..rounds(50) {
            let lock = ShmLock::builder(&name).poll_interval(NEVER).open().expect(HERE);
            let waker = TestWaker::new();
            let mut waiting = lock.lock_async();
            assert!(poll(&mut waiting, &waker).is_pending());
            std::mem::forget(waiting);
            drop(lock); // unmaps the word that is slept on
            let other = ShmLock::builder(&name).poll_interval(interval).open().expect(HERE);
            let mut waiting = other.lock_async();
            assert!(poll(&mut waiting, &waker).is_pending());
            waker.wait(); // the thread has looked at its list since
        }
        drop(guard);
        until(|| threads_named(HELPER) == 0);
    });
}

#[test]
fn a_waker_that_panics_does_not_keep_the_others_asleep() {
    struct Bomb;
    impl Wake for Bomb {
        fn wake(self: Arc<Self>) {
            std::panic::resume_unwind(Box::new("a waker of bad manners"));
        }
    }
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let open = || {
        quietly(|| ShmLock::builder(&name).poll_interval(Duration::from_millis(1)).open())
            .expect(HERE)
    };
    let (holder, one, other) = (open(), open(), open());
    let _guard = holder.lock().expect("free");
    for _ in 0..10 {
        let mut bad = one.lock_async();
        assert!(
            Pin::new(&mut bad)
                .poll(&mut Context::from_waker(&Waker::from(Arc::new(Bomb))))
                .is_pending()
        );
        let waker = TestWaker::new();
        let mut good = other.lock_async();
        assert!(poll(&mut good, &waker).is_pending());
        waker.wait();
    }
}

#[test]
fn a_forked_child_leaves_its_parents_waits_alone_and_has_a_thread_of_its_own() {
    if !can(Capability::KeepMemoryFromChildren) {
        return;
    }
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let open = || folder.lock("l").poll_interval(Duration::from_millis(1)).open().expect(HERE);
        let (holder, lock) = (open(), open());
        let guard = holder.lock().expect("free");
        let waker = TestWaker::new();
        let mut waiting = Some(lock.lock_async());
        assert!(poll(waiting.as_mut().expect("ours"), &waker).is_pending());
        let child = fork(|line| {
            let mut copy = waiting.take().expect("the child's copy");
            let waker = TestWaker::new();
            assert!(matches!(
                poll(&mut copy, &waker),
                Poll::Ready(Err(Error::ForkedHandle { .. }))
            ));
            drop(copy);
            let own = open();
            let mut waiting = own.lock_async();
            assert!(poll(&mut waiting, &waker).is_pending(), "the parent holds it");
            line.ready();
            waker.wait(); // an interval is over: its own thread says so
            loop {
                match poll(&mut waiting, &TestWaker::new()) {
                    Poll::Ready(guard) => break drop(guard.expect("it comes free")),
                    Poll::Pending => thread::yield_now(),
                }
            }
        });
        child.line().wait();
        drop(guard);
        child.ends_well();
        let mut waiting = waiting.expect("ours");
        waker.wait();
        assert!(matches!(poll(&mut waiting, &waker), Poll::Ready(Ok(_))), "undisturbed");
    });
}
