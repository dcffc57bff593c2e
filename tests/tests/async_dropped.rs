//! Checks waits of tasks that are dropped, forgotten, or copied by fork(2): no other waiter loses a
//! wake.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use shmlock::{Error, LockFuture, ShmLock, WaitStrategy};
use shmlock_tests::hostile::{Denied, Folder, If, Intruder, Mode, Solo, WATCHERS, deny, fork};
use shmlock_tests::proc::{comes_to_rest, falls_asleep_on_a_word, sleeps_on_words, threads_named};
use shmlock_tests::{
    Capability, Fixture, TestWaker, actor, alone, can, poll, quietly, rounds, until,
};

const HERE: &str = "a lock of this process";

/// A poll interval longer than any test: a waiter that needs it to make progress hangs.
const NEVER: Duration = Duration::from_secs(3600);

/// The name of the thread that sleeps for tasks.
const HELPER: &str = "shmlock-async";

/// Checks that a waiter is woken that is behind a task in the kernel's queue. `drop_around` drops
/// the task's future, before or after it calls the function that releases the lock.
///
/// No watch of the lock replaces a wake: this process can start no thread for it, and two processes
/// seem to watch already. So after its first sleep, of a millisecond, each sleeps for an hour.
fn wakes_the_next_waiter(drop_around: impl Fn(LockFuture<'_>, &mut dyn FnMut())) {
    let fixture = Solo::new();
    let (name, elsewhere) = (fixture.name("l"), fixture.name("elsewhere"));
    let (mut holder, mut waiter) = (actor!("{name}"), actor!("{name} poll=3600000"));
    let open = |name: &str, strategy| {
        ShmLock::builder(name).poll_interval(NEVER).wait_strategy(strategy).open().expect(HERE)
    };
    let lock = open(&name, WaitStrategy::Futex);
    let [there, there_too] = [(); 2].map(|()| open(&elsewhere, WaitStrategy::SleepPolling));
    let file = Intruder::on(&Path::new("/dev/shm").join(format!("{name}.shmlock")));
    assert!(file.lock(Mode::Write, &WATCHERS), "a process watches already");
    let _guard = there.lock().expect("free");
    let mut keeps_the_thread = there_too.lock_async();
    assert!(poll(&mut keeps_the_thread, &TestWaker::new()).is_pending());
    let denied = |call| Denied { call, when: If::Called, errno: libc::EAGAIN };
    if !deny(&[denied(libc::SYS_clone), denied(libc::SYS_clone3)]) {
        return;
    }
    for _ in 0..rounds(20) {
        holder.ask("lock l");
        let mut waiting = lock.lock_async();
        let waker = TestWaker::new();
        assert!(poll(&mut waiting, &waker).is_pending());
        waker.wait(); // the first sleep is over
        assert!(poll(&mut waiting, &TestWaker::new()).is_pending());
        until(|| sleeps_on_words(HELPER));
        drop_around(waiting, &mut || {
            waiter.tell("lock l");
            falls_asleep_on_a_word(waiter.pid());
            comes_to_rest(waiter.pid());
            holder.ask("release l");
        });
        waiter.done();
        waiter.ask("release l");
    }
}

/// The release wakes the first sleeper: the thread that sleeps for the task. If the task is dropped
/// before it is polled, the wake is passed on to the next waiter.
#[test]
fn a_future_dropped_after_its_wake_passes_the_wake_on() {
    if !can(Capability::SleepOnTwoWords) {
        return;
    }
    alone!(|| wakes_the_next_waiter(|waiting, release| {
        release();
        // If the thread took the wake, the drop passes it on; otherwise the waiter was woken and
        // has the lock.
        drop(waiting);
    }));
}

/// The thread keeps sleeping on the word of a dropped future, because it has other tasks to sleep
/// for. It is first in the kernel's queue.
#[test]
fn a_wake_for_a_future_that_was_dropped_is_passed_on_by_the_thread() {
    if !can(Capability::SleepOnTwoWords) {
        return;
    }
    alone!(|| wakes_the_next_waiter(|waiting, release| {
        drop(waiting);
        release();
    }));
}

#[test]
fn a_future_dropped_while_the_lock_is_held_leaves_waiters_set() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut holder = actor!("{name}");
    let lock = quietly(|| ShmLock::open(&name)).expect(HERE);
    holder.ask("lock l");
    let waker = TestWaker::new();
    let mut waiting = lock.lock_async();
    assert!(poll(&mut waiting, &waker).is_pending());
    holder.ask("release l");
    holder.ask("lock l"); // the release cleared WAITERS
    drop(waiting);
    assert!(
        lock.status().expect(HERE).waiters,
        "WAITERS is clear, though the dropped future may have used another waiter's wake"
    );
}

#[test]
fn the_thread_ends_when_no_task_waits_and_starts_again_for_the_next() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let holder = ShmLock::open(&name).expect(HERE);
        // Else the wait would be over after a millisecond, and the thread soon after.
        let polling = ShmLock::builder(&name).wait_strategy(WaitStrategy::SleepPolling);
        let lock = polling.poll_interval(NEVER).open().expect(HERE);
        for _ in 0..3 {
            let guard = holder.lock().expect("free");
            let waker = TestWaker::new();
            let mut waiting = lock.lock_async();
            assert!(poll(&mut waiting, &waker).is_pending());
            until(|| threads_named(HELPER) == 1); // the thread sets its own name
            drop(waiting);
            drop(guard);
            until(|| threads_named(HELPER) == 0);
        }
    });
}

#[test]
fn a_forgotten_future_leaves_only_waiters_set_even_if_its_handle_is_closed() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let interval = Duration::from_millis(1);
        let holder = ShmLock::open(&name).expect(HERE);
        let guard = holder.lock().expect("free");
        for _ in 0..rounds(50) {
            let lock = ShmLock::builder(&name).poll_interval(NEVER).open().expect(HERE);
            let mut waiting = lock.lock_async();
            assert!(poll(&mut waiting, &TestWaker::new()).is_pending());
            std::mem::forget(waiting);
            drop(lock); // unmaps the word that the thread sleeps on
            let other = ShmLock::builder(&name).poll_interval(interval).open().expect(HERE);
            let waker = TestWaker::new();
            let mut waiting = other.lock_async();
            assert!(poll(&mut waiting, &waker).is_pending());
            waker.wait(); // the thread has gone through its list since
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
            std::panic::resume_unwind(Box::new("a waker that panics"));
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
fn a_forked_child_leaves_its_parents_waits_alone_and_starts_a_thread_of_its_own() {
    if !can(Capability::KeepMemoryFromChildren) {
        return;
    }
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let open = || folder.lock("l").poll_interval(Duration::from_millis(1)).open().expect(HERE);
        let (holder, lock) = (open(), open());
        let guard = holder.lock().expect("free");
        // At its start and its end the thread has a mutex of the standard library, for which a
        // thread of the child would wait for ever. So it has started, and lasts.
        let polling = |interval| {
            let builder = folder.lock("l").wait_strategy(WaitStrategy::SleepPolling);
            builder.poll_interval(interval).open().expect(HERE)
        };
        let [lasting, brief] = [NEVER, Duration::from_millis(1)].map(polling);
        let (mut lasts, mut ends) = (lasting.lock_async(), brief.lock_async());
        let has_started = TestWaker::new();
        assert!(poll(&mut lasts, &TestWaker::new()).is_pending());
        assert!(poll(&mut ends, &has_started).is_pending());
        has_started.wait();
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
            waker.wait(); // the child's own thread reports that an interval is over
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
