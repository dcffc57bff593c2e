//! Holds two words for each handle, in memory that reads as zero in every child: its *anchor*.
//!
//! * **The region.** An undisturbed acquire or release gets it from here and from nowhere else. In
//!   a forked child, which has no mapping, there is none. So one comparison with the state of the
//!   handle (`lock/hold_count.rs`) tells that the handle is this process's *and* that nothing is
//!   held, and a second load is not needed.
//! * **The mark** of the thread for which the fast path is open (`sys/thread_pointer.rs`): the
//!   thread that the handle's slot names (`process/registry.rs`). Any other thread, and any reason
//!   that stands against the fast path, finds another mark.
//!
//! Anchors stand on *sheets*, which are never unmapped. Which anchors of a sheet are in use stands
//! in ordinary memory, so a forked child does not reuse the anchor of a handle that it has
//! inherited: its own handle may have its region at the same address. Dropping an inherited handle
//! frees its anchor. An anchor that another thread was just taking during the fork is lost to the
//! child.
//!
//! Where the kernel wipes pages and has none left for a sheet, the anchors of that sheet have no
//! region. Each acquisition of their handles is a slow one, which asks for the generation
//! (`sys/fork.rs`).
//!
//! A fork may interrupt another thread at any step here, so no step takes a lock that the child
//! would find locked.

#![allow(unsafe_code, reason = "anchors are raw memory, which the kernel zeroes in children")]

use std::cell::{Cell, UnsafeCell};
use std::mem::size_of;
use std::num::NonZeroUsize;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize};

use shmlock_core::Region;

use crate::sys::fork;
use crate::sys::thread_pointer::NO_MARK;
use crate::sys::wiped::{NoPage, WipedPage};

/// The anchors of one sheet, in words of 32 bits: as many as fill most of the smallest page.
const WORDS: usize = 6;
const ANCHORS: usize = WORDS * 32;

/// The distance of the first anchor from the beginning of its page.
///
/// Each acquisition reads an anchor and writes the owner word, which is the first of another page.
/// Two lines at the same offset in their pages share a set of the first-level cache. If their
/// physical addresses clash too, each access to one delays the other. (Benchmark: "Uncontended" in
/// `docs/figures.md`.)
const DISTANCE_FROM_BEGIN: usize = 512;

const _: () = assert!(DISTANCE_FROM_BEGIN + ANCHORS * size_of::<Cells>() <= 4096);

/// The two words. All zero is a valid value: no region, and a mark that is not asked for.
#[repr(C)]
struct Cells {
    region: UnsafeCell<Option<Region<'static>>>,
    mark: AtomicUsize,
}

// SAFETY: `region` is written by the thread that owns the anchor, before other threads have the
// handle and after they had it, and read by the thread that uses the handle.
unsafe impl Sync for Cells {}

/// A sheet of anchors.
struct Sheet {
    cells: &'static [Cells; ANCHORS],
    /// A bit for each anchor in use.
    used: [AtomicU32; WORDS],
    /// No child finds a region here.
    is_zeroed: bool,
    next: Option<&'static Sheet>,
}

/// The newest sheet, which leads to the older ones.
static SHEETS: AtomicPtr<Sheet> = AtomicPtr::new(null_mut());

/// The anchor of one handle.
pub(crate) struct Anchor {
    cells: &'static Cells,
    sheet: &'static Sheet,
    index: usize,
}

impl Anchor {
    /// Takes an anchor for a handle of this process on this region. The region stays valid until
    /// the anchor is dropped.
    pub(crate) fn new(region: Region<'static>) -> Self {
        let (sheet, index) = claim().unwrap_or_else(append);
        let cells = &sheet.cells[index];
        // Partner: none, no other thread marks this anchor. Relaxed.
        cells.mark.store(NO_MARK, Relaxed);
        // SAFETY: valid, and the anchor is ours alone.
        unsafe { cells.region.get().write_volatile(sheet.is_zeroed.then_some(region)) };
        Self { cells, sheet, index }
    }

    /// Returns the region; `None` in a forked child, whose own handles have other anchors, and if
    /// the anchor has none.
    #[inline]
    pub(crate) fn region(&self) -> Option<Region<'_>> {
        // Volatile: a signal handler may fork between two loads. Partner: the kernel's wipe, or
        // `wipe`.
        // SAFETY: valid and aligned; no thread writes it while the anchor exists.
        unsafe { self.cells.region.get().read_volatile() }
    }

    /// Runs `act` with the region and the mark if the region is at this address; returns `false` if
    /// it is not, as in a forked child.
    ///
    /// A closure instead of a result, and the cell read after the region: then the comparison takes
    /// one instruction.
    #[inline]
    pub(crate) fn with_region_at(
        &self,
        address: &Cell<NonZeroUsize>,
        act: impl FnOnce(Region<'_>, Marked<'_>) -> bool,
    ) -> bool {
        let cells = self.cells;
        // SAFETY: as in `region`.
        let region = unsafe { cells.region.get().read_volatile() };
        if region.map_or(0, |region| address_of(region).get()) != address.get().get() {
            return false;
        }
        // SAFETY: 0 stands for no region, and is not equal to the address.
        act(unsafe { region.unwrap_unchecked() }, Marked(&cells.mark))
    }

    /// Stores the mark of this thread, whose end is watched, or [`NO_MARK`].
    pub(crate) fn set_mark(&self, mark: usize) {
        self.cells.mark.store(mark, Relaxed); // partner: as in `is_marked`
    }
}

