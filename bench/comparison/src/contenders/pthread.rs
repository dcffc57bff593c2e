//! What do the C library's mutexes cost, in memory that processes share?

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

/// glibc's mutex that spins before it sleeps. The number is part of its binary interface; a C
/// library that does not have this kind refuses it, and the contender stays away.
const PTHREAD_MUTEX_ADAPTIVE_NP: c_int = 3;

/// An ordinary one.
pub(crate) type Normal = Pthread<PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE>;
/// Spins before it sleeps.
pub(crate) type Adaptive =
    Pthread<PTHREAD_MUTEX_ADAPTIVE_NP, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE>;
/// Survives the death of its owner.
pub(crate) type Robust = Pthread<PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST, PTHREAD_PRIO_NONE>;
/// And lends the owner the priority of who waits.
pub(crate) type RobustPi =
    Pthread<PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST, PTHREAD_PRIO_INHERIT>;

/// The mutex, by itself on its pair of cache lines.
#[repr(C, align(128))]
struct Shared(UnsafeCell<pthread_mutex_t>);

// SAFETY: accessed by the C library's functions only, which are made to be called by several at
// once.
unsafe impl Sync for Shared {}

/// A process-shared mutex in a mapped file.
pub(crate) struct Pthread<const KIND: c_int, const ROBUST: c_int, const PRIO: c_int>(
    Mapping<Shared>,
);

/// What one of the library's functions answered.
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
    // SAFETY: there is room for them.
    check(unsafe { libc::pthread_mutexattr_init(attributes) })?;
    // SAFETY: initialised above; so for the next three.
    check(unsafe { libc::pthread_mutexattr_setpshared(attributes, PTHREAD_PROCESS_SHARED) })?;
    // SAFETY: as above.
    check(unsafe { libc::pthread_mutexattr_settype(attributes, kind) })?;
    // SAFETY: as above.
    check(unsafe { libc::pthread_mutexattr_setrobust(attributes, robust) })?;
    // SAFETY: as above.
    check(unsafe { libc::pthread_mutexattr_setprotocol(attributes, protocol) })?;
    // SAFETY: the mutex has room in a new mapping that nobody else uses yet; the attributes are
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
    fn locked<R>(&mut self, section: impl FnOnce() -> R) -> Result<R> {
        let mutex = self.0.0.get();
        // SAFETY: initialised by `prepare`, and mapped for as long as `self` lives; so for the next
        // two.
        let rc = unsafe { libc::pthread_mutex_lock(mutex) };
        if rc == EOWNERDEAD {
            // SAFETY: as above; we hold it, and the owner before us has died.
            check(unsafe { libc::pthread_mutex_consistent(mutex) })?;
        } else {
            check(rc)?;
        }
        let result = section();
        // SAFETY: as above; we hold it.
        check(unsafe { libc::pthread_mutex_unlock(mutex) })?;
        Ok(result)
    }
}
