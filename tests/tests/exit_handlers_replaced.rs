//! Checks exit handlers in a program that installs handlers of its own, before or after: the
//! program's handlers decide. Checks repeated installation too.

#![allow(unsafe_code, reason = "pthread_sigmask and sigwait")]

#[path = "exit_handlers_replaced/program.rs"]
mod program;

use std::mem::MaybeUninit;
use std::ptr::null_mut;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::thread;

use shmlock::ShmLock;
use shmlock_tests::hostile::{Denied, If, Solo, aside, deny};
use shmlock_tests::{alone, rounds, until};

use program::{
    ENDING, EXIT, FORK, FOUND, NOTED, NOTHING, OPERATION, PANIC, STAY, TRY, action_of,
    assert_continues_and_releases, assert_is_held, assert_left_to_kernel,
    assert_released_by_handler, call_previous, holder, install, kill, present_action,
    replace_action, reset_signals, set_action, wait_until_noted,
};

#[test]
fn a_later_handler_decides_however_it_is_installed_and_calls_ours() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let kinds = [
            0,
            libc::SA_SIGINFO,
            libc::SA_ONSTACK,
            libc::SA_NODEFER | libc::SA_SIGINFO,
            libc::SA_RESETHAND,
        ];
        for flags in kinds {
            for signal in ENDING {
                let child = holder(&name, || {
                    install();
                    replace_action(signal, flags);
                });
                let lock = ShmLock::open(&name).expect("a lock");
                kill(&child, signal);
                wait_until_noted(&child, 1);
                assert_is_held(&lock);
                kill(&child, signal);
                if flags == libc::SA_RESETHAND {
                    child.ends_by(signal); // the action was reset after one signal
                    assert_left_to_kernel(&lock);
                } else {
                    wait_until_noted(&child, 2);
                    assert_continues_and_releases(child, &lock);
                }
            }
        }
    });
}

/// Foreign handlers, installed before or after ours, may do any of these operations. None finds our
/// handler half-done.
#[test]
fn every_operation_of_another_handler_has_its_usual_effect() {
    let prepare = |first: bool, operation: usize, signal: i32| {
        move || {
            OPERATION.store(operation, Relaxed);
            if first {
                install();
            }
            replace_action(signal, libc::SA_SIGINFO);
            if !first {
                install();
            }
        }
    };
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        for first in [true, false] {
            for signal in ENDING {
                let run = |operation| {
                    let child = holder(&name, prepare(first, operation, signal));
                    let lock = ShmLock::open(&name).expect("a lock");
                    kill(&child, signal);
                    (child, lock)
                };
                for operation in [NOTHING, TRY, FORK] {
                    let (child, lock) = run(operation);
                    wait_until_noted(&child, 1);
                    assert_continues_and_releases(child, &lock);
                }
                let (child, lock) = run(EXIT);
                child.ends_well();
                assert_released_by_handler(&lock);
                let (child, lock) = run(PANIC);
                child.ends_by(libc::SIGABRT); // a panic cannot unwind out of a handler
                assert_left_to_kernel(&lock);
                let (child, lock) = run(STAY);
                assert_is_held(&lock);
                child.kill();
                assert_left_to_kernel(&lock);
            }
        }
    });
}

#[test]
fn an_action_that_the_program_sets_later_takes_effect() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        for signal in ENDING {
            let child = holder(&name, || {
                install();
                set_action(signal, &action_of(libc::SIG_DFL, 0));
            });
            let lock = ShmLock::open(&name).expect("a lock");
            kill(&child, signal);
            child.ends_by(signal);
            assert_left_to_kernel(&lock);

            let child = holder(&name, || {
                install();
                set_action(signal, &action_of(libc::SIG_IGN, 0));
                install(); // the signal stays ignored
            });
            kill(&child, signal);
            wait_until_noted(&child, 0);
            assert_continues_and_releases(child, &lock);

            let child = holder(&name, || {
                install();
                let ours = present_action(signal);
                replace_action(signal, 0);
                set_action(signal, &ours); // a library does so when it no longer needs the signal
            });
            kill(&child, signal);
            child.ends_by(signal);
            assert_released_by_handler(&lock);
        }
    });
}

