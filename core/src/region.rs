//! Turns an address into atomic words. `roll/memory.rs` does the same for the roll; no other file
//! of the core dereferences a raw pointer.

#![cfg_attr(
    not(loom),
    expect(unsafe_code, reason = "turns an address and a length into a reference to atomics")
)]

use core::fmt;
#[cfg(not(loom))]
use core::ptr::NonNull;

use crate::error::Error;
use crate::layout::{MAGIC, Magic, UNTOUCHED, Words};
#[cfg(not(loom))]
use crate::layout::{REGION_ALIGN, REGION_LEN};
use crate::sync::{AtomicU32, Relaxed};
use crate::ticket::layout::TicketWords;
#[cfg(not(loom))]
use crate::ticket::layout::ticket_len;
use crate::word::Word;

/// Memory for one lock, for a `static` or a linker section. It starts as a free lock, in `.bss`.
#[repr(C, align(64))]
pub struct RegionMemory {
    words: Words,
}

impl RegionMemory {
    /// Returns a free, untouched lock.
    #[must_use]
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self { words: Words::zeroed() }
    }

    /// Returns a free, untouched lock. Loom makes its atomics at run time.
    #[must_use]
    #[cfg(loom)]
    pub fn new() -> Self {
        Self { words: Words::default() }
    }

    /// Returns a private copy, for `snapshot.rs`.
    #[cfg(not(loom))]
    pub(crate) fn of_words(words: Words) -> Self {
        Self { words }
    }
}

impl Default for RegionMemory {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RegionMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegionMemory").finish_non_exhaustive()
    }
}

/// Memory for one ticket lock of `N` parties, for a `static` or a linker section. It starts as a
/// free lock, in `.bss`.
///
/// [`TicketRegion`](crate::ticket::TicketRegion) is a lock in it. `N` is 2 to 8.
#[repr(C, align(64))]
pub struct TicketMemory<const N: usize> {
    words: TicketWords<N>,
}

impl<const N: usize> TicketMemory<N> {
    /// Returns a free, untouched lock.
    #[must_use]
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self { words: TicketWords::zeroed() }
    }

    /// Returns a free, untouched lock. Loom makes its atomics at run time.
    #[must_use]
    #[cfg(loom)]
    pub fn new() -> Self {
        Self { words: TicketWords::zeroed() }
    }

    pub(crate) fn words(&self) -> &TicketWords<N> {
        &self.words
    }
}

impl<const N: usize> Default for TicketMemory<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> fmt::Debug for TicketMemory<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketMemory").finish_non_exhaustive()
    }
}

/// The words of a ticket lock in memory that is not this program's own.
#[derive(Clone, Copy)]
pub struct TicketPlace<'a, const N: usize> {
    words: &'a TicketWords<N>,
}

impl<'a, const N: usize> TicketPlace<'a, N> {
    /// Returns the place at an address from outside Rust: in a mapped file, in a shared RAM bank.
    /// Neither reads nor writes it.
    ///
    /// # Errors
    /// [`Error::Misaligned`], [`Error::TooShort`] if there are fewer bytes than
    /// [`ticket_len`] says.
    ///
    /// # Safety
    /// That of [`Region::from_raw`], for these bytes: readable and writable for `'a`, accessed by
    /// atomic operations of 32 bits only, in Rust by references to atomics only.
    ///
    /// # Examples
    /// ```
    /// use core::ptr::NonNull;
    /// use core::sync::atomic::AtomicU32;
    /// use shmlock_core::ticket::{TicketPlace, TicketRegion};
    ///
    /// // Stands for a mapped file, or a RAM bank at a known address.
    /// static BANK: [AtomicU32; 64] = [const { AtomicU32::new(0) }; 64];
    ///
    /// let address = NonNull::from(&BANK).cast();
    /// // SAFETY: 256 aligned bytes that live for ever and are accessed as atomics only.
    /// let place: TicketPlace<'static, 2> = unsafe { TicketPlace::from_raw(address, 256) }?;
    /// assert!(TicketRegion::at(place)?.holder().is_none());
    /// # Ok::<(), shmlock_core::Error>(())
    /// ```
    #[cfg(not(loom))] // loom's atomics are no words in memory
    pub unsafe fn from_raw(address: NonNull<u8>, len: usize) -> Result<Self, Error> {
        let remainder = address.addr().get() % REGION_ALIGN;
        if remainder != 0 {
            return Err(Error::Misaligned { remainder });
        }
        if len < ticket_len(N) {
            return Err(Error::TooShort { len });
        }
        // SAFETY:
        // - aligned and long enough: checked above.
        // - readable, writable, accessed by atomics only, for `'a`: promised by the caller.
        // - every bit pattern is a valid `TicketWords`: it consists of `AtomicU32` only, without
        //   padding (asserted in `ticket/layout.rs`).
        let words = unsafe { address.cast::<TicketWords<N>>().as_ref() };
        Ok(Self { words })
    }

