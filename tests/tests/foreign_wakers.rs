//! Checks wakers that panic or fork when they are cloned, called or dropped, and a function that
//! forks while it creates a block. See `docs/foreign-code.md`.

#![allow(unsafe_code, reason = "waitpid, and a waker made by hand")]

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::process;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::time::Duration;

use shmlock::{Error, ExitHandlers, LockFuture, LockState, SharedBlock, ShmLock};
use shmlock_tests::hostile::{Solo, end_process, fork};
use shmlock_tests::{TestWaker, alone, poll, until};

const HERE: &str = "a lock of this process";
const NEVER: Duration = Duration::from_secs(3600);

/// The operations of a waker that are foreign code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Clone,
    Wake,
    Drop,
}

/// The operation at which a waker acts, and its act.
#[derive(Clone, Copy)]
struct Script {
    moment: Moment,
    act: fn(),
}

/// The number of acts begun.
static BEGUN: AtomicU32 = AtomicU32::new(0);
/// The number of calls that woke a waker.
static WOKEN: AtomicU32 = AtomicU32::new(0);

fn run(data: *const (), moment: Moment) {
    // SAFETY: a script that was leaked by `waker`.
    let script = unsafe { &*data.cast::<Script>() };
    if script.moment == moment {
        BEGUN.fetch_add(1, AcqRel); // partner: the loads of the tests
        (script.act)();
    }
}

const TABLE: RawWakerVTable = RawWakerVTable::new(
    |data| {
        run(data, Moment::Clone);
        RawWaker::new(data, &TABLE)
    },
    |data| {
        WOKEN.fetch_add(1, Release); // partner: the loads of the tests
        run(data, Moment::Wake);
        run(data, Moment::Drop);
    },
    |data| run(data, Moment::Wake),
    |data| run(data, Moment::Drop),
);

/// Makes a waker that acts by the script. The test's own copy is never dropped, because its drop
/// would act too.
fn waker(moment: Moment, act: fn()) -> std::mem::ManuallyDrop<Waker> {
    let script = Box::leak(Box::new(Script { moment, act }));
    // SAFETY:
    // - the functions of the table keep what `RawWakerVTable` asks for: the data is a leaked,
    //   immutable script.
    // - they may be called on any thread.
    std::mem::ManuallyDrop::new(unsafe { Waker::new(std::ptr::from_ref(script).cast(), &TABLE) })
}

fn poll_by<'a>(
    future: &mut LockFuture<'a>,
    waker: &Waker,
) -> Poll<Result<shmlock::Guard<'a>, Error>> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// Silences the panics of scripts.
fn begin() {
    std::panic::set_hook(Box::new(|panic| {
        if panic.payload().downcast_ref::<&str>() != Some(&"a waker") {
            eprintln!("{panic}");
        }
    }));
}

const PANIC: fn() = || panic!("a waker");

fn pair(name: &str) -> (ShmLock, ShmLock) {
    let open = || ShmLock::builder(name).poll_interval(NEVER).open().expect(HERE);
    (open(), open())
}

#[test]
fn a_waker_that_panics_in_its_drop_while_the_handle_closes_leaves_the_registry_whole() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let other = ShmLock::open(&name).expect(HERE);
        let child = fork(|_| {
            begin();
            ExitHandlers::all().install().expect("installed");
            let (holder, lock) = pair(&name);
            let _guard = holder.lock().expect("free");
            let lock = Box::new(lock);
            let waker = waker(Moment::Drop, PANIC);
            let mut waiting = lock.lock_async();
            assert!(poll_by(&mut waiting, &waker).is_pending());
            std::mem::forget(waiting);
            let closed = catch_unwind(AssertUnwindSafe(|| drop(lock)));
            assert!(closed.is_ok(), "a drop does not panic");
            // On the reactor's thread, if the wait's first sleep was over: perhaps only now.
            until(|| BEGUN.load(Acquire) > 0);
            process::exit(0); // the handlers go through the registry
        });
        child.ends_well();
        let guard = other.lock().expect("its owner has exited");
        guard.declare_consistent().expect("held");
    });
}

#[test]
fn a_waker_that_panics_in_its_drop_while_its_future_is_dropped_passes_the_wake_on() {
    alone!(|| {
        let fixture = Solo::new();
        begin();
        let (holder, lock) = pair(&fixture.name("l"));
        let guard = holder.lock().expect("free");
        let waker = waker(Moment::Drop, PANIC);
        let mut waiting = lock.lock_async();
        assert!(poll_by(&mut waiting, &waker).is_pending());
        drop(guard);
        let guard = holder.lock().expect("free"); // the release cleared WAITERS
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(waiting)));
        assert!(dropped.is_ok());
        // On the reactor's thread, if the release has woken that: perhaps only now.
        until(|| BEGUN.load(Acquire) > 0);
        assert!(
            lock.status().expect(HERE).waiters,
            "WAITERS is clear, though the dropped future may have used another waiter's wake"
        );
        drop(guard);
    });
}

