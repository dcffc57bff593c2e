//! Exit handlers in a program that has handlers of its own, before and after: theirs decide. And
//! installing once more.

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

/// The action that the program's own handler has found.
static FOUND: AtomicUsize = AtomicUsize::new(libc::SIG_DFL);
static FOUND_FLAGS: AtomicI32 = AtomicI32::new(0);
/// How often the program's own handler has come to its end.
static NOTED: AtomicU32 = AtomicU32::new(0);
/// What the program's own handler does beside that.
static OPERATION: AtomicUsize = AtomicUsize::new(0);

fn action_of(handler: usize, flags: i32) -> libc::sigaction {
    // SAFETY: zeroed is the default action with an empty mask.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    (action.sa_sigaction, action.sa_flags) = (handler, flags);
    action
}

/// Installs an action; what was there before.
fn set_action(signal: i32, new: &libc::sigaction) -> libc::sigaction {
    let mut found = action_of(libc::SIG_DFL, 0);
    // SAFETY: valid actions, whose handlers do what the test wants of them.
    assert_eq!(unsafe { libc::sigaction(signal, new, &raw mut found) }, 0);
    found
}

fn present_action(signal: i32) -> libc::sigaction {
    let mut found = action_of(libc::SIG_DFL, 0);
    // SAFETY: asks only.
    assert_eq!(unsafe { libc::sigaction(signal, null_mut(), &raw mut found) }, 0);
    found
}

fn install() {
    ExitHandlers::all().install().expect("exit handlers can be installed");
}

/// The tests may run under nohup(1), which ignores SIGHUP.
fn heed_signals() {
    for signal in ENDING {
        set_action(signal, &action_of(libc::SIG_DFL, 0));
    }
}

/// The program's own handler: calls what it has found, as it was to be called, does its operation, and
/// notes that.
extern "C" fn calls_what_it_found(
    signal: i32,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
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

/// The same, of the kind that signal(2) installs.
extern "C" fn calls_what_it_found_by_number(signal: i32) {
    calls_what_it_found(signal, null_mut(), null_mut());
}

/// Puts the program's own handler in the place of what is there.
fn take_over_with(signal: i32, flags: i32) {
    let handler = match flags & libc::SA_SIGINFO {
        0 => calls_what_it_found_by_number as extern "C" fn(_) as usize,
        _ => calls_what_it_found as extern "C" fn(_, _, _) as usize,
    };
    let found = set_action(signal, &action_of(handler, flags));
    FOUND.store(found.sa_sigaction, Relaxed);
    FOUND_FLAGS.store(found.sa_flags, Relaxed);
}

/// What handlers do: nothing, or one of what foreign code may do.
const OPERATIONS: [fn(i32); 6] = [nothing, try_the_lock, have_a_child, exit, panic, never_return];
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
    let lock = LOCK.get().expect("the thread that holds it is interrupted");
    assert!(lock.try_lock().expect("its own").is_some(), "nested in what its thread holds");
}

fn have_a_child(_signal: i32) {
    fork(|_| ()).ends_well();
}

fn exit(_signal: i32) {
    std::process::exit(0);
}

fn panic(_signal: i32) {
    std::panic::set_hook(Box::new(|_| {}));
    panic!("as told");
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

/// A child that holds the lock, after `prepare`; then it answers each word by the number of signals
/// noted, and releases when it is told -1.
fn holder(name: &str, prepare: impl Fn()) -> Child {
    let child = fork(|line| {
        heed_signals();
        prepare();
        let lock: &'static ShmLock = Box::leak(Box::new(ShmLock::open(name).expect("a lock")));
        LOCK.set(Some(lock));
        lock.acquire().expect("free");
        line.ready();
        serve(line);
        lock.release().expect("nobody has released it meanwhile");
    });
    child.line().wait();
    child
}

fn serve(line: &Line) {
    while line.hear() >= 0 {
        line.say(NOTED.load(SeqCst).into());
    }
}

/// Waits until the child has noted so many signals.
fn wait_until_noted(child: &Child, signals: i64) {
    while {
        child.line().say(0);
        child.line().hear() < signals
    } {
        thread::yield_now();
    }
}

fn assert_is_held(lock: &ShmLock) {
    assert!(
        lock.try_lock().expect("a lock").is_none(),
        "released in the middle of a critical section"
    );
}

/// What the next owner is told; the death is forgotten then.
fn next_owner_is_told(lock: &ShmLock) -> Option<Recovered> {
    let guard = lock.lock().expect("nobody holds it for long");
    let told = guard.recovered();
    guard.declare_consistent().expect("held");
    told
}

fn assert_released_by_handler(lock: &ShmLock) {
    assert_eq!(
        next_owner_is_told(lock).expect("it was cut short").dead,
        None,
        "left to the kernel"
    );
}

fn assert_left_to_kernel(lock: &ShmLock) {
    assert!(next_owner_is_told(lock).expect("it died").dead.is_some(), "released by our handler");
}

/// What follows the signals that the program's own handler has noted: it ends well, and nobody is
/// told of a death.
fn assert_goes_on_and_releases(child: Child, lock: &ShmLock) {
    assert_is_held(lock);
    child.line().say(-1);
    child.ends_well();
    assert_eq!(next_owner_is_told(lock), None);
}

#[test]
fn a_later_handler_decides_however_it_was_installed_and_calls_ours() {
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
                    take_over_with(signal, flags);
                });
                let lock = ShmLock::open(&name).expect("a lock");
                kill(&child, signal);
                wait_until_noted(&child, 1);
                assert_is_held(&lock);
                kill(&child, signal);
                if flags == libc::SA_RESETHAND {
                    child.ends_by(signal); // it was for one signal only
                    assert_left_to_kernel(&lock);
                } else {
                    wait_until_noted(&child, 2);
                    assert_goes_on_and_releases(child, &lock);
                }
            }
        }
    });
}

