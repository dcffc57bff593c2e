//! Decides about each system call of a thread from outside, `seccomp_unotify(2)`: refuses it,
//! interrupts it once, or writes it down.

#![allow(unsafe_code, reason = "seccomp and the ioctls of its listener")]

use std::io::{self, Read, Write};
use std::mem::zeroed;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::hostile::seccomp::{Denied, If, filter_by, prepare};
use crate::skip::skipped;

// linux/seccomp.h, of which libc has only parts.
const SET_MODE_FILTER: libc::c_long = 1;
const NEW_LISTENER: libc::c_long = 1 << 3;
const CONTINUE: u32 = 1;
const USER_NOTIF: u32 = 0x7fc0_0000;
const RECEIVE: u64 = 0xc050_2100;
const SEND: u64 = 0xc018_2101;

/// The number of calls so far.
#[derive(Clone, Debug, Default)]
pub struct Count(Arc<AtomicU64>);

impl Count {
    /// Returns the number up to this moment.
    #[must_use]
    pub fn get(&self) -> u64 {
        // Partner: the increment in `answer`. Relaxed: the number orders nothing.
        self.0.load(Ordering::Relaxed)
    }
}

/// From now on, fails these calls of the calling thread and its children with `EPERM`, and counts
/// them. Where the kernel has no such filters, reports that the test is skipped.
///
/// If `futex` is among the calls, the calling thread can no longer wait for other threads.
#[must_use]
pub fn refuse_and_count(calls: &[libc::c_long]) -> Option<Count> {
    supervise(calls, |_| Some(libc::EPERM))
}

/// From now on, fails each of these calls of the calling thread with `EINTR`, as a signal would;
/// the next attempt is carried out. Counts both. Where the kernel has no such filters, reports that
/// the test is skipped.
#[must_use]
pub fn interrupt_once(calls: &[libc::c_long]) -> Option<Count> {
    let mut interrupted = None;
    supervise(calls, move |call| {
        let is_next_try = interrupted.take() == Some(call);
        interrupted = (!is_next_try).then_some(call);
        interrupted.map(|_| libc::EINTR)
    })
}

/// From now on, runs `act` in another thread before each of these calls of the calling thread is
/// carried out, and counts them. Where the kernel has no such filters, reports that the test is
/// skipped. `act` must not panic.
#[must_use]
pub fn before_each(
    calls: &[libc::c_long],
    mut act: impl FnMut() + Send + 'static,
) -> Option<Count> {
    supervise(calls, move |_| {
        act();
        None
    })
}

/// The calls so far, by their numbers.
#[derive(Clone, Debug, Default)]
pub struct Recorded(Arc<Mutex<Vec<libc::c_long>>>);

impl Recorded {
    /// Returns the calls since the last time.
    #[must_use]
    pub fn take(&self) -> Vec<libc::c_long> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// From now on, writes down every call of the calling thread, except those by which it waits, ends,
/// or writes to a descriptor. Where the kernel has no such filters, reports that the test is
/// skipped.
#[must_use]
pub fn record_calls() -> Option<Recorded> {
    const UNRECORDED: [libc::c_long; 8] = [
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_sendto,
        libc::SYS_sendmsg,
        libc::SYS_futex,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_rt_sigreturn,
    ];
    /// Above the last number of any architecture without a base.
    const END: libc::c_long = 500;
    let recorded = Recorded::default();
    let list = recorded.clone();
    let calls: Vec<_> = (0..END).filter(|call| !UNRECORDED.contains(call)).collect();
    let watched = supervise(&calls, move |call| {
        list.0.lock().unwrap_or_else(PoisonError::into_inner).push(call.into());
        None
    });
    watched.map(|_| recorded)
}

/// Starts a thread that decides about each of these calls: the errno with which it fails, or `None`
/// to carry it out.
fn supervise(
    calls: &[libc::c_long],
    decide: impl FnMut(libc::c_int) -> Option<libc::c_int> + Send + 'static,
) -> Option<Count> {
    let calls: Vec<_> =
        calls.iter().map(|&call| Denied { call, when: If::Called, errno: 0 }).collect();
    let count = Count::default();
    let (from_us, to_it) = UnixStream::pair().expect("two descriptors");
    let counting = count.clone();
    // It starts before the filter is installed, and so is not filtered.
    thread::spawn(move || answer(from_us, &counting, decide));
    match listen(&mut filter_by(&calls, |_| USER_NOTIF)) {
        Ok(listener) => {
            (&to_it).write_all(&listener.to_le_bytes()).expect("it reads");
            Some(count)
        }
        Err(error) => {
            skipped(&format!("no seccomp listeners here: {error}"));
            None
        }
    }
}

fn listen(program: &mut [libc::sock_filter]) -> io::Result<libc::c_int> {
    let program = prepare(program)?;
    // SAFETY: a valid program, which the kernel checks and copies.
    let listener = unsafe {
        libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, NEW_LISTENER, &raw const program)
    };
    if listener == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(i32::try_from(listener).expect("a descriptor"))
    }
}

/// Answers until no thread has the filter any more.
fn answer(
    mut from: UnixStream,
    count: &Count,
    mut decide: impl FnMut(libc::c_int) -> Option<libc::c_int>,
) {
    let mut listener = [0; 4];
    if from.read_exact(&mut listener).is_err() {
        return;
    }
    let listener = i32::from_le_bytes(listener);
    loop {
        // SAFETY: plain integers, for which all zero is valid.
        let mut call: libc::seccomp_notif = unsafe { zeroed() };
        // SAFETY: a descriptor, and a place of the size that the request names.
        if unsafe { libc::ioctl(listener, RECEIVE as _, &raw mut call) } == -1 {
            match io::Error::last_os_error().raw_os_error() {
                // The thread that called was killed or interrupted.
                Some(libc::EINTR | libc::ENOENT) if !is_abandoned(listener) => continue,
                _ => return,
            }
        }
        count.0.fetch_add(1, Ordering::Relaxed); // partner: `get`
        let (error, flags) = decide(call.data.nr).map_or((0, CONTINUE), |errno| (-errno, 0));
        let answer = libc::seccomp_notif_resp { id: call.id, val: 0, error, flags };
        // SAFETY: as above. The thread that called may have been interrupted meanwhile: no harm.
        unsafe { libc::ioctl(listener, SEND as _, &raw const answer) };
    }
}

/// Returns `true` if no thread has the filter of this listener any more. Since Linux 6.11 the
/// listener then does not block.
fn is_abandoned(listener: libc::c_int) -> bool {
    let mut polled = libc::pollfd { fd: listener, events: 0, revents: 0 };
    // SAFETY: a valid place for one entry.
    let answer = unsafe { libc::poll(&raw mut polled, 1, 0) };
    answer == 1 && polled.revents & libc::POLLHUP != 0
}