/// The mark of an anchor.
pub(crate) struct Marked<'a>(&'a AtomicUsize);

impl Marked<'_> {
    /// Returns `true` if the anchor has this mark.
    #[inline]
    pub(crate) fn is(&self, mark: usize) -> bool {
        // Partner: `remove_marks_of`, by the marked thread when it ends. Relaxed: the value is this
        // thread's own store, or that of a thread that ended before the handle moved to this one.
        self.0.load(Relaxed) == mark
    }
}

impl Drop for Anchor {
    fn drop(&mut self) {
        self.cells.mark.store(NO_MARK, Relaxed); // partner: as in `is_marked`
        // SAFETY: valid, and the anchor is ours alone.
        unsafe { self.cells.region.get().write_volatile(None) };
        // Pairs with `claim`: the next user of the anchor writes after us.
        self.sheet.used[self.index / 32].fetch_and(!(1 << (self.index % 32)), Release);
    }
}

/// Returns the address of a region, as the state of its handle has it.
#[inline]
pub(crate) fn address_of(region: Region<'_>) -> NonZeroUsize {
    NonNull::from(region.owner_word()).addr()
}

/// Removes the marks of a thread. Async-signal-safe.
pub(crate) fn remove_marks_of(mark: usize) {
    for cells in sheets().flat_map(|sheet| sheet.cells) {
        // Partner: `set_mark`. Relaxed: marks of this thread only are removed, and no other living
        // thread sets such a mark.
        if cells.mark.load(Relaxed) == mark {
            let _ = cells.mark.compare_exchange(mark, NO_MARK, Relaxed, Relaxed);
        }
    }
}

/// Returns all sheets. Async-signal-safe.
fn sheets() -> impl Iterator<Item = &'static Sheet> {
    // Pairs with the swap in `append`: the sheet is initialised.
    let newest = SHEETS.load(Acquire);
    // SAFETY: null, or a sheet that `append` has leaked, which is never freed.
    std::iter::successors(unsafe { newest.as_ref() }, |sheet| sheet.next)
}

/// Takes a free anchor of a sheet, if there is one.
fn claim() -> Option<(&'static Sheet, usize)> {
    sheets().find_map(|sheet| {
        sheet.used.iter().enumerate().find_map(|(word, used)| {
            // Partner: the same update by others; pairs with the drop of an anchor.
            let before = used.fetch_update(AcqRel, Relaxed, |bits| {
                (bits != u32::MAX).then(|| bits | 1 << bits.trailing_ones())
            });
            before.ok().map(|bits| (sheet, word * 32 + bits.trailing_ones() as usize))
        })
    })
}

/// Appends a sheet, and takes its first anchor.
#[cold]
fn append() -> (&'static Sheet, usize) {
    let (cells, is_zeroed) = match WipedPage::new() {
        Ok(page) => {
            let first = page.address().as_ptr().wrapping_byte_add(DISTANCE_FROM_BEGIN);
            // SAFETY:
            // - within the page, aligned, readable and writable; never unmapped.
            // - all zero is a valid value; all accesses go through this reference.
            (unsafe { &*first.cast::<[Cells; ANCHORS]>() }, true)
        }
        // No handler: it does not run in the child of a bare `clone`.
        Err(NoPage::NoMemory(_)) => (ordinary(), false),
        Err(NoPage::Unsupported) => (zeroed_by_handler(), true),
    };
    let used: [AtomicU32; WORDS] = [const { AtomicU32::new(0) }; WORDS];
    used[0].store(1, Relaxed); // partner: none before the swap below
    let sheet = Box::leak(Box::new(Sheet { cells, used, is_zeroed, next: None }));
    let address = std::ptr::from_mut(sheet);
    // Pairs with `sheets`, and with itself on another thread.
    let mut newest = SHEETS.load(Acquire);
    loop {
        // SAFETY: null, or a sheet that was leaked here, which is never freed.
        let next = unsafe { newest.as_ref() };
        // SAFETY: not shared before the swap below has succeeded.
        unsafe { (*address).next = next };
        match SHEETS.compare_exchange(newest, address, AcqRel, Acquire) {
            // SAFETY: leaked, so valid for ever, and not changed any more.
            Ok(_) => return (unsafe { &*address }, 0),
            Err(newer) => newest = newer,
        }
    }
}

/// Returns cells that a handler zeroes in every child. It runs at `fork` but not at a bare `clone`.
fn zeroed_by_handler() -> &'static [Cells; ANCHORS] {
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    // Partner: the store below, by any thread. Acquire: a thread that sees it has the handler. A
    // handler that runs twice does no harm.
    if !REGISTERED.load(Acquire) {
        fork::run_in_children(wipe);
        REGISTERED.store(true, Release); // partner: the load above
    }
    ordinary()
}

/// Returns cells that children inherit as they are.
fn ordinary() -> &'static [Cells; ANCHORS] {
    Box::leak(Box::new(
        [const { Cells { region: UnsafeCell::new(None), mark: AtomicUsize::new(0) } }; ANCHORS],
    ))
}

/// Zeroes all anchors, in the child of a fork.
extern "C" fn wipe() {
    for cells in sheets().flat_map(|sheet| sheet.cells) {
        // SAFETY: valid; the child has one thread.
        unsafe { cells.region.get().write_volatile(None) };
    }
}
