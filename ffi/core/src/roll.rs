//! Counts the boots of cores, attaches handles of boots, and recovers by the roll.

#![allow(unsafe_code, reason = "exports symbols by their names and takes pointers from C")]

use core::ffi::c_void;
use core::ptr::NonNull;

use shmlock_core::fence::FullSystem;
use shmlock_core::roll::{self, BootId, BootLiveness, Roll, Slot};
use shmlock_core::{EpochRegion, RegionLock, layout};

use crate::acquire::{self, Callback, WaitFn};
use crate::fence_scope::scope;
use crate::handle::{self, Handle};
use crate::pointer::{checked, read, write};
use crate::status::Status;

/// The largest slot of a roll. The smallest is 1.
pub const SHMLOCK_CORE_SLOT_MAX: u32 = 63;
/// The bytes of a roll before its slots. A roll is aligned to 4; all zero is one without any boot.
pub const SHMLOCK_CORE_ROLL_HEAD_LEN: usize = 16;

/// The bytes of a roll for each slot, behind the first `SHMLOCK_CORE_ROLL_HEAD_LEN`.
pub const SHMLOCK_CORE_ROLL_SLOT_LEN: usize = 8;

// `cbindgen` reads numbers but does not calculate.
const _: () = assert!(
    SHMLOCK_CORE_SLOT_MAX == layout::SLOT_MAX as u32
        && SHMLOCK_CORE_ROLL_HEAD_LEN == layout::roll_len(0)
        && SHMLOCK_CORE_ROLL_HEAD_LEN + SHMLOCK_CORE_ROLL_SLOT_LEN == layout::roll_len(1)
);

/// One boot of one core.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Boot {
    /// The slot of the core, 1 to `SHMLOCK_CORE_SLOT_MAX`.
    pub slot: u32,
    /// The number of the boot. The first one is 1; 0 is none.
    pub number: u32,
}

impl Boot {
    fn of(id: BootId) -> Self {
        Self { slot: id.slot().get().into(), number: id.number() }
    }

    /// # Errors
    /// [`Status::BadSlot`]; [`Status::BadToken`] for number 0.
    fn id(self) -> Result<BootId, Status> {
        BootId::new(slot(self.slot)?, self.number).ok_or(Status::BadToken)
    }
}

/// Returns the slot of this number.
///
/// # Errors
/// [`Status::BadSlot`].
fn slot(number: u32) -> Result<Slot, Status> {
    u8::try_from(number).ok().and_then(Slot::new).ok_or(Status::BadSlot)
}

/// Returns the roll in the `len` bytes at `address`. Its fences are the strongest: they replace
/// those of any scope, and no call here is frequent.
///
/// # Errors
/// [`Status::Null`], [`Status::Misaligned`], [`Status::RollTooShort`], [`Status::NotARoll`],
/// [`Status::OtherRollVersion`].
///
/// # Safety
/// Unless the address is refused, `len` bytes at it are readable and writable for as long as the
/// result is used, and are accessed by 32-bit atomic operations only.
unsafe fn roll<'a>(address: *mut c_void, len: usize) -> Result<Roll<'a, FullSystem>, Status> {
    let address = NonNull::new(address.cast()).ok_or(Status::Null)?;
    // SAFETY: guaranteed by the caller.
    let roll = unsafe { Roll::from_raw(address, len) }?;
    Ok(roll.with_fence(FullSystem))
}

/// Counts a boot of the core of `slot` in the roll of `len` bytes at `address`, and writes it to
/// `boot`. From then on the boots before are proven over.
///
/// Memory that is all zero becomes a roll.
///
/// **Each start of a core calls this once, before it uses a lock; and no other party for it.** A
/// core that calls it twice declares its own handles dead, and two owners are possible. Start-up
/// code must not clear the roll, nor the regions beside it, while another party may use them.
///
/// Never blocks; async-signal-safe; only the core of the slot.
///
/// Returns `SHMLOCK_CORE_STATUS_OK`, `_NULL`, `_MISALIGNED`, `_BAD_SLOT`, `_ROLL_TOO_SHORT`,
/// `_NOT_A_ROLL`, `_OTHER_ROLL_VERSION`. An error leaves `boot` and all boots of the roll
/// unchanged.
///
/// # Safety
/// Unless the address is refused, `len` bytes at it are readable and writable, and are accessed by
/// 32-bit atomic operations only. Unless it is refused, `boot` points to a `shmlock_core_boot`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_begin_boot(
    address: *mut c_void,
    len: usize,
    slot: u32,
    boot: *mut Boot,
) -> Status {
    let begin = || {
        checked(boot)?;
        let slot = self::slot(slot)?;
        // SAFETY: guaranteed by the caller.
        let begun = unsafe { roll(address, len) }?.begin_boot(slot)?;
        // SAFETY: guaranteed by the caller.
        unsafe { write(boot, Boot::of(begun.id())) }?;
        Ok(Status::Ok)
    };
    begin().into()
}

