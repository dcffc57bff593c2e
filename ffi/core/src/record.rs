//! Who holds the lock, and what it says of itself. The record is advisory: nothing of the protocol
//! depends on it.

#![allow(
    unsafe_code,
    reason = "exports symbols by their names, takes pointers from C and copies foreign memory"
)]

use core::ffi::{CStr, c_char, c_void};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use shmlock_core::layout::{DESCRIPTION_MAX, REGION_ALIGN, REGION_LEN};
use shmlock_core::record::description;
use shmlock_core::snapshot::snapshot;
use shmlock_core::uuid::Uuid;
use shmlock_core::{FenceScope, Region, RegionMemory, Token};

use crate::fence_scope::scope;
use crate::fork::Fork;
use crate::handle::{self, Handle};
use crate::pointer::{checked, read, write};
use crate::status::Status;

/// What an owner says of itself. Leave zero what there is nothing to say about.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Seconds of the clock since boot at which the present unbroken series of holds began.
    pub since: u64,
    /// Process id, as the owner itself sees it. 0 where there are no processes.
    pub pid: u32,
    /// Inode number of its pid namespace, 0 if unknown: in another namespace, `pid` means somebody
    /// else.
    pub pid_namespace: u32,
    /// Names the owner, for ever: 16 bytes in order.
    pub uuid: [u8; 16],
    /// Why, in the owner's words: at most 63 bytes of UTF-8 and a NUL. Text that was read may be
    /// hostile: escape it before it goes to a terminal.
    pub description: [c_char; 64],
}

const _: () = assert!(DESCRIPTION_MAX + 1 == 64);

/// Who holds a lock.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The owner's token. 0: nobody holds the lock.
    pub token: u32,
    /// How many dead owners have been replaced so far, modulo 2^32.
    pub recoveries: u32,
    /// An owner died, and nobody has declared the data consistent since.
    pub owner_died: bool,
    /// `record` is the owner's. False: it has none, or was just writing it; `record` is zero then.
    pub recorded: bool,
    /// What the owner says of itself.
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

/// A private copy of the lock in the `len` bytes from `address` on; whether it is one has not been
/// looked at.
///
/// # Errors
/// [`Status::Null`], [`Status::Misaligned`], [`Status::TooShort`].
///
/// # Safety
/// Unless the address is refused, `len` bytes from it on can be read, and are written only by
/// accesses of 32 bits.
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
    // SAFETY: not NULL, aligned and long enough, as checked; readable and accessed by atomics only,
    // as promised.
    let words = unsafe { words.as_ref() };
    let copy_once = || {
        let mut bytes = [0; REGION_LEN];
        for (bytes, word) in bytes.chunks_exact_mut(4).zip(words) {
            // Partner: whoever writes the record. Relaxed: `snapshot` orders two copies, and
            // compares them.
            bytes.copy_from_slice(&word.load(Relaxed).to_le_bytes());
        }
        Ok(bytes)
    };
    snapshot(fence, copy_once)
}

/// Says who holds the lock in the `len` bytes from `address` on, without a handle or a token. Only
/// reads, so a debugger, a supervisor, or whoever may only read can call it at any time. By the
/// time the answer is read it may be different.
///
/// Never blocks; async-signal-safe; anybody may call it.
///
/// Answers `SHMLOCK_CORE_STATUS_OK`; `_NULL`, `_MISALIGNED`, `_TOO_SHORT`, `_NOT_A_LOCK`,
/// `_OTHER_VERSION`, `_BAD_SCOPE`: nothing was written to `holder` then.
///
/// # Safety
/// As `shmlock_core_check`. `holder` leads to a `shmlock_core_holder`, unless it is refused.
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
        // SAFETY: promised by the caller.
        let copy = unsafe { copy(address, len, fence) }?;
        let region = Region::new(&copy)?;
        let owner = region.word().owner();
        let record = owner.and_then(|owner| region.record_of(owner, fence));
        let found = Holder {
            token: owner.map_or(0, Token::get),
            recoveries: region.recoveries(),
            owner_died: region.word().owner_died(),
            recorded: record.is_some(),
            record: record.as_ref().map_or(NOTHING, Record::of),
        };
        // SAFETY: promised by the caller.
        unsafe { write(holder, found) }?;
        Ok(Status::Ok)
    };
    inspect().into()
}

/// Sets what others read of this handle while it holds the lock: at once if it holds it now, and
/// from its next acquisition on. With NULL, they read no more than its token.
///
/// It costs an acquisition some thirty stores whenever the lock has been somebody else's meanwhile.
///
/// Never blocks; async-signal-safe; only the contender whose handle it is calls it.
///
/// Answers `SHMLOCK_CORE_STATUS_OK`; `_BAD_DESCRIPTION`; `_MISALIGNED`; of `lock` `_NULL`,
/// `_MISALIGNED`, `_NOT_ATTACHED`, `_IN_USE`, `_FORKED`.
///
/// # Safety
/// As every function's, of `lock`: see `shmlock_core_t`. `record` is NULL or leads to a
/// `shmlock_core_record`, unless it is refused.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_set_record(
    lock: *mut Handle,
    record: *const Record,
) -> Status {
    let set_record = || {
        let record = if record.is_null() {
            None
        } else {
            // SAFETY: promised by the caller.
            Some(unsafe { read(record) }?.to_core()?)
        };
        let set = |lock: &mut handle::Lock, _: Fork| {
            lock.set_record(record);
            Ok(Status::Ok)
        };
        // SAFETY: promised by the caller.
        unsafe { handle::with(lock, set) }
    };
    set_record().into()
}
