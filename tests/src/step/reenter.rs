//! Installs a signal handler that uses the handle which the interrupted code is using.

#![allow(unsafe_code, reason = "a signal handler that follows raw pointers")]

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::process;
use std::ptr::{from_ref, null_mut};
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::Relaxed;

use shmlock::ShmLock;

use crate::account::Account;

/// The lock and the account of the handler; null before and after.
static LOCK: AtomicPtr<ShmLock> = AtomicPtr::new(null_mut());
static ACCOUNT: AtomicPtr<Account> = AtomicPtr::new(null_mut());

/// While this lives, the handler may use the lock.
pub(super) struct Aim<'a>(PhantomData<&'a ShmLock>);

/// Gives the handler its lock and its account.
pub(super) fn aim<'a>(lock: &'a ShmLock, account: &'a Account) -> Aim<'a> {
    ACCOUNT.store(from_ref(account).cast_mut(), Relaxed);
    LOCK.store(from_ref(lock).cast_mut(), Relaxed);
    Aim(PhantomData)
}

impl Drop for Aim<'_> {
    fn drop(&mut self) {
        LOCK.store(null_mut(), Relaxed);
        ACCOUNT.store(null_mut(), Relaxed);
    }
}

/// Lets SIGUSR1 try the lock.
pub(super) fn install() {
    act(libc::SIGUSR1, on_signal);
}

/// Lets SIGTERM call exit(3).
pub(super) fn install_exit() {
    act(libc::SIGTERM, on_exit);
}

fn act(signal: libc::c_int, handler: extern "C" fn(libc::c_int)) {
    // SAFETY: all zero is an action without flags and with an empty mask.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler as usize;
    // SAFETY: valid pointers; the handler makes only calls that a handler may make: the test is
    // about these.
    let answer = unsafe { libc::sigaction(signal, &raw const action, null_mut()) };
    assert_eq!(answer, 0, "sigaction");
}

extern "C" fn on_exit(_signal: libc::c_int) {
    // SAFETY: ends the process. exit(3) is not async-signal-safe, and programs call it in handlers
    // all the same.
    unsafe { libc::exit(0) };
}

/// Executes a critical section if the lock is free. Notes each visit in `met`, and in `rounds` each
/// critical section of its own.
extern "C" fn on_signal(_signal: libc::c_int) {
    let (lock, account) = (LOCK.load(Relaxed), ACCOUNT.load(Relaxed));
    if lock.is_null() || account.is_null() {
        return;
    }
    // SAFETY: of the interrupted thread, which cannot end its life while we run; only ever used by
    // shared references.
    let (lock, account) = (unsafe { &*lock }, unsafe { &*account });
    account.met.fetch_add(1, Relaxed);
    let nested = lock.is_held();
    match lock.try_lock() {
        Ok(Some(guard)) if nested => drop(guard), // the interrupted code's critical section
        Ok(Some(guard)) => {
            account.section(u64::from(process::id()), 1, guard.recovered().is_some());
            account.rounds.fetch_add(1, Relaxed);
        }
        Ok(None) if !nested => {}
        _ => crate::hostile::end_process::at_once(102), // an error, or its own lock refused
    }
}
