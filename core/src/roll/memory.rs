//! Turns memory into the words of a roll.

#![cfg_attr(
    not(loom),
    expect(unsafe_code, reason = "turns an address and a length into references to atomics")
)]

use core::fmt;
#[cfg(not(loom))]
use core::mem::{offset_of, size_of};
#[cfg(not(loom))]
use core::ptr::NonNull;

use super::Roll;
use super::words::{Header, SlotWords};
use crate::error::Error;
use crate::layout::SLOT_MAX;
#[cfg(not(loom))]
use crate::layout::{ROLL_ALIGN, roll_len};
use crate::sync::AtomicU32;

// The layout is a contract with programs compiled elsewhere; `words.rs` has the rest of it.
#[cfg(not(loom))]
const _: () = assert!(offset_of!(RollMemory<1>, slots) == roll_len(0));

/// Memory for a roll with the slots from 1 to `SLOTS`, for a `static` or a linker section. It
/// starts as a roll without any boot.
///
/// **The start-up code and the loader of no core clear it, nor the regions beside it, while another
/// party may use them**: `docs/firmware.md` shows linker scripts. The party that powers the
/// memory up clears both, before it starts the others. When boots are forgotten, tokens come back
/// earlier than after 1024 boots: a waiter with an old proof can rob a core, and a dead owner can
/// look alive until its core attaches.
#[repr(C)]
pub struct RollMemory<const SLOTS: usize> {
    header: Header,
    slots: [SlotWords; SLOTS],
}

impl<const SLOTS: usize> RollMemory<SLOTS> {
    const SLOTS_EXIST: () =
        assert!(SLOTS >= 1 && SLOTS <= SLOT_MAX as usize, "a roll has 1 to 63 slots");

    /// Returns a roll without any boot. Does not compile with more than 63 slots, or none.
    #[must_use]
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        #[expect(
            clippy::declare_interior_mutable_const,
            reason = "only ever copied into a new place"
        )]
        const ZERO: AtomicU32 = AtomicU32::new(0);
        let () = Self::SLOTS_EXIST;
        Self {
            header: Header { _before_magic: [ZERO; 2], magic: ZERO, _after_magic: ZERO },
            slots: [const { SlotWords { boots: ZERO, retired: ZERO } }; SLOTS],
        }
    }

    /// Returns a roll without any boot. Loom makes its atomics at run time.
    #[must_use]
    #[cfg(loom)]
    pub fn new() -> Self {
        Self::with_boots(0)
    }

    /// Returns a roll after this many boots of each slot: a model that counts them takes too long.
    #[must_use]
    #[cfg(loom)]
    pub fn with_boots(boots: u32) -> Self {
        let () = Self::SLOTS_EXIST;
        let words = || SlotWords { boots: AtomicU32::new(boots), retired: AtomicU32::new(0) };
        Self { header: Header::default(), slots: core::array::from_fn(|_| words()) }
    }
}

impl<const SLOTS: usize> Default for RollMemory<SLOTS> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const SLOTS: usize> fmt::Debug for RollMemory<SLOTS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RollMemory").field("slots", &SLOTS).finish_non_exhaustive()
    }
}

impl<'a> Roll<'a> {
    /// Returns the roll in memory that this program declares itself. Its fences are
    /// [`InnerShareable`](crate::fence::InnerShareable).
    ///
    /// # Errors
    /// [`Error::NotARoll`] or [`Error::OtherRollVersion`] if the memory holds something else.
    /// Nothing is written then.
    pub fn from_static<const SLOTS: usize>(
        memory: &'static RollMemory<SLOTS>,
    ) -> Result<Self, Error> {
        Self::new(memory)
    }

    /// Returns the roll in memory that lives for `'a`.
    ///
    /// # Errors
    /// Those of [`from_static`](Self::from_static).
    pub fn new<const SLOTS: usize>(memory: &'a RollMemory<SLOTS>) -> Result<Self, Error> {
        memory.header.claim()?;
        Ok(Self::of_slots(&memory.slots))
    }

    /// Returns the roll at an address from outside Rust: in a mapped file, in a shared RAM bank.
    /// The slots are as many as the length has room for, up to 63 ([`roll_len`]).
    ///
    /// Claims untouched memory (magic word zero) by writing the magic word, and writes nothing
    /// else.
    ///
    /// # Errors
    /// [`Error::Misaligned`], [`Error::RollTooShort`], [`Error::NotARoll`],
    /// [`Error::OtherRollVersion`]. Nothing is written then.
    ///
    /// # Safety
    ///
    /// For as long as the roll, or any copy of it, is used:
    ///
    /// * `len` bytes from `address` on, or the first 520 of them, are readable and writable. If
    ///   they are a mapped file, it is not truncated.
    /// * All accesses to them, by any party, are atomic operations of 32 bits. Any values are
    ///   allowed.
    /// * No Rust reference to them exists other than to atomics.
    #[cfg(not(loom))] // loom's atomics are no words in memory
    pub unsafe fn from_raw(address: NonNull<u8>, len: usize) -> Result<Self, Error> {
        let remainder = address.addr().get() % ROLL_ALIGN;
        if remainder != 0 {
            return Err(Error::Misaligned { remainder });
        }
        if len < roll_len(1) {
            return Err(Error::RollTooShort { len });
        }
        let slots = (len - size_of::<Header>()) / size_of::<SlotWords>();
        let slots = slots.min(usize::from(SLOT_MAX));
        // SAFETY:
        // - aligned and long enough: checked above.
        // - readable, writable, accessed by atomics only, for `'a`: promised by the caller.
        // - every bit pattern is a valid `Header`: it consists of `AtomicU32` only, without
        //   padding.
        let header = unsafe { address.cast::<Header>().as_ref() };
        // SAFETY: sixteen bytes further lies within `len`, which is 24 or more.
        let first = unsafe { address.add(size_of::<Header>()) };
        // SAFETY:
        // - `slots` times eight bytes from `first` on lie within `len`: calculated above; aligned
        //   as `address` is, sixteen bytes further.
        // - readable, writable, accessed by atomics only, for `'a`: promised by the caller.
        // - every bit pattern is valid, as above.
        let slots = unsafe { NonNull::slice_from_raw_parts(first.cast(), slots).as_ref() };
        header.claim()?;
        Ok(Self::of_slots(slots))
    }
}
