//! Checks signal handlers that fork while the interrupted code waits for a lock: the child returns
//! into a wait of its parent.

#![allow(unsafe_code, reason = "fork in a signal handler, kill and waitpid")]

use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use shmlock::{BlockSignals, Builder, Error, ExitEvent, ShmLock, WaitStrategy};
use shmlock_tests::hostile::{Folder, Line, Solo, end_process, fork};
use shmlock_tests::proc::{comes_to_rest, sleeps};
use shmlock_tests::{Capability, TestWaker, alone, can, poll, rounds, until};

const HERE: &str = "a lock of this process";
const NEVER: Duration = Duration::from_secs(3600);

/// The child that [`on_signal`] forked; 0 in that child, and -1 before.
static FORKED: AtomicI32 = AtomicI32::new(-1);

extern "C" fn on_signal(_: libc::c_int) {
    // SAFETY: fork(2) itself is async-signal-safe where, as here, the interrupted code holds no
    // lock of libc's.
    FORKED.store(unsafe { libc::fork() }, Relaxed);
}

/// Forks by the raw system call: fork(3) would wait for ever for the allocator's lock if the
/// interrupted code holds it.
extern "C" fn on_signal_anywhere(_: libc::c_int) {
    // SAFETY: without CLONE_VM this is fork(2); a null stack means the copy of ours.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    FORKED.store(i32::try_from(pid).unwrap_or(-1), Relaxed);
}

fn fork_on_signals(handler: extern "C" fn(libc::c_int)) {
    // SAFETY: the handler does what a handler may, see there.
    unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
}

fn kill(pid: i32) {
    // SAFETY: kill(2) with the number of a child that has not been waited for.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGUSR1) }, 0);
}

/// In the forked child, exits with status 0 if the call was refused. In its parent, waits for that
/// and returns the result of the call.
fn refused_in_child<T>(result: Result<T, Error>) -> Result<T, Error> {
    let pid = FORKED.load(Relaxed);
    if pid == 0 {
        let well = matches!(result, Err(Error::ForkedHandle { .. }));
        end_process::at_once(if well { 0 } else { 3 });
    }
    let mut status = 0;
    // SAFETY: a valid pointer, and a child of ours.
    let answer = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert!(
        answer == pid && status == 0,
        "the child that the handler forked ended by status {status:#x}"
    );
    result
}

/// Forks a waiter that waits by this builder and `wait`. Its signal handler forks during its sleep;
/// the waiter must still acquire.
fn interrupt(
    folder: &Folder,
    options: impl Fn(Builder) -> Builder,
    wait: fn(&ShmLock) -> Result<(), Error>,
) {
    let holder = folder.lock("l").open().expect(HERE);
    let guard = holder.lock().expect("free");
    let waiter = fork(|line: &Line| {
        fork_on_signals(on_signal);
        let lock = options(folder.lock("l")).open().expect(HERE);
        line.ready();
        let waited = refused_in_child(wait(&lock));
        line.say(i64::from(waited.is_ok()));
    });
    waiter.line().wait();
    let pid = waiter.pid().unsigned_abs();
    until(|| sleeps(pid));
    // While it is awake, a child that is forked right before an access to the region ends by
    // SIGSEGV. One that polls has just begun to sleep, for long.
    if holder.status().expect(HERE).waiters {
        comes_to_rest(pid);
    }
    kill(waiter.pid());
    // The handler has returned in both when the waiter is asleep again and has a child.
    until(|| !children(waiter.pid()).is_empty());
    until(|| children(waiter.pid()).iter().all(|child| !lives(child)));
    guard.release().expect("held");
    assert_eq!(waiter.line().hear(), 1, "the parent's wait failed");
    waiter.ends_well();
}

fn children(pid: i32) -> Vec<String> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .expect("a living process");
    children.split_whitespace().map(str::to_owned).collect()
}

/// Returns `true` until the process has ended; an ended one is a zombie until it is waited for.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

const LOCK: fn(&ShmLock) -> Result<(), Error> = |lock| lock.lock().map(drop);
const LOCK_FOR: fn(&ShmLock) -> Result<(), Error> = |lock| lock.try_lock_for(NEVER).map(drop);
const ACQUIRE: fn(&ShmLock) -> Result<(), Error> =
    |lock| lock.acquire().and_then(|()| lock.release());

