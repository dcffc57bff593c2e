//! From an address to atomic words: the only place in the core that dereferences a raw pointer.

#![cfg_attr(
    not(loom),
    expect(unsafe_code, reason = "turns an address and a length into a reference to atomics")
)]

use core::fmt;
#[cfg(not(loom))]
use core::ptr::NonNull;

use crate::error::Error;
use crate::layout::{MAGIC, Magic, Words};
#[cfg(not(loom))]
use crate::layout::{REGION_ALIGN, REGION_LEN};
use crate::sync::{AtomicU32, Relaxed};
use crate::word::Word;

/// Memory for one lock, to be placed in a `static` or a linker section. Starts as a free lock, in
/// `.bss`.
#[repr(C, align(64))]
pub struct RegionMemory {
    words: Words,
}

impl RegionMemory {
    /// A free, untouched lock.
    #[must_use]
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self { words: Words::zeroed() }
    }

    /// A free, untouched lock. Loom makes its atomics at run time.
    #[must_use]
    #[cfg(loom)]
    pub fn new() -> Self {
        Self { words: Words::default() }
    }

    /// A private copy, see `snapshot.rs`.
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

/// A lock's 128 bytes, seen as atomic words. A copyable reference: it holds nothing and releases
/// nothing.
///
/// None of its functions blocks, allocates or panics, whatever stands in the memory; all are
/// async-signal-safe.
///
/// # Invariants
///
/// 1. The address is a multiple of [`REGION_ALIGN`].
/// 2. [`REGION_LEN`] bytes from there on are readable and writable for `'a`.
/// 3. For `'a`, whoever else accesses these bytes does so by atomic operations of 32 bits: in this
///    program, in another process, on another core.
/// 4. The magic word was ours when the region was made.
#[derive(Clone, Copy)]
pub struct Region<'a> {
    words: &'a Words,
}

impl<'a> Region<'a> {
    /// A region of memory that this program declares itself.
    ///
    /// # Errors
    /// [`Error::NotALock`] or [`Error::OtherVersion`] if something else already stands in it (a
    /// section that survives reset, for example). Nothing is touched then.
    pub fn from_static(memory: &'static RegionMemory) -> Result<Self, Error> {
        Self::new(memory)
    }

    /// As [`from_static`](Self::from_static), for memory that lives shorter.
    ///
    /// # Errors
    /// As [`from_static`](Self::from_static).
    pub fn new(memory: &'a RegionMemory) -> Result<Self, Error> {
        // Invariants 1, 2: by the type of `memory`. 3: its words are private atomics. 4: `claim`.
        Self { words: &memory.words }.claim()
    }

    /// A region at an address that something outside Rust provides: a mapped file, a shared RAM
    /// bank.
    ///
    /// Untouched memory (magic word zero) is claimed by writing the magic word; that is the only
    /// write.
    ///
    /// # Errors
    /// [`Error::Misaligned`], [`Error::TooShort`], [`Error::NotALock`], [`Error::OtherVersion`].
    /// Nothing is touched.
    ///
    /// # Safety
    ///
    /// For as long as the region, or any copy of it, is used:
    ///
    /// * `len` bytes from `address` on are readable and writable. If they are a mapped file, it is
    ///   not truncated (Linux answers an access beyond its end by `SIGBUS`).
    /// * They are accessed only by atomic operations of 32 bits, by anybody. Other *values* than
    ///   the protocol's, even from a hostile peer, are allowed: they cannot cause undefined
    ///   behaviour.
    /// * No Rust reference to them other than to atomics exists.
    ///
    /// # Examples
    /// ```
    /// use core::ptr::NonNull;
    /// use core::sync::atomic::AtomicU32;
    /// use shmlock_core::{Error, Region, Word};
    ///
    /// // What a mapped file, or a RAM bank at a known address, would be.
    /// static BANK: [AtomicU32; 32] = [const { AtomicU32::new(0) }; 32];
    ///
    /// // SAFETY: 128 aligned bytes that live for ever and are accessed as atomics only.
    /// let region: Region<'static> = unsafe { Region::from_raw(NonNull::from(&BANK).cast(), 128) }?;
    /// assert_eq!(region.word(), Word::FREE);
    ///
    /// // SAFETY: as above; too short, so it is refused.
    /// let refused = unsafe { Region::from_raw(NonNull::from(&BANK).cast(), 64) };
    /// assert_eq!(refused.err(), Some(Error::TooShort { len: 64 }));
    /// # Ok::<(), Error>(())
    /// ```
    #[cfg(not(loom))] // loom's atomics are no words in memory
    pub unsafe fn from_raw(address: NonNull<u8>, len: usize) -> Result<Self, Error> {
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
        //   (asserted in layout).
        let words = unsafe { address.cast::<Words>().as_ref() };
        Self { words }.claim()
    }

    /// Checks the magic word, and writes it if the memory is untouched.
    fn claim(self) -> Result<Self, Error> {
        // Partner: the same swap by others. Relaxed: the magic says nothing about any other word,
        // for all zero is valid.
        let mut found = self.words.magic.load(Relaxed);
        if Magic::decode(found) == Magic::Untouched {
            found = match self.words.magic.compare_exchange(0, MAGIC, Relaxed, Relaxed) {
                Ok(_) => MAGIC,
                Err(others) => others,
            };
        }
        match Magic::decode(found) {
            Magic::Ours => Ok(self),
            Magic::OtherVersion(found) => Err(Error::OtherVersion { found }),
            Magic::Foreign | Magic::Untouched => Err(Error::NotALock { found }),
        }
    }

    pub(crate) fn words(self) -> &'a Words {
        self.words
    }

    /// The owner word: what the functions of [`protocol`](crate::protocol) work on.
    #[must_use]
    #[inline]
    pub fn owner_word(self) -> &'a AtomicU32 {
        &self.words.owner
    }

    /// What the owner word says now. A glance: it may be different by the time the caller reads the
    /// answer.
    #[must_use]
    #[inline]
    pub fn word(self) -> Word {
        // Partner: none. Relaxed: a reader that orders nothing by it.
        Word::from_bits(self.words.owner.load(Relaxed))
    }

    /// How many dead owners have been replaced, modulo 2^32.
    #[must_use]
    pub fn recoveries(self) -> u32 {
        // Partner: `count_recovery`. Relaxed: a statistic.
        self.words.recoveries.load(Relaxed)
    }

    /// Counts a dead owner replaced.
    pub fn count_recovery(self) {
        // Partner: `recoveries`. Relaxed: a statistic. An addition, since a stale token is freed
        // without the lock held.
        self.words.recoveries.fetch_add(1, Relaxed);
    }
}

impl fmt::Debug for Region<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("word", &self.word()).finish_non_exhaustive()
    }
}
