//! Releases this process's locks in the handler of exit(3) and of the signals that end a process.
//!
//! No foreign code runs here. Our action replaces only the default action, so it has no former
//! handler to call. A later handler may call ours, which then returns to it at once.

#![allow(
    unsafe_code,
    reason = "a handler follows a raw pointer to the word and makes calls that rustix has not"
)]

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use rustix::process::getpid;
use rustix::thread::{gettid, nanosleep};
use shmlock_core::Word;
use shmlock_core::protocol::{self, Wake};

use crate::process::registry::{self, Pinned};
use crate::process::signal_action::{default_action, errno, present, replace, set_errno};
use crate::sys::futex;
use crate::sys::signal_mask;
use crate::sys::sleep::timespec;
use crate::sys::thread::{Thread, number_as_known};

/// The sleep of a dying process between two checks that other threads hold no lock.
const GRACE_STEP: Duration = Duration::from_millis(1);

/// The number of such steps, see [`ExitHandlers::grace`](crate::ExitHandlers::grace).
static GRACE_STEPS: AtomicU32 = AtomicU32::new(0);

/// The process that ends (upper half) and its thread that ends it (lower half); 0 until then. A
/// forked child inherits the value, but is another process.
static ENDED_BY: AtomicU64 = AtomicU64::new(0);

/// Sets how long a dying process waits for its other threads.
pub(super) fn set_grace(grace: Duration) {
    let steps = grace.as_nanos() / GRACE_STEP.as_nanos();
    // Partner: `end_by`, which may run as soon as the action is installed. Relaxed: a number.
    GRACE_STEPS.store(u32::try_from(steps).unwrap_or(u32::MAX), Relaxed);
}

/// Returns the address by which the kernel knows our action.
pub(super) fn our_handler() -> libc::sighandler_t {
    on_signal as extern "C" fn(_) as libc::sighandler_t
}

/// Releases the locks of the exiting thread.
pub(super) extern "C" fn at_exit() {
    release_locks_of(executing_thread());
    repeat_wakes();
}

/// Ends the process if the kernel has called this function as the signal's action. Returns at once
/// if another handler has called it.
///
/// A handler that replaced ours calls it with one argument or with three: it takes one.
/// Async-signal-safe: atomics and system calls.
extern "C" fn on_signal(signal: libc::c_int) {
    let errno = errno();
    // If a sandbox refuses the query, the signal must still end the process.
    let is_the_action =
        || present(signal).map_or(true, |action| action.sa_sigaction == our_handler());
    if is_ending() || is_the_action() {
        end_by(signal);
    }
    set_errno(errno);
}

/// Returns this process (upper half) and this thread (lower half), as the kernel numbers them.
///
/// Not [`this_thread`](crate::sys::thread::this_thread): in a child that shares
/// our memory, as after vfork(2), that is still its parent's thread. The parent's locks are not the
/// child's to release.
fn executing() -> u64 {
    let process = getpid().as_raw_nonzero().get().unsigned_abs();
    u64::from(process) << 32 | u64::from(executing_thread())
}

fn executing_thread() -> u32 {
    gettid().as_raw_nonzero().get().unsigned_abs()
}

/// Returns `true` if a thread of this process has begun to end it: then `die_by` may have removed
/// our action already.
fn is_ending() -> bool {
    ENDED_BY.load(Acquire) >> 32 == executing() >> 32 // partner: the update in `end_by`
}

/// Releases this thread's locks, makes the other threads release theirs, and dies by the signal.
fn end_by(signal: libc::c_int) {
    let me = executing();
    release_locks_of(executing_thread());
    // Partner: the same update on another thread. One thread ends the process, the others stop.
    match ENDED_BY.fetch_update(AcqRel, Acquire, |ender| (ender >> 32 != me >> 32).then_some(me)) {
        Ok(_) => {}
        Err(ender) if ender == me => return, // a second signal during the first
        Err(_) => loop {
            // SAFETY: waits for a signal; async-signal-safe.
            unsafe { libc::pause() };
        },
    }
    for step in 0..GRACE_STEPS.load(Relaxed) {
        let signal_once = |thread| {
            if step == 0 {
                send(signal, thread);
            }
        };
        if visit_other_owners(executing_thread(), signal_once) == 0 {
            break;
        }
        let _ = nanosleep(&timespec(GRACE_STEP));
    }
    repeat_wakes();
    die_by(signal);
}