#[test]
fn a_child_forked_during_a_threads_sleep_is_refused_and_its_parent_keeps_waiting() {
    if !can(Capability::KeepMemoryFromChildren) {
        return;
    }
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let event = ExitEvent::new();
        for wait in [LOCK, LOCK_FOR, ACQUIRE] {
            interrupt(&folder, |builder| builder.poll_interval(NEVER), wait);
            interrupt(&folder, |builder| builder.poll_interval(NEVER).exit_event(&event), wait);
            for block in [BlockSignals::Transitions, BlockSignals::WhileHeld] {
                interrupt(
                    &folder,
                    |builder| builder.poll_interval(NEVER).block_signals(block),
                    wait,
                );
            }
            let polling = |builder: Builder| {
                builder
                    .poll_interval(Duration::from_millis(200))
                    .wait_strategy(WaitStrategy::SleepPolling)
            };
            interrupt(&folder, polling, wait);
            interrupt(&folder, |builder| polling(builder).exit_event(&event), wait);
        }
    });
}

#[test]
fn a_child_forked_between_two_polls_of_a_task_is_refused() {
    if !can(Capability::KeepMemoryFromChildren) {
        return;
    }
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let (holder, lock) = (ShmLock::open(&name).expect(HERE), ShmLock::open(&name).expect(HERE));
        let guard = holder.lock().expect("free");
        let waker = TestWaker::new();
        let mut waiting = lock.lock_async();
        assert!(poll(&mut waiting, &waker).is_pending());
        fork_on_signals(on_signal);
        // SAFETY: sends a signal that is handled to this very thread, which has run the handler
        // when the call returns.
        unsafe { libc::raise(libc::SIGUSR1) };
        drop(guard);
        if FORKED.load(Relaxed) == 0 {
            let std::task::Poll::Ready(polled) = poll(&mut waiting, &waker) else {
                end_process::at_once(4)
            };
            let _ = refused_in_child(polled);
        }
        refused_in_child(pollster::block_on(waiting)).expect("free").release().expect("held");
    });
}

/// Opens and closes in a loop. Reports the status of each child that the handler forked meanwhile.
/// A child that has a handle of its own when the call returns uses it.
fn open_and_close(folder: &Folder, line: &Line) {
    fork_on_signals(on_signal_anywhere);
    line.ready();
    loop {
        let opened = folder.lock("l").open();
        let is_child = FORKED.load(Relaxed) == 0;
        let used = opened
            .and_then(|lock| if is_child { lock.try_lock_for(NEVER).map(drop) } else { Ok(()) });
        let pid = FORKED.swap(-1, Relaxed);
        if pid == 0 {
            let well = matches!(used, Ok(()) | Err(Error::ForkedHandle { .. }));
            end_process::at_once(if well { 0 } else { 3 });
        }
        used.expect(HERE);
        if pid > 0 {
            let mut status = 0;
            // SAFETY: a valid pointer, and a child of ours.
            let answer = unsafe { libc::waitpid(pid, &raw mut status, 0) };
            assert_eq!(answer, pid);
            line.say(status.into());
        }
    }
}

/// The signal comes at any instruction. If the fork falls between the last check that the region is
/// mapped and the access to it, the child ends by SIGSEGV. This window is a few instructions long.
#[test]
fn a_child_forked_while_the_interrupted_code_opens_or_closes_has_its_own_handle_or_none() {
    if !can(Capability::KeepMemoryFromChildren) {
        return;
    }
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let (forks, mut faults) = (rounds(500), 0);
        for is_in_use in [false, true] {
            let user = is_in_use.then(|| folder.lock("l").open().expect(HERE));
            let opener = fork(|line| open_and_close(&folder, line));
            opener.line().wait();
            for round in 0..forks {
                // A different moment in each round.
                (0..round * 37 % 4001).for_each(|_| std::hint::spin_loop());
                kill(opener.pid());
                match opener.line().hear() {
                    0 => {}
                    status if status == libc::SIGSEGV.into() => faults += 1,
                    status => panic!("round {round}: the child ended by status {status:#x}"),
                }
            }
            opener.kill();
            if let Some(user) = user {
                assert!(
                    user.lock().expect("free").recovered().is_none(),
                    "a death in a critical section was reported"
                );
            }
        }
        drop(folder.lock("l").open().expect(HERE)); // removes what the killed process left
        // Of all together: with half of them, as small a part is exceeded by chance now and then.
        let forks = 2 * forks;
        assert!(faults <= 4, "{faults} of {forks} children accessed an unmapped region");
    });
}
