//! Reads and sets the owner record. The record is advisory: the protocol does not depend on it.

#![allow(
    unsafe_code,
    reason = "exports symbols by their names, takes pointers from C and copies foreign memory"
)]

use core::ffi::{CStr, c_char, c_void};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use shmlock_core::layout::{DESCRIPTION_MAX, EPOCH_VERSION, REGION_ALIGN, REGION_LEN};
use shmlock_core::record::description;
use shmlock_core::snapshot::snapshot;
use shmlock_core::uuid::Uuid;
use shmlock_core::{EpochRegion, Error, FenceScope, Region, RegionMemory, Token};

use crate::fence_scope::scope;
use crate::fork::ForkCheck;
use crate::handle::{self, Handle};
use crate::pointer::{checked, read, write};
use crate::status::Status;

/// An owner record. Leave unknown fields zero.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Start of the current unbroken series of holds, in seconds since boot.
    pub since: u64,
    /// Process id in the owner's own pid namespace. 0 without processes.
    pub pid: u32,
    /// Inode number of that pid namespace, 0 if unknown. In another namespace, `pid` names another
    /// process.
    pub pid_namespace: u32,
    /// Unique identifier of the owner: 16 bytes in order.
    pub uuid: [u8; 16],
    /// Reason for the hold: at most 63 bytes of UTF-8 and a NUL. Text from a region may be hostile:
    /// escape it before printing it to a terminal.
    pub description: [c_char; 64],
}

const _: () = assert!(DESCRIPTION_MAX + 1 == 64);

/// The owner of a lock.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The owner's token; of a ticket lock, its party. 0: the lock is free.
    pub token: u32,
    /// Number of recoveries so far, modulo 2^32. Of a ticket lock, the deaths of owners whose party
    /// began another life.
    pub recoveries: u32,
    /// An owner died, and the data was not declared consistent since. The owner in `token` may be
    /// dead as well: nothing in the memory tells.
    pub owner_died: bool,
    /// `record` is the owner's. If false, the owner has none or is writing it, and `record` is
    /// zero.
    pub recorded: bool,
    /// The owner record.
    pub record: Record,
}

const NOTHING: Record =
    Record { since: 0, pid: 0, pid_namespace: 0, uuid: [0; 16], description: [0; 64] };

impl Record {
    fn of(record: &shmlock_core::Record) -> Self {
        let mut described = [0; 64];
        for (to, from) in described.iter_mut().zip(record.description.as_bytes()) {
            #[allow(
                clippy::cast_possible_wrap,
                reason = "`char` is signed on some targets; it is the same byte"
            )]
            #[allow(trivial_numeric_casts, reason = "and unsigned on others")]
            let byte = *from as c_char;
            *to = byte;
        }
        Self {
            since: record.since,
            pid: record.pid,
            pid_namespace: record.pid_namespace,
            uuid: *record.uuid.as_bytes(),
            description: described,
        }
    }

    fn to_core(self) -> Result<shmlock_core::Record, Status> {
        #[allow(
            clippy::cast_sign_loss,
            reason = "`char` is signed on some targets; it is the same byte"
        )]
        let bytes = self.description.map(|byte| byte as u8);
        let text = CStr::from_bytes_until_nul(&bytes).map_err(|_| Status::BadDescription)?;
        let text = text.to_str().map_err(|_| Status::BadDescription)?;
        Ok(shmlock_core::Record {
            uuid: Uuid::from_bytes(self.uuid),
            pid: self.pid,
            pid_namespace: self.pid_namespace,
            since: self.since,
            description: description(text)?,
        })
    }
}

impl Holder {
    pub(crate) fn of(
        holder: Option<&shmlock_core::record::Holder>,
        recoveries: u32,
        owner_died: bool,
    ) -> Self {
        let record = holder.and_then(|holder| holder.record.as_ref());
        Self {
            token: holder.map_or(0, |holder| holder.token.get()),
            recoveries,
            owner_died,
            recorded: record.is_some(),
            record: record.map_or(NOTHING, Record::of),
        }
    }
}

/// Returns a copy of the record at an address from C; `None` for NULL.
///
/// # Errors
/// [`Status::Misaligned`], [`Status::BadDescription`].
///
/// # Safety
/// `record` is NULL, or misaligned, or points to a readable `Record`.
pub(crate) unsafe fn read_record(
    record: *const Record,
) -> Result<Option<shmlock_core::Record>, Status> {
    if record.is_null() {
        return Ok(None);
    }
    // SAFETY: guaranteed by the caller.
    unsafe { read(record) }?.to_core().map(Some)
}

