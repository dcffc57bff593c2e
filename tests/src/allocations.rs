//! Counts the calls of the allocator, for tests of calls that must not allocate.

#![allow(unsafe_code, reason = "a global allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, with a count. A test makes it the global allocator.
#[derive(Debug)]
pub struct Counting;

impl Counting {
    /// Returns how often this thread has allocated or freed memory.
    #[must_use]
    pub fn calls() -> u64 {
        CALLS.get()
    }
}

fn count() {
    CALLS.set(CALLS.get() + 1);
}

// SAFETY: the system's allocator does the work; counting touches none of its memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count();
        // SAFETY: promised by the caller.
        unsafe { System.dealloc(memory, layout) }
    }
}