    pub(crate) fn words(self) -> &'a TicketWords<N> {
        self.words
    }
}

impl<const N: usize> fmt::Debug for TicketPlace<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketPlace").finish_non_exhaustive()
    }
}

/// How often a reader of several words retries until they belong together.
///
/// Arbitrary, but more than enough: such words change more slowly than they are read. A benchmark
/// of torn reads would change it.
pub const READ_ATTEMPTS: u32 = 16;

/// The 128 bytes of a lock, as atomic words. A copyable reference: it holds nothing and releases
/// nothing.
///
/// None of its functions blocks, allocates or panics, whatever the memory contains; all are
/// async-signal-safe.
///
/// # Invariants
///
/// 1. The address is a multiple of [`REGION_ALIGN`].
/// 2. [`REGION_LEN`] bytes from there on are readable and writable for `'a`.
/// 3. For `'a`, all other accesses to these bytes are atomic operations of 32 bits: in this
///    program, in another process, on another core.
/// 4. The magic word was [`MAGIC`] when the region was made; in an
///    [`EpochRegion`](crate::EpochRegion) it was
///    [`EPOCH_MAGIC`](crate::layout::EPOCH_MAGIC). Under a ticket lock it is that lock's.
#[derive(Clone, Copy)]
#[repr(transparent)] // so that memory of zeros is an `Option` of it: none
pub struct Region<'a> {
    words: &'a Words,
}

impl<'a> Region<'a> {
    /// Returns the region in memory that this program declares itself.
    ///
    /// # Errors
    /// [`Error::NotALock`] or [`Error::OtherVersion`] if the memory holds something else, for
    /// example in a linker section that survives reset. Nothing is written then.
    pub fn from_static(memory: &'static RegionMemory) -> Result<Self, Error> {
        Self::new(memory)
    }

    /// Returns the region in memory that lives for `'a`.
    ///
    /// # Errors
    /// Those of [`from_static`](Self::from_static).
    pub fn new(memory: &'a RegionMemory) -> Result<Self, Error> {
        Self::unclaimed(memory).claim()
    }

    /// Returns the region in memory that lives for `'a`, before its magic word is checked.
    pub(crate) fn unclaimed(memory: &'a RegionMemory) -> Self {
        // Invariants 1, 2: the type of `memory`. 3: its words are private atomics. 4: the caller.
        Self { words: &memory.words }
    }

