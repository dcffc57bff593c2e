//! Exports the call that sets the fork check of a handle.

#![allow(unsafe_code, reason = "exports a symbol by its name and handles pointers of the caller's")]

use crate::fork::ForkCheck;
use crate::handle::{self, Handle};
use crate::pointer::checked;
use crate::status::Status;

/// Makes every call on the handle compare the word at `generation` with its current value. If they
/// differ, the call returns `SHMLOCK_CORE_STATUS_FORKED` and changes nothing. NULL ends the
/// comparison, and so does attaching the handle again.
///
/// For programs that fork. A child has a copy of its parent's handle with the same token, and
/// nothing else tells them apart: the child could acquire while its parent holds the lock, and
/// could release the parent's hold. So `generation` points to a word that changes in a child before
/// the child uses the handle:
///
/// * a static word that a handler of `pthread_atfork(3)` increments in the child; or
/// * a nonzero word on a page with `MADV_WIPEONFORK` (`madvise(2)`): it is zero in every child,
///   also after a bare `clone(2)`.
///
/// If a process forks during a call, in its wait callback or a signal handler, that call returns
/// `SHMLOCK_CORE_STATUS_FORKED` in the child. A child of a signal handler should not return into
/// the call, but call `exec(3)` or `_exit(2)`: between two instructions it may acquire a free lock
/// with its parent's token. No owner is then in the critical section, and the parent's next
/// acquisition recovers the lock and returns `SHMLOCK_CORE_STATUS_OWNER_DIED`.
///
/// A child that needs the lock attaches a handle with its own token: another handle, or its copy of
/// this one.
///
/// Never blocks; async-signal-safe; only the contender that uses the handle.
///
/// Returns `SHMLOCK_CORE_STATUS_OK`; `_MISALIGNED`; for `lock` `_NULL`, `_MISALIGNED`,
/// `_NOT_ATTACHED`, `_IN_USE`, `_FORKED`.
///
/// # Safety
/// For `lock`: see `shmlock_core_t`. `generation` is NULL, or refused, or points to a `uint32_t`
/// that is readable until the handle is detached or attached again, in the child as well.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_set_fork_generation(
    lock: *mut Handle,
    generation: *const u32,
) -> Status {
    let set = || {
        let check = if generation.is_null() {
            ForkCheck::NONE
        } else {
            // SAFETY: guaranteed by the caller.
            unsafe { ForkCheck::new(checked(generation)?) }
        };
        // SAFETY: guaranteed by the caller.
        unsafe { handle::set_fork_check(lock, check) }
    };
    set().into()
}
