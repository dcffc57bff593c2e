//! How a handle notices that it is in a forked child.

#![allow(unsafe_code, reason = "exports a symbol by its name and reads a word of the caller's")]

use core::ptr::{NonNull, null};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::handle::{self, Handle};
use crate::pointer::checked;
use crate::status::Status;

/// What the caller says of forks: a word, and its value in the process that attached the handle.
#[derive(Clone, Copy)]
pub(crate) struct Fork {
    /// NULL: the caller says nothing.
    generation: *const u32,
    born: u32,
}

impl Fork {
    pub(crate) const UNKNOWN: Self = Self { generation: null(), born: 0 };

    /// # Safety
    /// `generation` leads to a word that can be read for as long as the result is used.
    unsafe fn known_by(generation: NonNull<u32>) -> Self {
        let known = Self { generation: generation.as_ptr(), born: 0 };
        Self { born: known.present().unwrap_or(0), ..known }
    }

    fn present(self) -> Option<u32> {
        let generation = NonNull::new(self.generation.cast_mut())?;
        // SAFETY: aligned, as `shmlock_core_set_fork_generation` checked, and readable, as its caller
        // promises; accessed by loads only.
        let generation = unsafe { AtomicU32::from_ptr(generation.as_ptr()) };
        // Partner: the store by the child's atfork handler, or the kernel's wipe, both before the
        // child goes on. Relaxed: the same thread.
        Some(generation.load(Relaxed))
    }

    /// Returns `true` if this process is a child of the one that attached the handle, as far as the
    /// caller says.
    pub(crate) fn has_happened(self) -> bool {
        self.present().is_some_and(|present| present != self.born)
    }
}

/// Has every call on the handle compare the word at `generation` with its present value. Once they
/// differ, each of them answers `SHMLOCK_CORE_STATUS_FORKED` and changes nothing. NULL ends that; so
/// does attaching the handle anew.
///
/// For programs that fork. A child has a copy of its parent's handle under the same token, and
/// nothing else tells the two apart: the child could acquire while its parent holds, and release
/// what its parent holds. So `generation` leads to a word that has another value in a child than in
/// its parent, before anything of the child uses the handle:
///
/// * a static word that a handler of `pthread_atfork(3)` increments in the child; or
/// * a word that is not zero, on a page with `MADV_WIPEONFORK` (`madvise(2)`): it is zero in every
///   child, also of a bare `clone(2)`.
///
/// If a process forks in the middle of a call, in its wait callback or a signal handler, that call
/// answers `SHMLOCK_CORE_STATUS_FORKED` in the child. The child of a signal handler does better not to
/// return into the call, but to call `exec(3)` or `_exit(2)`: in the instant between two
/// instructions it may take a free lock under its parent's token. Nobody is inside then, and the
/// parent's next acquisition takes the lock over, with `SHMLOCK_CORE_STATUS_OWNER_DIED`.
///
/// A child that wants the lock attaches a handle under a token of its own: another, or the same
/// `shmlock_core_t`, whose copy is the child's.
///
/// Never blocks; async-signal-safe; only the contender whose handle it is calls it.
///
/// Answers `SHMLOCK_CORE_STATUS_OK`; `_MISALIGNED`; of `lock` `_NULL`, `_MISALIGNED`, `_NOT_ATTACHED`,
/// `_IN_USE`, `_FORKED`.
///
/// # Safety
/// As every function's, of `lock`: see `shmlock_core_t`. `generation` is NULL or leads to an `uint32_t`
/// that can be read until the handle is detached or attached anew, in the child as well, unless it
/// is refused.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_set_fork_generation(
    lock: *mut Handle,
    generation: *const u32,
) -> Status {
    let set = || {
        let fork = if generation.is_null() {
            Fork::UNKNOWN
        } else {
            // SAFETY: promised by the caller.
            unsafe { Fork::known_by(checked(generation)?) }
        };
        // SAFETY: promised by the caller.
        unsafe { handle::set_fork(lock, fork) }
    };
    set().into()
}
