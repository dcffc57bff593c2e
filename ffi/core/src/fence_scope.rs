//! Defines the fence scopes for C, and converts them to the core's type.

use shmlock_core::FenceScope;

use crate::status::Status;

/// Fence scope for contenders in one coherent domain: the cores of one operating system, or the
/// tasks of one core.
pub const SHMLOCK_CORE_INNER_SHAREABLE: u32 = 0;
/// Fence scope for memory that is shared with other bus masters: another cluster, a Cortex-M beside
/// a Cortex-A, a DSP. The fences order accesses; they do not clean caches. Map such memory
/// non-cacheable, or have the hardware keep it coherent.
pub const SHMLOCK_CORE_FULL_SYSTEM: u32 = 1;

/// Returns the scope of this number.
///
/// # Errors
/// [`Status::BadScope`].
pub(crate) fn scope(number: u32) -> Result<FenceScope, Status> {
    match number {
        SHMLOCK_CORE_INNER_SHAREABLE => Ok(FenceScope::InnerShareable),
        SHMLOCK_CORE_FULL_SYSTEM => Ok(FenceScope::FullSystem),
        _ => Err(Status::BadScope),
    }
}
