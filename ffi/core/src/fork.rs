//! Notices that a handle is used in a forked child, by a word of the caller's.

#![allow(unsafe_code, reason = "reads a word of the caller's")]

use core::ptr::{NonNull, null};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A word of the caller's, and its value in the process that set it.
#[derive(Clone, Copy)]
pub(crate) struct ForkCheck {
    /// NULL: no check.
    generation: *const u32,
    expected: u32,
}

impl ForkCheck {
    pub(crate) const NONE: Self = Self { generation: null(), expected: 0 };

    /// # Safety
    /// `generation` points to a word that is readable for as long as the result is used.
    pub(crate) unsafe fn new(generation: NonNull<u32>) -> Self {
        let check = Self { generation: generation.as_ptr(), expected: 0 };
        Self { expected: check.current().unwrap_or(0), ..check }
    }

    fn current(self) -> Option<u32> {
        let generation = NonNull::new(self.generation.cast_mut())?;
        // SAFETY:
        // - Aligned: checked by `shmlock_core_set_fork_generation`.
        // - Readable: guaranteed by its caller. Only loads follow.
        let generation = unsafe { AtomicU32::from_ptr(generation.as_ptr()) };
        // Partner: the store by the child's atfork handler, or the kernel's wipe, both before the
        // child continues. Relaxed: the same thread.
        Some(generation.load(Relaxed))
    }

    /// Returns `true` if the word has changed: this process is a child.
    pub(crate) fn is_in_child(self) -> bool {
        self.current().is_some_and(|current| current != self.expected)
    }
}
