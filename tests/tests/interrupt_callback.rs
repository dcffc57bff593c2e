//! Checks the interrupt callback of a handle: when it is asked, what its answer does, and that no
//! wake is lost by it. `interrupt_callback_foreign.rs` has callbacks that panic, fork and so on.

#![allow(unsafe_code, reason = "signal handlers, kill, and a mapping to wake a waiter by")]

use std::io::{Read, Write};
use std::mem;
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::ptr::null_mut;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI64, AtomicU32};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::thread::futex;
use shmlock::{BlockSignals, Builder, Error, ExitEvent, ShmLock, WaitPoint, WaitStrategy};
use shmlock_tests::hostile::{Child, Denied, Folder, If, Intruder, Line, Solo, deny, fork};
use shmlock_tests::{Capability, TestWaker, alone, can, poll, proc, until};

const HERE: &str = "a lock of this process";
const HOUR: Duration = Duration::from_secs(3600);
const WAITERS: u32 = 1 << 31;

/// How many signals the handler has noted.
static SIGNALS: AtomicI64 = AtomicI64::new(0);

extern "C" fn on_signal(_: libc::c_int) {
    SIGNALS.fetch_add(1, Relaxed); // partner: the loads of the callbacks, on the same thread
}

/// Notes this signal from now on. With these flags of sigaction(2).
fn note(signal: i32, flags: i32) {
    // SAFETY: all zero is a valid action.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = on_signal as *const () as usize;
    action.sa_flags = flags;
    // SAFETY: a valid action, whose handler only counts.
    assert_eq!(unsafe { libc::sigaction(signal, &raw const action, null_mut()) }, 0);
}

fn kill(child: &Child, signal: i32) {
    // SAFETY: kill(2) with the number of a child that has not been waited for.
    assert_eq!(unsafe { libc::kill(child.pid(), signal) }, 0);
}

/// Waits until the child's first thread is in its long sleep.
fn falls_asleep(child: &Child) {
    let pid = child.pid().unsigned_abs();
    proc::comes_to_rest(pid);
    until(|| proc::sleeps(pid));
}

/// Ends a wait once a signal was noted, and says at which point.
fn ends_at_signals(builder: Builder, said: &'static AtomicI64) -> Builder {
    builder.interrupt(move |point| {
        if SIGNALS.load(Relaxed) == 0 {
            return ControlFlow::Continue(());
        }
        said.store(number(point), Relaxed);
        ControlFlow::Break(())
    })
}

fn number(point: WaitPoint) -> i64 {
    match point {
        WaitPoint::Begin => 1,
        WaitPoint::Signal => 2,
        WaitPoint::Elapsed => 3,
        WaitPoint::Wake => 4,
        _ => 0,
    }
}

/// Lets a child wait, sends it one signal in its sleep of an hour, and returns what its callback
/// was told.
fn signalled(signal: i32, flags: i32, options: impl Fn(Builder) -> Builder) -> i64 {
    static SAID: AtomicI64 = AtomicI64::new(0);
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let holder = folder.lock("l").open().expect(HERE);
    let guard = holder.lock().expect("free");
    let waiter = fork(|line| {
        note(signal, flags);
        let builder = options(folder.lock("l").poll_interval(HOUR));
        let lock = ends_at_signals(builder, &SAID).open().expect(HERE);
        line.ready();
        let error = lock.lock().expect_err("the lock is held for ever");
        assert!(error.is_interrupted() && error.holder().is_some(), "{error}");
        line.say(SAID.load(Relaxed));
        line.wait();
        SIGNALS.store(0, Relaxed);
        drop(lock.lock().expect("free again, and the handle is usable"));
    });
    waiter.line().wait();
    falls_asleep(&waiter);
    kill(&waiter, signal);
    let point = waiter.line().hear();
    guard.release().expect("held");
    waiter.line().ready();
    waiter.ends_well();
    point
}

#[test]
fn one_signal_ends_a_sleep_of_an_hour_however_the_waiter_sleeps() {
    alone!(|| {
        let signal = number(WaitPoint::Signal);
        for flags in [0, libc::SA_RESTART] {
            if flags != 0 && !can(Capability::EndSleepsByAnyHandler) {
                continue;
            }
            assert_eq!(signalled(libc::SIGUSR1, flags, |builder| builder), signal);
            let polls = |builder: Builder| builder.wait_strategy(WaitStrategy::SleepPolling);
            assert_eq!(signalled(libc::SIGUSR1, flags, polls), signal);
            let event = ExitEvent::new();
            let polls = |builder: Builder| polls(builder).exit_event(&event);
            assert_eq!(signalled(libc::SIGUSR1, flags, polls), signal);
        }
        let event = ExitEvent::new();
        let both = |builder: Builder| builder.exit_event(&event);
        assert_eq!(signalled(libc::SIGUSR1, 0, both), signal);
    });
}