#[test]
fn a_waker_that_panics_when_it_is_woken_or_dropped_keeps_no_other_task_asleep() {
    alone!(|| {
        let fixture = Solo::new();
        begin();
        let (holder, lock) = pair(&fixture.name("l"));
        let other = holder.try_clone().expect(HERE);
        for moment in [Moment::Wake, Moment::Drop] {
            let guard = holder.lock().expect("free");
            let panics = waker(moment, PANIC);
            let waker = TestWaker::new();
            let (mut bad, mut good) = (lock.lock_async(), other.lock_async());
            assert!(
                poll_by(&mut bad, &panics).is_pending() && poll(&mut good, &waker).is_pending()
            );
            let before = WOKEN.load(Acquire);
            drop(guard);
            until(|| WOKEN.load(Acquire) > before || waker.was_woken());
            drop(bad); // the drop passes the wake on if `bad` got it
            waker.wait();
            assert!(poll(&mut good, &waker).is_ready());
        }
    });
}

#[test]
fn a_waker_that_panics_when_it_is_cloned_leaves_no_wait_behind() {
    alone!(|| {
        let fixture = Solo::new();
        begin();
        let (holder, lock) = pair(&fixture.name("l"));
        let guard = holder.lock().expect("free");
        let panics = waker(Moment::Clone, PANIC);
        let mut waiting = lock.lock_async();
        assert!(
            catch_unwind(AssertUnwindSafe(|| poll_by(&mut waiting, &panics).is_ready())).is_err()
        );
        let waker = TestWaker::new();
        assert!(poll(&mut waiting, &waker).is_pending(), "it can be polled again");
        drop(guard);
        waker.wait();
        let Poll::Ready(Ok(guard)) = poll(&mut waiting, &waker) else {
            panic!("it was woken, and the lock is free")
        };
        drop(guard);
        assert_eq!(lock.status().expect(HERE).state, LockState::Unlocked);
    });
}

/// Forks. The child continues after this call, like the parent. The parent waits until the child
/// ends, with status 0.
fn fork_here() {
    // SAFETY: fork(3) leaves libc's own locks free in the child. The child runs code of the library
    // only, which takes no lock that another thread may have, and ends at once.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        CHILD.store(1, Relaxed);
        return;
    }
    let mut status = 0;
    // SAFETY: a valid pointer, and a child of ours.
    let answer = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert!(answer == pid && status == 0, "a forked child ended by status {status:#x}");
    REAPED.fetch_add(1, AcqRel); // partner: the loads of the tests
}

static CHILD: AtomicU32 = AtomicU32::new(0);
static REAPED: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static IS_TASKS_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// Forks on the thread that polls. The reactor's thread drops a waker that it has woken.
fn fork_in_the_task() {
    if IS_TASKS_THREAD.get() {
        fork_here();
    }
}

/// Ends the child, whose call must be refused.
fn refused_in_child<T: fmt::Debug>(result: &Result<T, Error>) {
    if CHILD.load(Relaxed) == 1 {
        let well = matches!(result, Err(Error::ForkedHandle { .. }));
        if !well {
            eprintln!("in a forked child: {result:?}");
        }
        end_process::at_once(i32::from(!well));
    }
}

#[test]
fn a_waker_that_forks_when_it_is_cloned_or_dropped_gives_the_child_no_lock() {
    alone!(|| {
        let fixture = Solo::new();
        IS_TASKS_THREAD.set(true);
        let (holder, lock) = pair(&fixture.name("l"));
        for moment in [Moment::Clone, Moment::Drop] {
            let before = REAPED.load(Acquire);
            let forks = waker(moment, fork_in_the_task);
            // Again, if the first sleep was over before the future is dropped: the reactor's thread
            // has the waker then.
            while REAPED.load(Acquire) == before {
                let guard = holder.lock().expect("free");
                let mut waiting = lock.lock_async();
                match poll_by(&mut waiting, &forks) {
                    Poll::Ready(result) => refused_in_child(&result),
                    Poll::Pending => {
                        let child = CHILD.load(Relaxed);
                        assert_eq!(child, 0, "a child waits for the lock of its parent");
                    }
                }
                drop(waiting);
                if CHILD.load(Relaxed) == 1 {
                    refused_in_child(&lock.try_lock());
                }
                drop(guard);
                drop(lock.lock().expect("free"));
            }
        }
    });
}

#[test]
fn a_waker_that_forks_when_it_is_woken_leaves_the_child_without_the_sleeping_thread() {
    alone!(|| {
        let fixture = Solo::new();
        let (holder, lock) = pair(&fixture.name("l"));
        for _ in 0..3 {
            let guard = holder.lock().expect("free");
            let forks = waker(Moment::Wake, fork_here);
            let before = REAPED.load(Acquire); // before the first sleep, which may end with a wake
            let mut waiting = lock.lock_async();
            assert!(poll_by(&mut waiting, &forks).is_pending());
            drop(guard);
            until(|| REAPED.load(Acquire) > before); // the child has ended with status 0
            assert!(poll_by(&mut waiting, &forks).is_ready());
        }
    });
}

#[test]
fn a_function_that_creates_a_block_and_forks_gives_the_child_no_block() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("b");
        let block = SharedBlock::<u64>::open_with(&name, |number| {
            *number = 5;
            fork_here();
        });
        refused_in_child(&block);
        assert_eq!(*block.expect("a block").lock().expect("free"), 5);
    });
}