/// What handlers may do that are not ours, from before or from after the installation. None of it
/// meets us half-way.
#[test]
fn whatever_another_handler_does_happens_as_if_ours_were_not_there() {
    let operation = |first: bool, operation: usize, signal: i32| {
        move || {
            OPERATION.store(operation, Relaxed);
            if first {
                install();
            }
            take_over_with(signal, libc::SA_SIGINFO);
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
                let play = |what| {
                    let child = holder(&name, operation(first, what, signal));
                    let lock = ShmLock::open(&name).expect("a lock");
                    kill(&child, signal);
                    (child, lock)
                };
                for what in [NOTHING, TRY, FORK] {
                    let (child, lock) = play(what);
                    wait_until_noted(&child, 1);
                    assert_goes_on_and_releases(child, &lock);
                }
                let (child, lock) = play(EXIT);
                child.ends_well();
                assert_released_by_handler(&lock);
                let (child, lock) = play(PANIC);
                child.ends_by(libc::SIGABRT); // nothing unwinds out of a handler
                assert_left_to_kernel(&lock);
                let (child, lock) = play(STAY);
                assert_is_held(&lock);
                child.kill();
                assert_left_to_kernel(&lock);
            }
        }
    });
}

#[test]
fn an_action_that_the_program_sets_later_is_the_one_that_counts() {
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
                install(); // ignored it stays
            });
            kill(&child, signal);
            wait_until_noted(&child, 0);
            assert_goes_on_and_releases(child, &lock);

            let child = holder(&name, || {
                install();
                let ours = present_action(signal);
                take_over_with(signal, 0);
                set_action(signal, &ours); // as a library does that is done with the signal
            });
            kill(&child, signal);
            child.ends_by(signal);
            assert_released_by_handler(&lock);
        }
    });
}

#[test]
fn a_signal_that_all_threads_block_and_one_awaits_is_the_programs() {
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
                // SAFETY: a valid set; the former one is not asked for.
                assert_eq!(
                    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, null_mut()) },
                    0
                );
                thread::spawn(move || {
                    let mut found = 0;
                    // SAFETY: a valid set, and a place for the signal.
                    assert_eq!(unsafe { libc::sigwait(&raw const set, &raw mut found) }, 0);
                    NOTED.fetch_add(1, SeqCst);
                });
            });
            let lock = ShmLock::open(&name).expect("a lock");
            kill(&child, signal);
            wait_until_noted(&child, 1);
            assert_goes_on_and_releases(child, &lock);
        }
    });
}

#[test]
fn installing_again_leaves_a_later_handler_alone_and_takes_the_place_of_the_default() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        for signal in ENDING {
            for calls_ours in [true, false] {
                let child = holder(&name, || {
                    install();
                    take_over_with(signal, libc::SA_SIGINFO);
                    if !calls_ours {
                        FOUND.store(libc::SIG_DFL, Relaxed);
                    }
                    let theirs = present_action(signal).sa_sigaction;
                    install();
                    assert_eq!(present_action(signal).sa_sigaction, theirs, "theirs was replaced");
                });
                let lock = ShmLock::open(&name).expect("a lock");
                kill(&child, signal);
                wait_until_noted(&child, 1);
                assert_goes_on_and_releases(child, &lock);
            }
            let child = holder(&name, || {
                install();
                take_over_with(signal, 0);
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
fn a_handler_that_comes_while_threads_install_ours_is_never_lost() {
    const THREADS: u64 = 2;
    alone!(|| {
        let _fixture = Solo::new();
        let theirs = calls_what_it_found as extern "C" fn(_, _, _) as usize;
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
                heed_signals();
                round.store(next, SeqCst);
                (0..next % 256).for_each(|_| std::hint::spin_loop()); // another moment each time
                set_action(libc::SIGINT, &action_of(theirs, libc::SA_SIGINFO));
                until(|| done.load(SeqCst) == THREADS * next);
                let well = present_action(libc::SIGINT).sa_sigaction == theirs
                    && present_action(libc::SIGHUP).sa_sigaction != libc::SIG_DFL;
                lost = lost.or((!well).then_some(next)); // no panic here: the threads wait for the next round
            }
            assert_eq!(lost, None, "in this round");
        });
    });
}

#[test]
fn in_a_sandbox_that_refuses_to_tell_the_action_the_signal_still_ends_the_process() {
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
            assert!(denied, "what was to be had before");
        });
        let lock = ShmLock::open(&name).expect("a lock");
        kill(&child, libc::SIGTERM);
        child.ends_with(128 + libc::SIGTERM); // not by the signal: the default action cannot be put back
        assert_released_by_handler(&lock);
    });
}