#[test]
fn a_signal_that_all_threads_block_and_one_awaits_reaches_the_program() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        for signal in ENDING {
            let child = holder(&name, || {
                install();
                // SAFETY: zeroed is an empty set.
                let mut set: libc::sigset_t = unsafe { MaybeUninit::zeroed().assume_init() };
                // SAFETY: a valid set and a signal that exists.
                unsafe { libc::sigaddset(&raw mut set, signal) };
                // SAFETY: a valid set; the old mask is not requested.
                let blocked =
                    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, null_mut()) };
                assert_eq!(blocked, 0);
                thread::spawn(move || {
                    let mut found = 0;
                    // SAFETY: a valid set, and a valid place for the signal.
                    assert_eq!(unsafe { libc::sigwait(&raw const set, &raw mut found) }, 0);
                    NOTED.fetch_add(1, SeqCst);
                });
            });
            let lock = ShmLock::open(&name).expect("a lock");
            kill(&child, signal);
            wait_until_noted(&child, 1);
            assert_continues_and_releases(child, &lock);
        }
    });
}

#[test]
fn installing_again_leaves_a_later_handler_alone_and_replaces_the_default() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        for signal in ENDING {
            for calls_ours in [true, false] {
                let child = holder(&name, || {
                    install();
                    replace_action(signal, libc::SA_SIGINFO);
                    if !calls_ours {
                        FOUND.store(libc::SIG_DFL, Relaxed);
                    }
                    let theirs = present_action(signal).sa_sigaction;
                    install();
                    assert_eq!(
                        present_action(signal).sa_sigaction,
                        theirs,
                        "the later handler was replaced"
                    );
                });
                let lock = ShmLock::open(&name).expect("a lock");
                kill(&child, signal);
                wait_until_noted(&child, 1);
                assert_continues_and_releases(child, &lock);
            }
            let child = holder(&name, || {
                install();
                replace_action(signal, 0);
                set_action(signal, &action_of(libc::SIG_DFL, 0));
                install();
            });
            let lock = ShmLock::open(&name).expect("a lock");
            kill(&child, signal);
            child.ends_by(signal);
            assert_released_by_handler(&lock);
        }
    });
}

#[test]
fn a_handler_installed_while_threads_install_ours_is_never_lost() {
    const THREADS: u64 = 2;
    alone!(|| {
        let _fixture = Solo::new();
        let theirs = call_previous as extern "C" fn(_, _, _) as usize;
        let (round, done, total) = (AtomicU64::new(0), AtomicU64::new(0), rounds(20_000));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for next in 1..=total {
                        until(|| round.load(SeqCst) >= next);
                        install();
                        done.fetch_add(1, SeqCst);
                    }
                });
            }
            let mut lost = None;
            for next in 1..=total {
                reset_signals();
                round.store(next, SeqCst);
                // A different delay in each round.
                (0..next % 256).for_each(|_| std::hint::spin_loop());
                set_action(libc::SIGINT, &action_of(theirs, libc::SA_SIGINFO));
                until(|| done.load(SeqCst) == THREADS * next);
                let well = present_action(libc::SIGINT).sa_sigaction == theirs
                    && present_action(libc::SIGHUP).sa_sigaction != libc::SIG_DFL;
                // No panic here: the threads wait for the next round.
                lost = lost.or((!well).then_some(next));
            }
            assert_eq!(lost, None, "in this round");
        });
    });
}

#[test]
fn where_sigaction_is_refused_the_signal_still_ends_the_process() {
    alone!(|| {
        if !aside(|| deny(&[])) {
            return;
        }
        let fixture = Solo::new();
        let name = fixture.name("l");
        let child = holder(&name, || {
            install();
            let denied = deny(&[Denied {
                call: libc::SYS_rt_sigaction,
                when: If::Called,
                errno: libc::EPERM,
            }]);
            assert!(denied, "the sandbox could be made before");
        });
        let lock = ShmLock::open(&name).expect("a lock");
        kill(&child, libc::SIGTERM);
        // Not by the signal: the default action cannot be restored.
        child.ends_with(128 + libc::SIGTERM);
        assert_released_by_handler(&lock);
    });
}
