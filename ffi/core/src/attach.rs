//! Attaches a handle to memory, which becomes a lock if it is zero, and detaches it.

#![allow(unsafe_code, reason = "exports symbols by their names and takes pointers from C")]

use core::ffi::c_void;
use core::num::NonZeroU16;
use core::ptr::NonNull;

use shmlock_core::{Error, FenceScope, Region, RegionLock, layout};

use crate::fence_scope::scope;
use crate::handle::{self, Handle, Lock};
use crate::pointer::checked;
use crate::record::{copy, look};
use crate::status::Status;

/// The size of a region in bytes. All zero is a free lock.
pub const SHMLOCK_CORE_REGION_LEN: usize = 128;
/// The alignment of a region in bytes. Prefer 64: then all hot words share one cache line.
pub const SHMLOCK_CORE_REGION_ALIGN: usize = 4;
/// The version of the memory layout, as in `PROTOCOL.md`.
pub const SHMLOCK_CORE_LAYOUT_VERSION: u32 = 1;

/// The largest token of `shmlock_core_attach`. The smallest is 1.
pub const SHMLOCK_CORE_TOKEN_MAX: u32 = 65535;

// `cbindgen` reads numbers but does not calculate.
const _: () = assert!(
    SHMLOCK_CORE_REGION_LEN == layout::REGION_LEN
        && SHMLOCK_CORE_REGION_ALIGN == layout::REGION_ALIGN
        && SHMLOCK_CORE_LAYOUT_VERSION == layout::LAYOUT_VERSION as u32
        && SHMLOCK_CORE_TOKEN_MAX == shmlock_core::token::STATIC_MAX
);

/// Returns `SHMLOCK_CORE_STATUS_OK` if the `len` bytes at `address` are a lock, or zero and could
/// become one. A lock with tokens of boots is a lock as well. Only reads, so read-only memory is
/// enough.
///
/// Never blocks; async-signal-safe; any caller.
///
/// Returns `SHMLOCK_CORE_STATUS_OK`, `_NULL`, `_MISALIGNED`, `_TOO_SHORT`, `_NOT_A_LOCK`,
/// `_OTHER_VERSION`.
///
/// # Safety
/// Unless the address is refused, `len` bytes at it are readable, and are written by 32-bit
/// accesses only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_check(address: *const c_void, len: usize) -> Status {
    // SAFETY: guaranteed by the caller.
    unsafe { copy(address, len, FenceScope::InnerShareable) }
        .and_then(|copy| look(&copy, FenceScope::InnerShareable).map(|_| Status::Ok))
        .into()
}

/// Attaches `lock` to the `len` bytes at `address`, as the contender `token`. It holds nothing yet.
///
/// Memory that is all zero becomes a lock: the magic word is written, and nothing else. The
/// previous content of `lock` is overwritten; detach a handle before attaching it again.
///
/// **Give each contender of a region its own token** from 1 to `SHMLOCK_CORE_TOKEN_MAX`: each core,
/// task, process, boot loader. Two contenders with the same token do not exclude each other. (A
/// core that restarts finds its own token in the lock. Its first acquisition recovers the lock and
/// returns `SHMLOCK_CORE_STATUS_OWNER_DIED`.) All contenders of a region use the same
/// `fence_scope`: `SHMLOCK_CORE_INNER_SHAREABLE` or `SHMLOCK_CORE_FULL_SYSTEM`.
///
/// Never blocks; async-signal-safe; any caller.
///
/// Returns `SHMLOCK_CORE_STATUS_OK`, `_NULL`, `_MISALIGNED`, `_TOO_SHORT`, `_NOT_A_LOCK`,
/// `_OTHER_VERSION`, `_EPOCH_TOKENS`, `_BAD_TOKEN`, `_BAD_SCOPE`. An error leaves the handle and
/// the memory unchanged.
///
/// # Safety
/// `lock` points to a `shmlock_core_t` that no other code uses meanwhile. Unless the address is
/// refused, `len` bytes at it are readable and writable until the handle is detached, and are
/// accessed by 32-bit atomic operations only. (Foreign *values* there can harm nothing but the
/// lock.) If they are a mapped file, it is not truncated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_attach(
    lock: *mut Handle,
    address: *mut c_void,
    len: usize,
    token: u32,
    fence_scope: u32,
) -> Status {
    let attach = || {
        let lock = checked(lock)?;
        let scope = scope(fence_scope)?;
        let token = u16::try_from(token).ok().and_then(NonZeroU16::new).ok_or(Status::BadToken)?;
        let address = NonNull::new(address.cast()).ok_or(Status::Null)?;
        // SAFETY: guaranteed by the caller, for as long as the handle is attached.
        let region = unsafe { Region::from_raw(address, len) }?;
        // SAFETY: not NULL and aligned: checked; the rest is guaranteed by the caller.
        unsafe { handle::attach(lock, RegionLock::with_fence(region, token, scope)) };
        Ok(Status::Ok)
    };
    attach().into()
}

/// Releases every hold of a handle and detaches it.
///
/// Never blocks; async-signal-safe; only the contender that uses the handle.
///
/// Returns `SHMLOCK_CORE_STATUS_OK`; `_OVERWRITTEN`: the handle is detached nevertheless; `_NULL`,
/// `_MISALIGNED`, `_NOT_ATTACHED`, `_IN_USE`, `_FORKED`: nothing was changed.
///
/// # Safety
/// For `lock`: see `shmlock_core_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_detach(lock: *mut Handle) -> Status {
    let release_all = |lock: &mut Lock| {
        loop {
            match lock.release() {
                Ok(()) => {}
                Err(Error::NotHeld) => return Ok(Status::Ok),
                Err(error) => return Err(error.into()), // `Overwritten`: nothing is held any more
            }
        }
    };
    // SAFETY: guaranteed by the caller.
    unsafe { handle::detach(lock, release_all) }.into()
}
