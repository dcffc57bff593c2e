//! How memory becomes a lock, and a handle one of its contenders.

#![allow(unsafe_code, reason = "exports symbols by their names and takes pointers from C")]

use core::ffi::c_void;
use core::num::NonZeroU16;
use core::ptr::NonNull;

use shmlock_core::{Error, FenceScope, Region, RegionLock, layout};

use crate::fence_scope::scope;
use crate::handle::{self, Handle, Lock};
use crate::pointer::checked;
use crate::record::copy;
use crate::status::Status;

/// Bytes of a region. All zero is a free lock.
pub const SHMLOCK_CORE_REGION_LEN: usize = 128;
/// A region starts at a multiple of this, in bytes. 64 is better: then all hot words share one
/// cache line.
pub const SHMLOCK_CORE_REGION_ALIGN: usize = 4;
/// The version of the layout in memory, as in `PROTOCOL.md`.
pub const SHMLOCK_CORE_LAYOUT_VERSION: u32 = 1;

/// The largest token that `shmlock_core_attach` takes; the smallest is 1.
pub const SHMLOCK_CORE_TOKEN_MAX: u32 = 65535;

// `cbindgen` reads numbers and does not calculate.
const _: () = assert!(
    SHMLOCK_CORE_REGION_LEN == layout::REGION_LEN
        && SHMLOCK_CORE_REGION_ALIGN == layout::REGION_ALIGN
        && SHMLOCK_CORE_LAYOUT_VERSION == layout::LAYOUT_VERSION as u32
        && SHMLOCK_CORE_TOKEN_MAX == shmlock_core::token::STATIC_MAX
);

/// Whether the `len` bytes from `address` on are a lock, or zero and so could become one. Only
/// reads.
///
/// Never blocks; async-signal-safe; anybody may call it, whoever may only read as well.
///
/// Answers `SHMLOCK_CORE_STATUS_OK`, `_NULL`, `_MISALIGNED`, `_TOO_SHORT`, `_NOT_A_LOCK`,
/// `_OTHER_VERSION`.
///
/// # Safety
/// Unless the address is refused, `len` bytes from it on can be read, and are written only by
/// accesses of 32 bits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_check(address: *const c_void, len: usize) -> Status {
    // SAFETY: promised by the caller.
    unsafe { copy(address, len, FenceScope::InnerShareable) }
        .and_then(|copy| Region::new(&copy).map(|_| Status::Ok).map_err(Status::from))
        .into()
}

/// Makes `lock` a contender of the lock in the `len` bytes from `address` on, under `token`. It
/// holds nothing yet.
///
/// Memory that is all zero becomes a lock by having its magic word written; that is the only write.
/// Whatever `lock` was before is overwritten; detach a handle before attaching it again.
///
/// **Give each contender of a region its own token** from 1 to `SHMLOCK_CORE_TOKEN_MAX`: each core,
/// task, process, boot loader. Two with one token exclude nobody. (So a core that restarts finds
/// its own token in the lock, takes it over from its former life at its first acquisition, and is
/// told by `SHMLOCK_CORE_STATUS_OWNER_DIED`.) All contenders of a region have one `fence_scope`:
/// `SHMLOCK_CORE_INNER_SHAREABLE` or `SHMLOCK_CORE_FULL_SYSTEM`.
///
/// Never blocks; async-signal-safe; anybody may call it.
///
/// Answers `SHMLOCK_CORE_STATUS_OK`, `_NULL`, `_MISALIGNED`, `_TOO_SHORT`, `_NOT_A_LOCK`,
/// `_OTHER_VERSION`, `_BAD_TOKEN`, `_BAD_SCOPE`. After an error neither the handle nor the memory
/// has been touched.
///
/// # Safety
/// `lock` leads to a `shmlock_core_t` that nobody else uses meanwhile. Unless the address is refused,
/// `len` bytes from it on can be read and written until the handle is detached, and are accessed
/// only by atomic operations of 32 bits, by anybody. (What *values* somebody else writes there can
/// do no more harm than to the lock.) If they are a mapped file, it is not truncated.
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
        // SAFETY: promised by the caller, for as long as the handle is attached.
        let region = unsafe { Region::from_raw(address, len) }?;
        // SAFETY: not NULL and aligned, as checked; the rest is promised by the caller.
        unsafe { handle::settle(lock, RegionLock::with_fence(region, token, scope)) };
        Ok(Status::Ok)
    };
    attach().into()
}

/// Ends the use of a handle, gives back all that it holds, and leaves it zero as far as
/// `shmlock_core_attach` is concerned.
///
/// Never blocks; async-signal-safe; only the contender whose handle it is calls it.
///
/// Answers `SHMLOCK_CORE_STATUS_OK`; `_OVERWRITTEN`, and is detached nevertheless; `_NULL`,
/// `_MISALIGNED`, `_NOT_ATTACHED`, `_IN_USE`, `_FORKED`: it is attached still.
///
/// # Safety
/// As every function's, of `lock`: see `shmlock_core_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_detach(lock: *mut Handle) -> Status {
    let release_all = |lock: &mut Lock| {
        loop {
            match lock.release() {
                Ok(()) => {}
                Err(Error::NotHeld) => return Ok(Status::Ok),
                Err(error) => return Err(error.into()), // `Overwritten`: it holds nothing any more
            }
        }
    };
    // SAFETY: promised by the caller.
    unsafe { handle::unsettle(lock, release_all) }.into()
}
