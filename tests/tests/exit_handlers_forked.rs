//! Checks exit handlers in children: one installs them anew, one is forked during an installation
//! or a termination, and one shares its parent's memory.

#![allow(unsafe_code, reason = "clone, waitpid, raise, signal masks")]

use std::ptr::null_mut;
use std::sync::Barrier;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::thread;
use std::time::{Duration, Instant};

use shmlock::{ExitHandlers, ShmLock, WaitStrategy};
use shmlock_tests::hostile::{Child, Solo, fork};
use shmlock_tests::{Capability, alone, can, rounds, until};

/// Resets the actions of the signals: the tests may run under nohup(1), which ignores SIGHUP.
fn reset_signals() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the default action is no handler.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

fn install() {
    ExitHandlers::all().install().expect("exit handlers can be installed");
}

fn raise(signal: i32) {
    // SAFETY: raise(3) checks its number.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
}

/// Blocks or unblocks SIGTERM in this thread.
fn mask_term(how: i32) {
    // SAFETY: zeroed is an empty set.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: a valid set and a signal that exists.
    unsafe { libc::sigaddset(&raw mut set, libc::SIGTERM) };
    // SAFETY: a valid set; the old mask is not requested.
    assert_eq!(unsafe { libc::pthread_sigmask(how, &raw const set, null_mut()) }, 0);
}

/// Sends the child SIGTERM.
fn terminate(child: &Child) {
    // SAFETY: kill(2) checks its numbers; the child has not been waited for.
    assert_eq!(unsafe { libc::kill(child.pid(), libc::SIGTERM) }, 0);
}

#[test]
fn a_forked_child_may_install_exit_handlers_whether_its_parent_has_or_not() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        for parent_has in [false, true] {
            for end in [|| raise(libc::SIGTERM), || std::process::exit(0)] {
                let parent = fork(|line| {
                    reset_signals();
                    if parent_has {
                        install();
                    }
                    let child = fork(|line| {
                        install();
                        let lock = ShmLock::open(&name).expect("a lock");
                        let _guard = lock.lock().expect("free");
                        line.ready();
                        line.wait();
                        end();
                    });
                    child.line().wait();
                    line.ready();
                    line.wait();
                    child.line().ready();
                    line.wait();
                });
                parent.line().wait();
                // It starts no thread, for which the next child would find a mutex of the standard
                // library taken that exit(3) asks for.
                let polling = ShmLock::builder(&name).wait_strategy(WaitStrategy::SleepPolling);
                let lock = polling.poll_interval(Duration::from_millis(1)).open().expect("a lock");
                assert!(lock.try_lock().expect("a lock").is_none(), "the child holds it");
                parent.line().ready();
                let guard = lock.lock().expect("the child has ended");
                let recovered = guard.recovered().expect("it was cut short");
                assert_eq!(recovered.dead, None, "left to the kernel");
                guard.declare_consistent().expect("held");
                parent.line().ready();
                parent.ends_well();
            }
        }
    });
}

#[test]
fn a_child_forked_during_an_installation_can_install_them_too_and_exits() {
    /// Longer than an installation takes. The fork comes later in each round, up to this delay, so
    /// that it hits every moment of it.
    const WHILE: Duration = Duration::from_micros(60);
    if !can(Capability::ForkDuringCalls) {
        return;
    }
    alone!(|| {
        let _fixture = Solo::new();
        let times = u32::try_from(rounds(300)).expect("few");
        for time in 0..times {
            let process = fork(|_| {
                let (begins, forked) = (Barrier::new(2), AtomicBool::new(false));
                thread::scope(|scope| {
                    // At its start and its end a thread has a mutex of the standard library, which
                    // exit(3) asks for in the child: both are outside the time of the fork.
                    scope.spawn(|| {
                        begins.wait();
                        install();
                        until(|| forked.load(Acquire));
                    });
                    begins.wait();
                    let begin = Instant::now();
                    while begin.elapsed() < WHILE * time / times {}
                    let child = fork(|_| {
                        install();
                        std::process::exit(0);
                    });
                    forked.store(true, Release);
                    child.ends_well();
                });
            });
            process.ends_well();
        }
    });
}

/// Until execve(2), the child has its parent's memory, as after vfork(2) or in a `posix_spawn(3)`
/// that does not block signals. This memory holds the thread id of its parent's thread.
#[test]
fn a_child_that_shares_its_parents_memory_releases_no_lock_of_its_parent() {
    extern "C" fn end_by_signal(_: *mut libc::c_void) -> libc::c_int {
        raise(libc::SIGTERM);
        1
    }
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let parent = fork(|line| {
            reset_signals();
            install();
            let lock = ShmLock::open(&name).expect("a lock");
            let guard = lock.lock().expect("free");
            let mut stack = vec![0_u128; 16 << 10];
            let top = stack.as_mut_ptr_range().end.cast();
            let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
            // SAFETY:
            // - only the child uses the stack.
            // - the stack lives until the child has ended, which this thread waits for.
            let child = unsafe { libc::clone(end_by_signal, top, flags, null_mut()) };
            let mut status = 0;
            // SAFETY: a valid pointer, and a child of ours.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert!(
                libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGTERM,
                "status {status:#x}"
            );
            assert!(guard.recovered().is_none());
            line.ready();
            line.wait();
            guard.release().expect("it is still held");
        });
        parent.line().wait();
        let lock = ShmLock::open(&name).expect("a lock");
        assert!(
            lock.try_lock().expect("a lock").is_none(),
            "released in the middle of a critical section"
        );
        parent.line().ready();
        parent.ends_well();
        assert!(lock.lock().expect("free").recovered().is_none());
    });
}

/// One thread has begun to end the process and waits for another; a third thread forks. The
/// parent's thread does not end the child, so the child ends by itself when a signal asks for it.
#[test]
fn a_child_forked_while_a_signal_ends_its_parent_can_be_ended_by_a_signal() {
    alone!(|| {
        if !can(Capability::KeepMemoryFromChildren) {
            return;
        }
        let fixture = Solo::new();
        let (first, second) = (fixture.name("first"), fixture.name("second"));
        let process = fork(|line| {
            reset_signals();
            ExitHandlers::signals().grace(Duration::MAX).install().expect("they can be installed");
            let held = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| {
                    // The exit handler waits for this thread without bound.
                    mask_term(libc::SIG_BLOCK);
                    let lock = ShmLock::open(&second).expect("a lock");
                    let _guard = lock.lock().expect("free");
                    held.store(true, Release);
                    loop {
                        thread::park();
                    }
                });
                scope.spawn(|| {
                    mask_term(libc::SIG_BLOCK);
                    let lock = ShmLock::open(&first).expect("a lock");
                    line.ready();
                    // Released: the process is ending.
                    until(|| lock.status().expect("a lock").owner_died);
                    fork(|_| {
                        mask_term(libc::SIG_UNBLOCK);
                        raise(libc::SIGTERM);
                    })
                    .ends_by(libc::SIGTERM);
                    line.ready();
                });
                until(|| held.load(Acquire));
                let lock = ShmLock::open(&first).expect("a lock");
                let _guard = lock.lock().expect("free");
                line.ready();
                loop {
                    thread::park();
                }
            });
        });
        process.line().wait();
        process.line().wait();
        terminate(&process);
        process.line().wait();
        process.kill();
        for name in [&first, &second] {
            let lock = ShmLock::open(name).expect("a lock");
            let guard = lock.lock().expect("its owner is dead");
            assert!(guard.recovered().is_some());
            guard.declare_consistent().expect("held");
        }
    });
}