/// The library blocks SIGTERM, but not in the sleep, and not while it asks.
#[test]
fn a_signal_that_the_library_blocks_ends_the_sleep_as_well() {
    alone!(|| {
        for block in [BlockSignals::Transitions, BlockSignals::WhileHeld] {
            let blocks = |builder: Builder| builder.block_signals(block);
            assert_eq!(signalled(libc::SIGTERM, 0, blocks), number(WaitPoint::Signal));
        }
    });
}

#[test]
fn a_callback_that_says_go_on_is_asked_at_each_signal_and_the_wait_goes_on() {
    static ASKED: AtomicI64 = AtomicI64::new(0);
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let holder = folder.lock("l").open().expect(HERE);
        let guard = holder.lock().expect("free");
        let (mut hear, say) = UnixStream::pair().expect("two descriptors");
        let waiter = fork(|line| {
            note(libc::SIGUSR1, 0);
            let say = say.try_clone().expect("a descriptor");
            let go_on = move |point| {
                if point == WaitPoint::Signal {
                    ASKED.fetch_add(1, Relaxed);
                    (&say).write_all(&[1]).expect("the test reads");
                }
                ControlFlow::Continue(())
            };
            let lock = folder.lock("l").poll_interval(HOUR).interrupt(go_on).open().expect(HERE);
            line.ready();
            drop(lock.lock().expect("released at last"));
            line.say(ASKED.load(Relaxed));
        });
        waiter.line().wait();
        for _ in 0..3 {
            falls_asleep(&waiter);
            kill(&waiter, libc::SIGUSR1);
            hear.read_exact(&mut [0]).expect("the callback was asked");
        }
        guard.release().expect("held");
        assert_eq!(waiter.line().hear(), 3);
        waiter.ends_well();
    });
}

/// A signal may come between the answer and the sleep.
#[test]
fn what_no_signal_tells_is_noticed_after_a_poll_interval() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let holder = ShmLock::open(&name).expect(HERE);
    let _guard = holder.lock().expect("free");
    for strategy in [WaitStrategy::Futex, WaitStrategy::SleepPolling] {
        let points = Arc::new(AtomicI64::new(0));
        let seen = Arc::clone(&points);
        let third = move |point| {
            let seen = seen.fetch_add(1, Relaxed);
            assert_eq!(point == WaitPoint::Begin, seen == 0, "{point:?} at {seen}");
            if seen < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let lock = ShmLock::builder(&name)
            .poll_interval(Duration::from_millis(2))
            .wait_strategy(strategy)
            .interrupt(third)
            .open()
            .expect(HERE);
        let ended = std::thread::scope(|scope| scope.spawn(move || lock.acquire()).join());
        let error = ended.expect("no panic").expect_err("interrupted");
        assert!(error.is_interrupted(), "{error}");
        assert_eq!(points.load(Relaxed), 4);
    }
}

/// Else it would be passed by the waiters that do not ask: each sleep begins at the end of the
/// queue. The first sleeps are short until the watch stands, on a busy machine for long. So the
/// test waits for a long sleep, and counts no short ones.
#[test]
fn a_waiter_that_no_signal_disturbs_sleeps_as_long_as_it_has_waited() {
    const LONG: Duration = Duration::from_millis(500);
    let fixture = Solo::new();
    let name = fixture.name("l");
    let holder = ShmLock::open(&name).expect(HERE);
    let _guard = holder.lock().expect("free");
    let asked = Mutex::new(Instant::now());
    let lock = ShmLock::builder(&name)
        .poll_interval(Duration::from_millis(1))
        .interrupt(move |_| {
            let last = mem::replace(&mut *asked.lock().expect("no panic"), Instant::now());
            if last.elapsed() < LONG { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .open()
        .expect(HERE);
    let ended = std::thread::scope(|scope| scope.spawn(move || lock.acquire()).join());
    assert!(ended.expect("no panic").is_err_and(|error| error.is_interrupted()));
}

#[test]
fn a_free_lock_is_acquired_and_a_held_one_is_tried_without_asking() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let refuses = |builder: Builder| builder.interrupt(|_| ControlFlow::Break(()));
    let lock = refuses(ShmLock::builder(&name)).open().expect(HERE);
    drop(lock.lock().expect("free"));
    drop(lock.try_lock_for(HOUR).expect("free"));
    let other = ShmLock::open(&name).expect(HERE);
    let _guard = other.lock().expect("free");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            assert!(lock.try_lock().expect("no wait").is_none());
            let zero = lock.try_lock_for(Duration::ZERO);
            assert!(zero.is_err_and(|error| error.is_timed_out()));
            let clone = lock.try_clone().expect(HERE);
            let waited = clone.lock();
            assert!(waited.is_err_and(|error| error.is_interrupted()), "a clone has it as well");
        });
    });
}

#[test]
fn the_wait_of_a_task_does_not_ask() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let holder = ShmLock::open(&name).expect(HERE);
    let guard = holder.lock().expect("free");
    let ask = |_| -> ControlFlow<()> { panic!("a task asks") };
    let lock = ShmLock::builder(&name).interrupt(ask).open().expect(HERE);
    let waker = TestWaker::new();
    let mut waiting = lock.lock_async();
    assert!(poll(&mut waiting, &waker).is_pending());
    guard.release().expect("held");
    waker.wait();
    assert!(matches!(poll(&mut waiting, &waker), Poll::Ready(Ok(_))));
}