/// Writes to `boot` the present boot of a slot, or its last one if its core does not run. The
/// number is 0 if none has begun.
///
/// Never blocks; async-signal-safe; any caller.
///
/// Returns the same as `shmlock_core_begin_boot`.
///
/// # Safety
/// That of `shmlock_core_begin_boot`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_last_boot(
    address: *mut c_void,
    len: usize,
    slot: u32,
    boot: *mut Boot,
) -> Status {
    let last = || {
        checked(boot)?;
        let none = Boot { slot, number: 0 };
        let slot = self::slot(slot)?;
        // SAFETY: guaranteed by the caller.
        let last = unsafe { roll(address, len) }?.last_boot(slot)?;
        // SAFETY: guaranteed by the caller.
        unsafe { write(boot, last.map_or(none, Boot::of)) }?;
        Ok(Status::Ok)
    };
    last().into()
}

/// Declares a boot over, for a core that does not come back by itself. A boot that is begun later
/// lives all the same.
///
/// **The caller has called `shmlock_core_last_boot` first, and then found that the core does not
/// run**: it is held in reset, its power is off, its clock is stopped for good. One supervisor a
/// slot. An error of the supervisor makes two owners possible.
///
/// Never blocks; async-signal-safe; only the supervisor of the slot.
///
/// Returns the same as `shmlock_core_begin_boot`; `_BAD_TOKEN` if the number of the boot is 0.
///
/// # Safety
/// For the roll: that of `shmlock_core_begin_boot`. Unless it is refused, `boot` points to a
/// `shmlock_core_boot`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_retire_boot(
    address: *mut c_void,
    len: usize,
    boot: *const Boot,
) -> Status {
    let retire = || {
        // SAFETY: guaranteed by the caller.
        let boot = unsafe { read(boot) }?.id()?;
        // SAFETY: guaranteed by the caller.
        unsafe { roll(address, len) }?.retire(boot)?;
        Ok(Status::Ok)
    };
    retire().into()
}

/// Attaches `lock` to the `len` bytes at `address`, as `shmlock_core_attach` does, with the token
/// of the present boot of this core.
///
/// If an earlier boot left the lock held, it is free then, `shmlock_core_owes_wake` answers for the
/// waiters, and the next owner is told by `SHMLOCK_CORE_STATUS_OWNER_DIED`.
///
/// A region has either plain tokens or those of boots. **One handle a region and boot**: another
/// one would take the hold of the first for that of an earlier boot.
///
/// Never blocks; async-signal-safe; only the core that began the boot.
///
/// Returns `SHMLOCK_CORE_STATUS_OK`, `_NULL`, `_MISALIGNED`, `_TOO_SHORT`, `_NOT_A_LOCK`,
/// `_OTHER_VERSION`, `_PLAIN_TOKENS`, `_BAD_SLOT`, `_BAD_TOKEN` if the number of the boot is 0,
/// `_BAD_SCOPE`. An error leaves the handle and the memory unchanged.
///
/// # Safety
/// For `lock` and the memory: that of `shmlock_core_attach`. Unless it is refused, `boot` points to
/// a `shmlock_core_boot`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_attach_boot(
    lock: *mut Handle,
    address: *mut c_void,
    len: usize,
    boot: *const Boot,
    fence_scope: u32,
) -> Status {
    let attach = || {
        let lock = checked(lock)?;
        let scope = scope(fence_scope)?;
        // SAFETY: guaranteed by the caller.
        let boot = roll::Boot::resume(unsafe { read(boot) }?.id()?);
        let address = NonNull::new(address.cast()).ok_or(Status::Null)?;
        // SAFETY: guaranteed by the caller, for as long as the handle is attached.
        let region = unsafe { EpochRegion::from_raw(address, len) }?;
        let attached = RegionLock::for_boot_with_fence(region, &boot, scope);
        // SAFETY: not NULL and aligned: checked; the rest is guaranteed by the caller.
        unsafe { handle::attach(lock, attached) };
        Ok(Status::Ok)
    };
    attach().into()
}

/// Acquires the lock as `shmlock_core_acquire` does, or recovers it from an owner whose boot is
/// over, by the roll of `roll_len` bytes at `roll`. It looks at the roll after each wait.
///
/// Blocks as long as `wait` does, `waits` times; async-signal-safe if `wait` is; only the contender
/// that uses the handle.
///
/// If it gives up, check `shmlock_core_owes_wake`.
///
/// Returns the same as `shmlock_core_try_acquire`, and for the roll the same as
/// `shmlock_core_begin_boot`; `_PLAIN_TOKENS` for a lock without tokens of boots, whose owners the
/// roll does not know.
///
/// # Safety
/// That of `shmlock_core_acquire`; for the roll that of `shmlock_core_begin_boot`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_acquire_or_recover(
    lock: *mut Handle,
    roll: *mut c_void,
    roll_len: usize,
    waits: u32,
    wait: WaitFn,
    context: *mut c_void,
) -> Status {
    let acquire = || {
        checked(lock)?;
        // SAFETY: guaranteed by the caller.
        let roll = unsafe { self::roll(roll, roll_len) }?;
        let wait = Callback::probing(waits, wait, context);
        // SAFETY: guaranteed by the caller.
        Ok(unsafe { acquire::acquire(lock, wait, &mut BootLiveness::new(roll)) })
    };
    acquire().into()
}
