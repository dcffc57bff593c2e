//! Exports the known facts about an owner, alive or dead.

#![allow(unsafe_code, reason = "exports symbols by their names and takes pointers from C")]

use std::ffi::c_char;

use shmlock::ShmLock;

use crate::error::Failure;
use crate::handle::{self, Lock};
use crate::pointer::{checked, write};
use crate::status::Status;
use crate::text::cut;

/// The owner of a lock, as far as its record can be read.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Holder {
    /// The token in the owner word.
    pub token: u32,
    /// The process id of the owner **in its own pid namespace**; 0 if it is not known.
    pub pid: u32,
    /// The inode number of that pid namespace, as lsns(8) shows it; 0 if it is not known.
    pub pid_namespace: u32,
    /// `pid` names the owner in this process's pid namespace, too.
    pub pid_is_ours: bool,
    /// The record could be read. Otherwise only the token is known.
    pub recorded: bool,
    /// How long the owner has had the lock without another owner in between, in whole seconds.
    pub held_seconds: u64,
    /// The number that names the handle and no other: 16 bytes in order.
    pub uuid: [u8; 16],
    /// The reason for the hold: UTF-8, with a NUL. Text of another process may be hostile: escape
    /// it before printing it to a terminal.
    pub description: [c_char; 64],
    /// Zero.
    pub reserved: [u64; 4],
}

impl Default for Holder {
    fn default() -> Self {
        Self::NONE
    }
}

impl Holder {
    /// No owner.
    pub(crate) const NONE: Self = Self {
        token: 0,
        pid: 0,
        pid_namespace: 0,
        pid_is_ours: false,
        recorded: false,
        held_seconds: 0,
        uuid: [0; 16],
        description: [0; 64],
        reserved: [0; 4],
    };
}

impl From<&shmlock::Holder> for Holder {
    fn from(holder: &shmlock::Holder) -> Self {
        Self {
            token: holder.token(),
            pid: holder.pid().unwrap_or(0),
            pid_namespace: holder.pid_namespace().unwrap_or(0),
            pid_is_ours: holder.pid_is_ours() == Some(true),
            recorded: holder.uuid().is_some(),
            held_seconds: holder.since().map_or(0, |since| since.as_secs()),
            uuid: holder.uuid().map_or([0; 16], shmlock::uuid::Uuid::into_bytes),
            description: cut(holder.description()),
            reserved: [0; 4],
        }
    }
}

/// Writes to `holder` which owner has the lock now. A dead owner counts until its lock is
/// recovered.
///
/// Never blocks; changes nothing. The answer may be out of date at once. Async-signal-safe if
/// `error` is NULL.
///
/// Returns `SHMLOCK_STATUS_OK`; `_NONE` if the lock is free: `holder` is zero; `_FORKED`; `_NULL`,
/// `_MISALIGNED`, `_NOT_OPEN`, `_IN_USE`.
///
/// # Safety
/// For `lock`: see `shmlock_t`. Unless it is refused, `holder` points to a `shmlock_holder`. For
/// `error`: see `shmlock_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_get_holder(
    lock: *const Lock,
    holder: *mut Holder,
    error: *mut Failure,
) -> Status {
    let read = |lock: &ShmLock| {
        checked(holder)?;
        if error.is_null() && lock.is_inherited() {
            return Err(Status::Forked.into()); // allocates nothing
        }
        let found = lock.holder()?;
        // SAFETY: guaranteed by the caller.
        unsafe { write(holder, found.as_ref().map_or(Holder::NONE, Holder::from)) }?;
        Ok(found.map_or(Status::None, |_| Status::Ok))
    };
    // SAFETY: guaranteed by the caller.
    unsafe { handle::with(lock, error, read) }
}

/// Writes to `dead` which owner died, while the protected data may be inconsistent: this handle
/// holds the lock, and its acquisition returned `SHMLOCK_STATUS_OWNER_DIED`.
///
/// `dead` is zero if an earlier acquisition recovered the lock without declaring the data
/// consistent, or if an exit handler released the lock of the dying owner. Never blocks.
///
/// Returns `SHMLOCK_STATUS_OK`; `_NONE` if no owner has died, or this handle does not hold the
/// lock; `_NULL`, `_MISALIGNED`, `_NOT_OPEN`, `_IN_USE`.
///
/// # Safety
/// For `lock`: see `shmlock_t`. Unless it is refused, `dead` points to a `shmlock_holder`. For
/// `error`: see `shmlock_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_recovered(
    lock: *const Lock,
    dead: *mut Holder,
    error: *mut Failure,
) -> Status {
    let read = |lock: &ShmLock| {
        checked(dead)?;
        let recovered = lock.recovered();
        let found = recovered.as_ref().and_then(|recovered| recovered.dead.as_ref());
        // SAFETY: guaranteed by the caller.
        unsafe { write(dead, found.map_or(Holder::NONE, Holder::from)) }?;
        Ok(if recovered.is_some() { Status::Ok } else { Status::None })
    };
    // SAFETY: guaranteed by the caller.
    unsafe { handle::with(lock, error, read) }
}
