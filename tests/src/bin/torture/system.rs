//! Calls the kernel directly: processes, signals, clocks, limits.

#![allow(unsafe_code, reason = "signals, fork and waitpid exist in libc only")]

use std::fs;
use std::io;
use std::mem::zeroed;
use std::sync::atomic::{AtomicU32, Ordering, compiler_fence};

use rustix::process::{Resource, Rlimit, setrlimit};

/// Keeps the compiler from reordering the stores before and after. A killed process has executed
/// its stores in program order, up to one of them. No barrier is needed: between processes the lock
/// orders.
#[inline]
pub(crate) fn in_this_order() {
    compiler_fence(Ordering::SeqCst);
}

/// Returns the nanoseconds of the monotonic clock, which is the same in all processes.
pub(crate) fn now() -> u64 {
    // SAFETY: plain integers, for which all zero is valid.
    let mut time: libc::timespec = unsafe { zeroed() };
    // SAFETY: a clock that exists, and a valid place for the answer.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    #[allow(
        clippy::useless_conversion,
        clippy::unnecessary_fallible_conversions,
        reason = "32 bits on some targets"
    )]
    let (seconds, nanos) =
        (u64::try_from(time.tv_sec).unwrap_or(0), u64::try_from(time.tv_nsec).unwrap_or(0));
    seconds * 1_000_000_000 + nanos
}

/// A process, and when it began, so that a later process with its number is not mistaken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// Ticks since boot, field 22 of `/proc/PID/stat`.
    pub(crate) began: u64,
}

/// Fields of `/proc/PID/stat`, counted from the field after the name.
const STATE: usize = 0;
const FLAGS: usize = 6;
const THREADS: usize = 17;
const BEGAN: usize = 19;
/// Set when the kernel begins to end it, before its memory, and with that its byte locks, goes.
const PF_EXITING: u64 = 4;

impl Process {
    pub(crate) fn this() -> Self {
        let pid = std::process::id();
        let stat = stat_of(pid).expect("a running process has a status");
        Self { pid, began: number(&stat, BEGAN) }
    }

    /// Returns `true` if nothing is left of it but a result: no memory, no descriptor, no thread.
    pub(crate) fn is_gone(self) -> bool {
        stat_of(self.pid).is_none_or(|stat| {
            let is_zombie = stat.get(STATE).is_some_and(|state| state == "Z");
            number(&stat, BEGAN) != self.began || is_zombie && number(&stat, THREADS) == 1
        })
    }

    /// Returns `true` if it is past its last instruction.
    pub(crate) fn has_died(self) -> bool {
        let Some(stat) = stat_of(self.pid) else { return true };
        let state = stat.get(STATE).map_or("", String::as_str);
        number(&stat, BEGAN) != self.began
            || number(&stat, FLAGS) & PF_EXITING != 0
            || matches!(state, "Z" | "X")
    }
}

fn stat_of(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?; // the name before it may contain anything
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

fn number(stat: &[String], field: usize) -> u64 {
    stat.get(field).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The end of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Exit(i32),
    Signal(i32),
}

/// The result of [`next_ended`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Child(u32),
    None,
    /// There are no children.
    NoChildren,
}

/// Returns a child that has ended, if there is one. It stays a zombie, and so keeps its number.
pub(crate) fn next_ended() -> Ended {
    // SAFETY: plain data, for which all zero is valid.
    let mut info: libc::siginfo_t = unsafe { zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: a valid place for the answer.
    if unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, flags) } == -1 {
        return Ended::NoChildren;
    }
    // SAFETY: all zero, or written by waitid(2), which fills in this field.
    let pid = unsafe { info.si_pid() };
    if pid == 0 { Ended::None } else { Ended::Child(pid.unsigned_abs()) }
}

/// Waits for this child.
pub(crate) fn wait_for(pid: u32) -> End {
    let mut status = 0;
    // SAFETY: a valid place for the status; waitpid(2) checks the number.
    while unsafe { libc::waitpid(signed(pid), &raw mut status, 0) } == -1 {
        let error = io::Error::last_os_error();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted, "waitpid: {error}");
    }
    end_of(status)
}

fn end_of(status: i32) -> End {
    if libc::WIFSIGNALED(status) {
        End::Signal(libc::WTERMSIG(status))
    } else {
        End::Exit(libc::WEXITSTATUS(status))
    }
}

fn signed(pid: u32) -> libc::pid_t {
    libc::pid_t::try_from(pid).expect("a process id")
}

