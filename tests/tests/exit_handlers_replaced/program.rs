//! A program with signal handlers of its own, and the judgement of how it ends.

#![allow(unsafe_code, reason = "sigaction, handlers called by address, pause and kill")]

use std::cell::Cell;
use std::mem::{MaybeUninit, transmute};
use std::ptr::null_mut;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize};
use std::thread;

use shmlock::{ExitHandlers, Recovered, ShmLock};
use shmlock_tests::hostile::{Child, Line, fork};

pub(crate) const ENDING: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// The action that the program's own handler replaced.
pub(crate) static FOUND: AtomicUsize = AtomicUsize::new(libc::SIG_DFL);
pub(crate) static FOUND_FLAGS: AtomicI32 = AtomicI32::new(0);
/// The number of times that the program's own handler has completed.
pub(crate) static NOTED: AtomicU32 = AtomicU32::new(0);
/// The index in `OPERATIONS` of what the program's own handler does besides.
pub(crate) static OPERATION: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn action_of(handler: usize, flags: i32) -> libc::sigaction {
    // SAFETY: zeroed is the default action with an empty mask.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    (action.sa_sigaction, action.sa_flags) = (handler, flags);
    action
}

/// Installs an action, and returns the previous one.
pub(crate) fn set_action(signal: i32, new: &libc::sigaction) -> libc::sigaction {
    let mut found = action_of(libc::SIG_DFL, 0);
    // SAFETY: valid actions, whose handlers do what the test wants of them.
    assert_eq!(unsafe { libc::sigaction(signal, new, &raw mut found) }, 0);
    found
}

pub(crate) fn present_action(signal: i32) -> libc::sigaction {
    let mut found = action_of(libc::SIG_DFL, 0);
    // SAFETY: a null new action only reads the current one.
    assert_eq!(unsafe { libc::sigaction(signal, null_mut(), &raw mut found) }, 0);
    found
}

pub(crate) fn install() {
    ExitHandlers::all().install().expect("exit handlers can be installed");
}

/// Resets the actions of the signals: the tests may run under nohup(1), which ignores SIGHUP.
pub(crate) fn reset_signals() {
    for signal in ENDING {
        set_action(signal, &action_of(libc::SIG_DFL, 0));
    }
}

/// The program's own handler: calls the action that it replaced in the form that its flags ask for,
/// does its operation, and counts the signal.
pub(crate) extern "C" fn call_previous(
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

/// The same, in the form that signal(2) installs.
pub(crate) extern "C" fn call_previous_by_number(signal: i32) {
    call_previous(signal, null_mut(), null_mut());
}

/// Replaces the current action by the program's own handler.
pub(crate) fn replace_action(signal: i32, flags: i32) {
    let handler = match flags & libc::SA_SIGINFO {
        0 => call_previous_by_number as extern "C" fn(_) as usize,
        _ => call_previous as extern "C" fn(_, _, _) as usize,
    };
    let found = set_action(signal, &action_of(handler, flags));
    FOUND.store(found.sa_sigaction, Relaxed);
    FOUND_FLAGS.store(found.sa_flags, Relaxed);
}

/// What handlers do: nothing, or one of the things that foreign code may do.
pub(crate) const OPERATIONS: [fn(i32); 6] =
    [nothing, try_the_lock, fork_a_child, exit, panic, never_return];
pub(crate) const NOTHING: usize = 0;
pub(crate) const TRY: usize = 1;
pub(crate) const FORK: usize = 2;
pub(crate) const EXIT: usize = 3;
pub(crate) const PANIC: usize = 4;
pub(crate) const STAY: usize = 5;

thread_local! {
    /// The handle that the handler interrupts.
    pub(crate) static LOCK: Cell<Option<&'static ShmLock>> = const { Cell::new(None) };
}

pub(crate) fn nothing(_signal: i32) {}

pub(crate) fn try_the_lock(_signal: i32) {
    let lock = LOCK.get().expect("the signal interrupts the thread that holds it");
    assert!(lock.try_lock().expect("its own").is_some(), "not nested in the hold of its thread");
}

pub(crate) fn fork_a_child(_signal: i32) {
    fork(|_| ()).ends_well();
}

pub(crate) fn exit(_signal: i32) {
    std::process::exit(0);
}

pub(crate) fn panic(_signal: i32) {
    std::panic::set_hook(Box::new(|_| {}));
    panic!("the handler's operation");
}

pub(crate) fn never_return(_signal: i32) {
    NOTED.fetch_add(1, SeqCst);
    loop {
        // SAFETY: pause(2) has no preconditions.
        unsafe { libc::pause() };
    }
}

/// Sends the child a signal.
pub(crate) fn kill(child: &Child, signal: i32) {
    // SAFETY: kill(2) checks its numbers; the child has not been waited for.
    assert_eq!(unsafe { libc::kill(child.pid(), signal) }, 0);
}

/// Forks a child that runs `prepare` and holds the lock. It answers each number with the count of
/// noted signals, and releases on -1.
pub(crate) fn holder(name: &str, prepare: impl Fn()) -> Child {
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

pub(crate) fn serve(line: &Line) {
    while line.hear() >= 0 {
        line.say(NOTED.load(SeqCst).into());
    }
}

/// Waits until the child has noted this many signals.
pub(crate) fn wait_until_noted(child: &Child, signals: i64) {
    while {
        child.line().say(0);
        child.line().hear() < signals
    } {
        thread::yield_now();
    }
}

pub(crate) fn assert_is_held(lock: &ShmLock) {
    assert!(lock.try_lock().expect("a lock").is_none(), "released inside the critical section");
}

/// Returns what the next owner learns of the death, and declares the data consistent.
pub(crate) fn next_recovery(lock: &ShmLock) -> Option<Recovered> {
    let guard = lock.lock().expect("it is free or becomes free");
    let recovered = guard.recovered();
    guard.declare_consistent().expect("held");
    recovered
}

pub(crate) fn assert_released_by_handler(lock: &ShmLock) {
    assert_eq!(next_recovery(lock).expect("it was cut short").dead, None, "left to the kernel");
}

pub(crate) fn assert_left_to_kernel(lock: &ShmLock) {
    assert!(next_recovery(lock).expect("it died").dead.is_some(), "released by our handler");
}

/// Asserts that after the noted signals the program releases and exits normally, and no death is
/// reported.
pub(crate) fn assert_continues_and_releases(child: Child, lock: &ShmLock) {
    assert_is_held(lock);
    child.line().say(-1);
    child.ends_well();
    assert_eq!(next_recovery(lock), None);
}
