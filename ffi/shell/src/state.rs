//! Exports the state of a lock, by a handle or from outside.

#![allow(unsafe_code, reason = "exports symbols by their names and takes pointers from C")]

use std::ffi::c_char;

use shmlock::{LockState, LockStatus, OwnerState, ShmLock, Statistics};

use crate::error::{Failure, answer};
use crate::handle::{self, Lock};
use crate::holder::Holder;
use crate::options::{self, Options};
use crate::pointer::{checked, write};
use crate::status::Status;

/// The kind of owner that has a lock, if one has.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The lock is free.
    No = 0,
    /// By this handle.
    Here = 1,
    /// By another handle, whose process lives.
    Alive = 2,
    /// By an owner that has died. The next contender recovers the lock.
    Dead = 3,
    /// By an owner of which it is not known whether it lives; it counts as alive.
    Unknown = 4,
}

/// The state of a lock at one moment.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct State {
    /// The kind of its owner, if it has one.
    pub held: Held,
    /// The number of recoveries in the life of the file, modulo 2^32.
    pub recoveries: u32,
    /// WAITERS is set. It may stay set after the last waiter has gone.
    pub waiters: bool,
    /// An owner died, and no later owner has declared the data consistent.
    pub owner_died: bool,
    /// The file was removed: the next opener of the name gets another lock.
    pub orphaned: bool,
    /// A handle is open. `true` by a handle.
    pub in_use: bool,
    /// The number of acquisitions that found another owner, modulo 2^32.
    pub contended: u32,
    /// The number of acquisitions, without nested ones.
    pub acquisitions: u64,
    /// The longest hold of a handle with `SHMLOCK_MEASURE_HOLDS`; 0 if there was none.
    pub longest_hold_ns: u64,
    /// Zero.
    pub reserved: [u64; 4],
    /// The owner; zero if the lock is free.
    pub holder: Holder,
}

impl Default for State {
    fn default() -> Self {
        Self {
            held: Held::No,
            recoveries: 0,
            waiters: false,
            owner_died: false,
            orphaned: false,
            in_use: false,
            contended: 0,
            acquisitions: 0,
            longest_hold_ns: 0,
            reserved: [0; 4],
            holder: Holder::NONE,
        }
    }
}

impl State {
    fn of(status: LockStatus, statistics: Statistics, holder: Option<&shmlock::Holder>) -> Self {
        let longest = statistics.longest_hold.map_or(0, |hold| hold.as_nanos());
        Self {
            held: match status.state {
                LockState::Unlocked => Held::No,
                LockState::HeldByThisHandle => Held::Here,
                LockState::Held(OwnerState::Alive) => Held::Alive,
                LockState::Held(OwnerState::Dead) => Held::Dead,
                _ => Held::Unknown,
            },
            recoveries: status.recoveries,
            waiters: status.waiters,
            owner_died: status.owner_died,
            orphaned: status.orphaned,
            in_use: true,
            contended: statistics.contended,
            acquisitions: statistics.acquisitions,
            longest_hold_ns: u64::try_from(longest).unwrap_or(u64::MAX),
            reserved: [0; 4],
            holder: holder.map_or(Holder::NONE, Holder::from),
        }
    }
}

/// Writes to `state` the state of the lock and of its file.
///
/// Never blocks; changes nothing; some ten system calls. The answer may be out of date at once.
///
/// Returns `SHMLOCK_STATUS_OK`; `_FORKED`; `_NULL`, `_MISALIGNED`, `_NOT_OPEN`, `_IN_USE`.
///
/// # Safety
/// For `lock`: see `shmlock_t`. Unless it is refused, `state` points to a `shmlock_state`. For
/// `error`: see `shmlock_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_get_state(
    lock: *const Lock,
    state: *mut State,
    error: *mut Failure,
) -> Status {
    let read = |lock: &ShmLock| {
        checked(state)?;
        let (status, statistics) = (lock.status()?, lock.statistics()?);
        let found = State::of(status, statistics, lock.holder()?.as_ref());
        // SAFETY: guaranteed by the caller.
        unsafe { write(state, found) }?;
        Ok(Status::Ok)
    };
    // SAFETY: guaranteed by the caller.
    unsafe { handle::with(lock, error, read) }
}

/// Writes to `state` the state of the lock of this name, from outside: without a handle, and with
/// no more than the right to read its file. Of `options`, only the directory counts.
///
/// Never blocks; changes nothing. Not async-signal-safe; a cancellation point.
///
/// Returns `SHMLOCK_STATUS_OK`; `_NONE` if there is no such lock: `state` is not written; `_NULL`,
/// `_MISALIGNED`, `_BAD_OPTIONS`, `_BAD_TEXT`, `_INVALID_NAME`, `_NOT_A_LOCK`, `_SYSTEM`.
///
/// # Safety
/// `name` is NULL or a string. For `options`: see `shmlock_open`. Unless it is refused, `state`
/// points to a `shmlock_state`. For `error`: see `shmlock_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_inspect(
    name: *const c_char,
    options: *const Options,
    state: *mut State,
    error: *mut Failure,
) -> Status {
    let inspect = || {
        checked(state)?;
        // SAFETY: guaranteed by the caller.
        let builder = unsafe { options::builder_from_outside(name, options) }?;
        let Some(seen) = builder.inspect()? else { return Ok(Status::None) };
        let found = State::of(seen.status, seen.statistics, seen.holder.as_ref());
        // SAFETY: guaranteed by the caller.
        unsafe { write(state, State { in_use: seen.in_use, ..found }) }?;
        Ok(Status::Ok)
    };
    // SAFETY: guaranteed by the caller.
    unsafe { answer(error, inspect) }
}