#[test]
fn the_time_of_the_callback_counts_as_waiting() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let holder = ShmLock::open(&name).expect(HERE);
    let _guard = holder.lock().expect("free");
    let timeout = Duration::from_millis(5);
    let asked = Arc::new(AtomicI64::new(0));
    let count = Arc::clone(&asked);
    let slow = move |_| {
        count.fetch_add(1, Relaxed);
        std::thread::sleep(4 * timeout); // the callback that is tested is slow
        ControlFlow::Continue(())
    };
    let lock = ShmLock::builder(&name).interrupt(slow).open().expect(HERE);
    let ended = std::thread::scope(|scope| {
        scope.spawn(move || lock.try_acquire_for(timeout)).join().expect("no panic")
    });
    assert!(ended.is_err_and(|error| error.is_timed_out()));
    assert!(asked.load(Relaxed) <= 1, "it was asked after the deadline");
}

/// Forbids this process to watch locks: nothing repairs a wake that is lost.
fn watches_nothing() -> bool {
    let denied = |call| Denied { call, when: If::Called, errno: libc::EAGAIN };
    deny(&[denied(libc::SYS_clone3), denied(libc::SYS_clone)])
}

/// Leaves the word and the waiters as a release does whose lock is acquired again before the woken
/// waiter runs.
fn release_and_acquire_again(file: &Intruder) {
    file.scribble(0, file.owner_word() & !WAITERS);
    // SAFETY: a new mapping at an address of the kernel's choice.
    let map = unsafe {
        mmap(null_mut(), 192, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, file.file(), 0)
    };
    let map = map.expect("a mapping");
    // SAFETY: mapped until the end of this function, aligned, and any value is one.
    let word = unsafe { &*map.cast::<AtomicU32>() };
    assert_eq!(futex::wake(word, futex::Flags::empty(), 1), Ok(1), "none sleeps");
    // SAFETY: mapped above with this length; the reference is not used any more.
    unsafe { munmap(map, 192) }.expect("mapped");
}

/// Lets two processes wait, the first by a handle with this callback, and uses up its wake. Then
/// releases the lock: the second acquires it. `before` runs before the release, `after` after the
/// acquisition. `ends` looks at the first's wait.
fn second_acquires(
    ask: impl Fn(WaitPoint) -> ControlFlow<()> + Send + Sync + 'static,
    before: impl FnOnce(&Child),
    after: impl FnOnce(),
    ends: impl FnOnce(&Line, Result<(), Error>),
) {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let holder = folder.lock("l").open().expect(HERE);
    let guard = holder.lock().expect("free");
    let file = Intruder::on(&folder.file("l"));
    let open = |builder: Builder| builder.poll_interval(HOUR).open().expect(HERE);
    let first = fork(|line| {
        let lock = open(folder.lock("l").interrupt(ask));
        let is_deprived = watches_nothing();
        line.say(i64::from(is_deprived));
        if is_deprived {
            ends(line, lock.acquire());
        }
    });
    if first.line().hear() == 0 {
        return;
    }
    falls_asleep(&first);
    let second = fork(|line| {
        let lock = open(folder.lock("l"));
        assert!(watches_nothing(), "the first could");
        line.ready();
        drop(lock.lock().expect("released"));
        line.ready();
    });
    second.line().wait();
    falls_asleep(&second);
    release_and_acquire_again(&file);
    before(&first);
    guard.release().expect("held");
    second.line().wait();
    after();
    first.ends_well();
    second.ends_well();
}

#[test]
fn a_waiter_that_leaves_after_its_wake_passes_the_wake_on() {
    alone!(|| {
        let leaves = |point| match point {
            WaitPoint::Wake => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        let ends = |line: &Line, waited: Result<(), Error>| {
            assert!(waited.is_err_and(|error| error.is_interrupted()));
            line.ready();
        };
        second_acquires(leaves, |first| first.line().wait(), || (), ends);
    });
}

#[test]
fn a_callback_that_does_not_return_takes_no_wake_from_the_others() {
    alone!(|| {
        let (mut ours, theirs) = UnixStream::pair().expect("two descriptors");
        let mut hear = ours.try_clone().expect("a descriptor");
        let stays = move |point| {
            if point == WaitPoint::Wake {
                (&theirs).write_all(&[1]).expect("the test reads");
                (&theirs).read_exact(&mut [0]).expect("the test writes");
            }
            ControlFlow::Continue(())
        };
        let ends = |_: &Line, waited: Result<(), Error>| {
            assert!(waited.is_ok(), "free in the end: {waited:?}");
        };
        let before = |_: &Child| hear.read_exact(&mut [0]).expect("it is asked");
        second_acquires(stays, before, || ours.write_all(&[1]).expect("it reads"), ends);
    });
}
