//! The C library's mutexes, in memory that processes share.

#![allow(unsafe_code, reason = "mutexes are the C library's")]

use std::cell::UnsafeCell;
use std::io;
use std::mem::MaybeUninit;

use libc::{
    EOWNERDEAD, PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST, PTHREAD_MUTEX_STALLED,
    PTHREAD_PRIO_INHERIT, PTHREAD_PRIO_NONE, PTHREAD_PROCESS_SHARED, c_int, pthread_mutex_t,
    pthread_mutexattr_t,
};
use shmlock_bench_support::Result;

use super::Contender;
use crate::memory::Mapping;
use crate::place::Place;

/// The kind of glibc's mutex that spins before it sleeps; the number is part of its binary
/// interface. Another C library refuses it, and the contender takes no part.
const PTHREAD_MUTEX_ADAPTIVE_NP: c_int = 3;

/// The default mutex.
pub(crate) type Normal = Pthread<PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE>;
/// Spins before it sleeps.
pub(crate) type Adaptive =
    Pthread<PTHREAD_MUTEX_ADAPTIVE_NP, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE>;
/// Survives the death of its owner.
pub(crate) type Robust = Pthread<PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST, PTHREAD_PRIO_NONE>;
/// Also raises the owner to the priority of its waiters.
pub(crate) type RobustPi =
    Pthread<PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST, PTHREAD_PRIO_INHERIT>;

/// The mutex, on a pair of cache lines of its own.
#[repr(C, align(128))]
struct Shared(UnsafeCell<pthread_mutex_t>);

// SAFETY: only the C library's functions access it, and they allow concurrent calls.
unsafe impl Sync for Shared {}

/// A process-shared mutex in a mapped file.
pub(crate) struct Pthread<const KIND: c_int, const ROBUST: c_int, const PRIO: c_int>(
    Mapping<Shared>,
);

/// Turns a return code into a result.
fn check(rc: c_int) -> io::Result<()> {
    if rc == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(rc)) }
}

fn initialise(
    mutex: *mut pthread_mutex_t,
    kind: c_int,
    robust: c_int,
    protocol: c_int,
) -> io::Result<()> {
    let mut attributes = MaybeUninit::<pthread_mutexattr_t>::uninit();
    let attributes = attributes.as_mut_ptr();
    // SAFETY: the pointer is valid for a write.
    check(unsafe { libc::pthread_mutexattr_init(attributes) })?;
    // SAFETY: initialised above; so for the next three.
    check(unsafe { libc::pthread_mutexattr_setpshared(attributes, PTHREAD_PROCESS_SHARED) })?;
    // SAFETY: as above.
    check(unsafe { libc::pthread_mutexattr_settype(attributes, kind) })?;
    // SAFETY: as above.
    check(unsafe { libc::pthread_mutexattr_setrobust(attributes, robust) })?;
    // SAFETY: as above.
    check(unsafe { libc::pthread_mutexattr_setprotocol(attributes, protocol) })?;
    // SAFETY: the mutex lies in a new mapping that no other process uses yet; the attributes are
    // initialised.
    check(unsafe { libc::pthread_mutex_init(mutex, attributes) })
    // The attributes own nothing, so they need no destruction.
}

impl<const KIND: c_int, const ROBUST: c_int, const PRIO: c_int> Contender
    for Pthread<KIND, ROBUST, PRIO>
{
    fn prepare(place: &Place) -> Result<()> {
        let mapping = Mapping::<Shared>::create(&place.file("pthread"))?;
        Ok(initialise(mapping.0.get(), KIND, ROBUST, PRIO)?)
    }

    fn open(place: &Place) -> Result<Self> {
        Ok(Self(Mapping::open(&place.file("pthread"))?))
    }

    #[inline]
    fn locked<R>(&mut self, critical_section: impl FnOnce() -> R) -> Result<R> {
        let mutex = self.0.0.get();
        // SAFETY: initialised by `prepare`, and mapped for as long as `self` lives; so for the next
        // two.
        let rc = unsafe { libc::pthread_mutex_lock(mutex) };
        if rc == EOWNERDEAD {
            // SAFETY: as above; we hold it, and the previous owner died.
            check(unsafe { libc::pthread_mutex_consistent(mutex) })?;
        } else {
            check(rc)?;
        }
        let result = critical_section();
        // SAFETY: as above; we hold it.
        check(unsafe { libc::pthread_mutex_unlock(mutex) })?;
        Ok(result)
    }
}