/// Returns a private copy of the region at `address`, without checking that it is a lock.
///
/// # Errors
/// [`Status::Null`], [`Status::Misaligned`], [`Status::TooShort`].
///
/// # Safety
/// Unless the address is refused, `len` bytes at it are readable, and are written by 32-bit
/// accesses only.
pub(crate) unsafe fn copy(
    address: *const c_void,
    len: usize,
    fence: FenceScope,
) -> Result<RegionMemory, Status> {
    const { assert!(REGION_ALIGN == align_of::<AtomicU32>()) };
    let words: NonNull<[AtomicU32; REGION_LEN / 4]> = checked(address.cast())?;
    if len < REGION_LEN {
        return Err(Status::TooShort);
    }
    // SAFETY:
    // - Not NULL, aligned and long enough: checked.
    // - Readable, and accessed by 32-bit atomics only: guaranteed by the caller.
    let words = unsafe { words.as_ref() };
    let copy_once = || {
        let mut bytes = [0; REGION_LEN];
        for (bytes, word) in bytes.chunks_exact_mut(4).zip(words) {
            // Partner: the stores of the protocol and of the record. Relaxed: `snapshot` orders two
            // copies and compares them.
            bytes.copy_from_slice(&word.load(Relaxed).to_le_bytes());
        }
        Ok(bytes)
    };
    snapshot(fence, copy_once)
}

/// Returns what a copy of a region says, whichever static tokens it has.
///
/// # Errors
/// [`Status::NotALock`], [`Status::OtherVersion`].
pub(crate) fn look(copy: &RegionMemory, fence: FenceScope) -> Result<Holder, Status> {
    let (word, recoveries, holder) = match Region::new(copy) {
        Ok(region) => (region.word(), region.recoveries(), region.holder(fence)),
        Err(Error::OtherVersion { found: EPOCH_VERSION }) => {
            let region = EpochRegion::new(copy)?;
            (region.word(), region.recoveries(), region.holder(fence))
        }
        Err(error) => return Err(error.into()),
    };
    // The word decides on the owner: the reader of the record may have given up.
    Ok(Holder {
        token: word.owner().map_or(0, Token::get),
        ..Holder::of(holder.as_ref(), recoveries, word.owner_died())
    })
}

/// Writes to `holder` the owner of the lock in the `len` bytes at `address`, without a handle or a
/// token. Only reads the region, so a debugger or a supervisor can call it at any time. The result
/// may be out of date when the call returns.
///
/// Never blocks; async-signal-safe; any caller.
///
/// Returns `SHMLOCK_CORE_STATUS_OK`; `_NULL`, `_MISALIGNED`, `_TOO_SHORT`, `_NOT_A_LOCK`,
/// `_OTHER_VERSION`, `_BAD_SCOPE`: `holder` is unchanged.
///
/// # Safety
/// Unless the address is refused, `len` bytes at it are readable, and are written by 32-bit
/// accesses only. Unless it is refused, `holder` points to a `shmlock_core_holder`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_inspect(
    address: *const c_void,
    len: usize,
    fence_scope: u32,
    holder: *mut Holder,
) -> Status {
    let inspect = || {
        checked(holder)?;
        let fence = scope(fence_scope)?;
        // SAFETY: guaranteed by the caller.
        let copy = unsafe { copy(address, len, fence) }?;
        let found = look(&copy, fence)?;
        // SAFETY: guaranteed by the caller.
        unsafe { write(holder, found) }?;
        Ok(Status::Ok)
    };
    inspect().into()
}

/// Sets the owner record of this handle: at once if it holds the lock, and from its next
/// acquisition on. With NULL, others read only its token.
///
/// An acquisition then takes about thirty more stores if another contender held the lock meanwhile.
///
/// Never blocks; async-signal-safe; only the contender that uses the handle.
///
/// Returns `SHMLOCK_CORE_STATUS_OK`; `_BAD_DESCRIPTION`; `_MISALIGNED`; for `lock` `_NULL`,
/// `_MISALIGNED`, `_NOT_ATTACHED`, `_IN_USE`, `_FORKED`.
///
/// # Safety
/// For `lock`: see `shmlock_core_t`. `record` is NULL, or refused, or points to a
/// `shmlock_core_record`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_set_record(
    lock: *mut Handle,
    record: *const Record,
) -> Status {
    let set_record = || {
        // SAFETY: guaranteed by the caller.
        let record = unsafe { read_record(record) }?;
        let set = |lock: &mut handle::Lock, _: ForkCheck| {
            lock.set_record(record);
            Ok(Status::Ok)
        };
        // SAFETY: guaranteed by the caller.
        unsafe { handle::with(lock, set) }
    };
    set_record().into()
}
