//! Turns the number that C gives for a fence scope into the core's type.

use shmlock_core::FenceScope;

use crate::status::Status;

/// Fence scope: for parties in one coherent domain, as the cores that run one operating system, or
/// the tasks of one core.
pub const SHMLOCK_CORE_INNER_SHAREABLE: u32 = 0;
/// Fence scope: for memory shared with other bus masters, as another cluster, a Cortex-M beside a
/// Cortex-A, a DSP. The fences order; they do not clean caches: map such memory non-cacheable or
/// have hardware keep it coherent.
pub const SHMLOCK_CORE_FULL_SYSTEM: u32 = 1;

/// # Errors
/// [`Status::BadScope`].
pub(crate) fn scope(number: u32) -> Result<FenceScope, Status> {
    match number {
        SHMLOCK_CORE_INNER_SHAREABLE => Ok(FenceScope::InnerShareable),
        SHMLOCK_CORE_FULL_SYSTEM => Ok(FenceScope::FullSystem),
        _ => Err(Status::BadScope),
    }
}
