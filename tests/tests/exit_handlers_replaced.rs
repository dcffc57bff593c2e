//! Checks exit handlers in a program that installs handlers of its own, before or after: the
//! program's handlers decide. Checks repeated installation too.

#![allow(unsafe_code, reason = "sigaction, sigaltstack, fork and kill")]

use std::cell::Cell;
use std::mem::{MaybeUninit, transmute};
use std::ptr::null_mut;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize};
use std::thread;

use shmlock::{ExitHandlers, Recovered, ShmLock};
use shmlock_tests::hostile::{Child, Denied, If, Line, Solo, aside, deny, fork};
use shmlock_tests::{alone, rounds, until};

const ENDING: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// The action that the program's own handler replaced.
static FOUND: AtomicUsize = AtomicUsize::new(libc::SIG_DFL);
static FOUND_FLAGS: AtomicI32 = AtomicI32::new(0);
/// The number of times that the program's own handler has completed.
static NOTED: AtomicU32 = AtomicU32::new(0);
/// The index in `OPERATIONS` of what the program's own handler does besides.
static OPERATION: AtomicUsize = AtomicUsize::new(0);

fn action_of(handler: usize, flags: i32) -> libc::sigaction {
    // SAFETY: zeroed is the default action with an empty mask.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    (action.sa_sigaction, action.sa_flags) = (handler, flags);
    action
}

/// Installs an action, and returns the previous one.
fn set_action(signal: i32, new: &libc::sigaction) -> libc::sigaction {
    let mut found = action_of(libc::SIG_DFL, 0);
    // SAFETY: valid actions, whose handlers do what the test wants of them.
    assert_eq!(unsafe { libc::sigaction(signal, new, &raw mut found) }, 0);
    found
}

fn present_action(signal: i32) -> libc::sigaction {
    let mut found = action_of(libc::SIG_DFL, 0);
    // SAFETY: a null new action only reads the current one.
    assert_eq!(unsafe { libc::sigaction(signal, null_mut(), &raw mut found) }, 0);
    found
}

fn install() {
    ExitHandlers::all().install().expect("exit handlers can be installed");
}

/// Resets the actions of the signals: the tests may run under nohup(1), which ignores SIGHUP.
fn reset_signals() {
    for signal in ENDING {
        set_action(signal, &action_of(libc::SIG_DFL, 0));
    }
}

/// The program's own handler: calls the action that it replaced in the form that its flags ask for,
/// does its operation, and counts the signal.
extern "C" fn call_previous(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let found = FOUND.load(Relaxed);
    let flags = FOUND_FLAGS.load(Relaxed);
    if found != libc::SIG_DFL && found != libc::SIG_IGN {
        if flags & libc::SA_SIGINFO != 0 {
            type Full = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);
            // SAFETY: the kernel gave this as a handler of three arguments.
            (unsafe { transmute::<usize, Full>(found) })(signal, info, context);
        } else {
            // SAFETY: the kernel gave this as a handler of one argument.
            (unsafe { transmute::<usize, extern "C" fn(i32)>(found) })(signal);
        }
    }
    if let Some(operation) = OPERATIONS.get(OPERATION.load(Relaxed)) {
        operation(signal);
    }
    NOTED.fetch_add(1, SeqCst);
}

/// The same, in the form that signal(2) installs.
extern "C" fn call_previous_by_number(signal: i32) {
    call_previous(signal, null_mut(), null_mut());
}

/// Replaces the current action by the program's own handler.
fn replace_action(signal: i32, flags: i32) {
    let handler = match flags & libc::SA_SIGINFO {
        0 => call_previous_by_number as extern "C" fn(_) as usize,
        _ => call_previous as extern "C" fn(_, _, _) as usize,
    };
    let found = set_action(signal, &action_of(handler, flags));
    FOUND.store(found.sa_sigaction, Relaxed);
    FOUND_FLAGS.store(found.sa_flags, Relaxed);
}

/// What handlers do: nothing, or one of the things that foreign code may do.
const OPERATIONS: [fn(i32); 6] = [nothing, try_the_lock, fork_a_child, exit, panic, never_return];
const NOTHING: usize = 0;
const TRY: usize = 1;
const FORK: usize = 2;
const EXIT: usize = 3;
const PANIC: usize = 4;
const STAY: usize = 5;

thread_local! {
    /// The handle that the handler interrupts.
    static LOCK: Cell<Option<&'static ShmLock>> = const { Cell::new(None) };
}

fn nothing(_signal: i32) {}

fn try_the_lock(_signal: i32) {
    let lock = LOCK.get().expect("the signal interrupts the thread that holds it");
    assert!(lock.try_lock().expect("its own").is_some(), "not nested in the hold of its thread");
}

fn fork_a_child(_signal: i32) {
    fork(|_| ()).ends_well();
}

fn exit(_signal: i32) {
    std::process::exit(0);
}

fn panic(_signal: i32) {
    std::panic::set_hook(Box::new(|_| {}));
    panic!("the handler's operation");
}

fn never_return(_signal: i32) {
    NOTED.fetch_add(1, SeqCst);
    loop {
        // SAFETY: pause(2) has no preconditions.
        unsafe { libc::pause() };
    }
}

/// Sends the child a signal.
fn kill(child: &Child, signal: i32) {
    // SAFETY: kill(2) checks its numbers; the child has not been waited for.
    assert_eq!(unsafe { libc::kill(child.pid(), signal) }, 0);
}

/// Forks a child that runs `prepare` and holds the lock. It answers each number with the count of
/// noted signals, and releases on -1.
fn holder(name: &str, prepare: impl Fn()) -> Child {
    let child = fork(|line| {
        reset_signals();
        prepare();
        let lock: &'static ShmLock = Box::leak(Box::new(ShmLock::open(name).expect("a lock")));
        LOCK.set(Some(lock));
        lock.acquire().expect("free");
        line.ready();
        serve(line);
        lock.release().expect("no other handler has released it");
    });
    child.line().wait();
    child
}

fn serve(line: &Line) {
    while line.hear() >= 0 {
        line.say(NOTED.load(SeqCst).into());
    }
}

/// Waits until the child has noted this many signals.
fn wait_until_noted(child: &Child, signals: i64) {
    while {
        child.line().say(0);
        child.line().hear() < signals
    } {
        thread::yield_now();
    }
}

fn assert_is_held(lock: &ShmLock) {
    assert!(lock.try_lock().expect("a lock").is_none(), "released inside the critical section");
}

/// Returns what the next owner learns of the death, and declares the data consistent.
fn next_recovery(lock: &ShmLock) -> Option<Recovered> {
    let guard = lock.lock().expect("it is free or becomes free");
    let recovered = guard.recovered();
    guard.declare_consistent().expect("held");
    recovered
}

fn assert_released_by_handler(lock: &ShmLock) {
    assert_eq!(next_recovery(lock).expect("it was cut short").dead, None, "left to the kernel");
}

fn assert_left_to_kernel(lock: &ShmLock) {
    assert!(next_recovery(lock).expect("it died").dead.is_some(), "released by our handler");
}

/// Asserts that after the noted signals the program releases and exits normally, and no death is
/// reported.
fn assert_continues_and_releases(child: Child, lock: &ShmLock) {
    assert_is_held(lock);
    child.line().say(-1);
    child.ends_well();
    assert_eq!(next_recovery(lock), None);
}

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