    /// Returns the region at an address from outside Rust: in a mapped file, in a shared RAM bank.
    ///
    /// Claims untouched memory (magic word zero) by writing the magic word, and writes nothing
    /// else.
    ///
    /// # Errors
    /// [`Error::Misaligned`], [`Error::TooShort`], [`Error::NotALock`], [`Error::OtherVersion`].
    /// Nothing is written then.
    ///
    /// # Safety
    ///
    /// For as long as the region, or any copy of it, is used:
    ///
    /// * `len` bytes from `address` on are readable and writable. If they are a mapped file, it is
    ///   not truncated (Linux answers an access beyond its end by `SIGBUS`).
    /// * All accesses to them, by any party, are atomic operations of 32 bits. Values that the
    ///   protocol does not know are allowed, even from a hostile peer: they cannot cause undefined
    ///   behaviour.
    /// * No Rust reference to them exists other than to atomics.
    ///
    /// # Examples
    /// ```
    /// use core::ptr::NonNull;
    /// use core::sync::atomic::AtomicU32;
    /// use shmlock_core::{Error, Region, Word};
    ///
    /// // Stands for a mapped file, or a RAM bank at a known address.
    /// static BANK: [AtomicU32; 32] = [const { AtomicU32::new(0) }; 32];
    ///
    /// let address = NonNull::from(&BANK).cast();
    /// // SAFETY: 128 aligned bytes that live for ever and are accessed as atomics only.
    /// let region: Region<'static> = unsafe { Region::from_raw(address, 128) }?;
    /// assert_eq!(region.word(), Word::FREE);
    ///
    /// // SAFETY: as above; too short, so it is refused.
    /// let refused = unsafe { Region::from_raw(address, 64) };
    /// assert_eq!(refused.err(), Some(Error::TooShort { len: 64 }));
    /// # Ok::<(), Error>(())
    /// ```
    #[cfg(not(loom))] // loom's atomics are no words in memory
    pub unsafe fn from_raw(address: NonNull<u8>, len: usize) -> Result<Self, Error> {
        // SAFETY: the same contract, guaranteed by the caller.
        unsafe { Self::unclaimed_from_raw(address, len) }?.claim()
    }

    /// Returns the region at an address, before its magic word is checked. Writes nothing.
    ///
    /// # Safety
    /// The contract of [`from_raw`](Self::from_raw).
    #[cfg(not(loom))]
    #[inline]
    pub(crate) unsafe fn unclaimed_from_raw(
        address: NonNull<u8>,
        len: usize,
    ) -> Result<Self, Error> {
        let remainder = address.addr().get() % REGION_ALIGN;
        if remainder != 0 {
            return Err(Error::Misaligned { remainder });
        }
        if len < REGION_LEN {
            return Err(Error::TooShort { len });
        }
        // SAFETY:
        // - aligned and long enough: checked above (invariants 1, 2).
        // - readable, writable, accessed by atomics only, for `'a`: promised by the caller (2, 3).
        // - every bit pattern is a valid `Words`: it consists of `AtomicU32` only, without padding
        //   (asserted in `layout.rs`).
        let words = unsafe { address.cast::<Words>().as_ref() };
        Ok(Self { words }) // invariant 4: the caller
    }

    /// Checks the magic word, and writes it if the memory is untouched.
    fn claim(self) -> Result<Self, Error> {
        let found = self.mark(MAGIC);
        match Magic::decode(found) {
            Magic::Ours => Ok(self),
            Magic::OtherVersion(found) => Err(Error::OtherVersion { found }),
            Magic::Foreign | Magic::Untouched => Err(Error::NotALock { found }),
        }
    }

    /// Writes the magic word if the memory is untouched. Returns the word that stands then.
    #[inline]
    pub(crate) fn mark(self, magic: u32) -> u32 {
        // Partner: the same swap by others. Relaxed: the magic orders no other word, for all zero
        // is valid.
        let found = self.words.magic.load(Relaxed);
        if found != UNTOUCHED {
            return found;
        }
        match self.words.magic.compare_exchange(UNTOUCHED, magic, Relaxed, Relaxed) {
            Ok(_) => magic,
            Err(others) => others,
        }
    }

    /// Returns the words that a ticket lock's owner writes: its record and its counters are those
    /// of the other lock. Without invariant 4, for the magic is the ticket lock's.
    pub(crate) fn under_ticket_lock(words: &'a Words) -> Self {
        Self { words }
    }

    pub(crate) fn words(self) -> &'a Words {
        self.words
    }

    /// Returns the owner word, on which the functions of [`protocol`](crate::protocol) work.
    #[must_use]
    #[inline]
    pub fn owner_word(self) -> &'a AtomicU32 {
        &self.words.owner
    }

    /// Returns the present value of the owner word. It may have changed when the caller uses it.
    #[must_use]
    #[inline]
    pub fn word(self) -> Word {
        // Partner: none. Relaxed: a reader that orders nothing by it.
        Word::from_bits(self.words.owner.load(Relaxed))
    }
}

impl fmt::Debug for Region<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("word", &self.word()).finish_non_exhaustive()
    }
}