/// Ends the process as the signal's default action does. Async-signal-safe.
fn die_by(signal: libc::c_int) -> ! {
    let _ = replace(signal, &default_action());
    // SAFETY: raises a signal that exists. The signal is blocked while its handler runs, so it
    // stays pending.
    unsafe { libc::raise(signal) };
    signal_mask::unblock(signal); // the kernel delivers it here
    // The first process of a pid namespace does not die by its own signals, see
    // pid_namespaces(7). It exits with the status of a shell.
    // SAFETY: ends the process and runs nothing before.
    unsafe { libc::_exit(128 + signal) }
}

/// Releases every lock that `thread` holds, and sets DIED: the critical section was cut short.
fn release_locks_of(thread: u32) {
    registry::for_each(|pinned| release_if_of(thread, pinned));
}

/// Releases the lock if this thread, with this number of the kernel's, holds it.
fn release_if_of(thread: u32, pinned: &Pinned) {
    // The owner word first. This thread may have given the handle away, and the thread that has it
    // notes itself before it acquires.
    if !is_owner(pinned) {
        return;
    }
    // The kernel reuses the number of an ended thread, whose handle another thread may use. So our
    // own number decides, too.
    if pinned.thread() == (Thread { id: thread, number: number_as_known() }) {
        release(pinned);
    }
}

fn release(pinned: &Pinned) {
    // SAFETY: the registry keeps the region mapped while the handle is pinned.
    let word = unsafe { &*pinned.word };
    if let Ok(Wake::One) = protocol::abandon(word, pinned.token, pinned.fence) {
        futex::wake_one(word);
    }
}

/// Wakes one waiter of each lock, in place of wakes that are lost with this process.
///
/// A thread of ours may have released a lock and not yet called futex(2); another may have been
/// woken and not yet acquired. A waiter that is woken without need checks the word and sleeps
/// again.
fn repeat_wakes() {
    registry::for_each(|pinned| {
        // SAFETY: the registry keeps the region mapped while the handle is pinned.
        futex::wake_one(unsafe { &*pinned.word });
    });
}

/// Calls `visit` with the thread of each lock that a thread other than `me` holds, and returns the
/// number of these locks.
fn visit_other_owners(me: u32, visit: impl Fn(u32)) -> u32 {
    let mut held = 0;
    registry::for_each(|pinned| {
        if !is_owner(pinned) {
            return;
        }
        let thread = pinned.thread().id;
        if thread != me && thread != 0 {
            held += 1;
            visit(thread);
        }
    });
    held
}

/// Sends the signal to a thread of this process by tgkill(2).
fn send(signal: libc::c_int, thread: u32) {
    let process = getpid().as_raw_nonzero().get();
    // SAFETY: tgkill(2) checks its numbers. That the thread has ended is no error here.
    unsafe { libc::syscall(libc::SYS_tgkill, process, thread, signal) };
}

/// Returns `true` if the owner word names the handle.
fn is_owner(pinned: &Pinned) -> bool {
    // SAFETY: the registry keeps the region mapped while the handle is pinned.
    let word = unsafe { &*pinned.word };
    // Partner: the acquiring swap of that thread. Relaxed: `release` checks again.
    Word::from_bits(word.load(Relaxed)).is_owned_by(pinned.token)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::{executing_thread, release_if_of};
    use crate::ShmLock;
    use crate::process::registry;

    /// The other thread acquires while this one, which ends, is at the handle.
    #[test]
    fn a_lock_is_not_released_that_another_thread_has_just_acquired_by_the_same_handle() {
        let lock = ShmLock::open(&format!("test-ending-{}", std::process::id())).expect("opens");
        lock.acquire().expect("free");
        lock.release().expect("held");
        let (token, mut lock) = (lock.token, Some(lock));
        registry::for_each(|pinned| {
            if pinned.token == token {
                lock = lock.take().and_then(|lock| {
                    let acquire = move || lock.acquire().map(|()| lock);
                    thread::spawn(acquire).join().ok()?.ok()
                });
                release_if_of(executing_thread(), pinned);
            }
        });
        let lock = lock.expect("acquired");
        assert!(lock.is_held(), "the lock of a thread that goes on was released");
        lock.release().expect("held");
    }
}