/// Sends a signal to a process that runs, or has ended and has not been waited for. 0 would be this
/// process's group.
pub(crate) fn signal(pid: u32, signal: i32) {
    // SAFETY: kill(2) checks its numbers, and touches no memory of ours.
    unsafe { libc::kill(signed(pid), signal) };
}

/// Sends a signal to a child that leads a group, and to all processes of the group.
pub(crate) fn signal_group(pid: u32, signal: i32) {
    // SAFETY: as above.
    unsafe { libc::kill(-signed(pid), signal) };
}

/// The side on which [`fork`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Parent(u32),
    Child,
}

/// Forks. The calling process must have one thread.
pub(crate) fn fork() -> io::Result<Side> {
    // SAFETY: one thread, so nothing is locked for ever in the child.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Side::Child),
        pid => Ok(Side::Parent(pid.unsigned_abs())),
    }
}

/// Ends the process; no destructor and no handler runs.
pub(crate) fn end_at_once() -> ! {
    // SAFETY: ends the process without running anything.
    unsafe { libc::_exit(0) }
}

/// Makes this process the parent of orphaned descendants, `PR_SET_CHILD_SUBREAPER`.
pub(crate) fn adopt_orphans() {
    // SAFETY: prctl(2) with numbers.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
}

/// Lets the kernel kill this process with its parent.
pub(crate) fn end_with_parent() {
    // SAFETY: prctl(2) with numbers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// Ends this process by SIGALRM after so many seconds.
pub(crate) fn end_in_time(seconds: u32) {
    // SAFETY: alarm(2) with a number.
    unsafe { libc::alarm(seconds) };
}

/// Disables core files, which cost time.
pub(crate) fn leave_no_core() {
    limit(Resource::Core, 0);
}

/// Limits the address space.
pub(crate) fn limit_memory(bytes: u64) {
    limit(Resource::As, bytes);
}

fn limit(what: Resource, most: u64) {
    let _ = setrlimit(what, Rlimit { current: Some(most), maximum: Some(most) });
}

/// Signals that have reached [`on_signal`].
static SIGNALS: AtomicU32 = AtomicU32::new(0);

extern "C" fn on_signal(_signal: libc::c_int) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

/// The signals that [`catch_signals`] makes harmless.
pub(crate) const HARMLESS: [i32; 2] = [libc::SIGUSR1, libc::SIGUSR2];

/// Installs handlers for the harmless signals; one of them interrupts system calls with EINTR.
pub(crate) fn catch_signals() {
    for (signal, flags) in HARMLESS.into_iter().zip([0, libc::SA_RESTART]) {
        act(signal, on_signal as extern "C" fn(_) as usize, flags);
    }
}

/// Ignores the harmless signals, also in the next program that this process executes, until it
/// installs handlers.
pub(crate) fn ignore_signals() {
    for signal in HARMLESS {
        act(signal, libc::SIG_IGN, 0);
    }
}

fn act(signal: i32, handler: libc::sighandler_t, flags: i32) {
    // SAFETY: all zero is an empty mask without flags.
    let mut action: libc::sigaction = unsafe { zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: a signal that exists; the handler is to ignore it, or only adds to an atomic.
    unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
}

/// Returns the processors that this process may use.
pub(crate) fn processors() -> Vec<usize> {
    // SAFETY: an array of bits, for which all zero is valid.
    let mut set: libc::cpu_set_t = unsafe { zeroed() };
    // SAFETY: our own process, and a valid place of the size given.
    unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
    let most = usize::try_from(libc::CPU_SETSIZE).unwrap_or(0);
    // SAFETY: the index is below the size of the set.
    (0..most).filter(|&processor| unsafe { libc::CPU_ISSET(processor, &set) }).collect()
}

/// Restricts a child to these processors.
pub(crate) fn pin(pid: u32, processors: &[usize]) {
    // SAFETY: an array of bits, for which all zero is valid.
    let mut set: libc::cpu_set_t = unsafe { zeroed() };
    for &processor in processors {
        // SAFETY: an index that `processors` gave.
        unsafe { libc::CPU_SET(processor, &mut set) };
    }
    // SAFETY: a valid set of the size given; the number is checked.
    unsafe { libc::sched_setaffinity(signed(pid), size_of::<libc::cpu_set_t>(), &raw const set) };
}

/// Returns how many descriptors this process has.
pub(crate) fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}
