//! Checks an address from C for NULL and alignment before any access.
//!
//! Nothing can check that it is valid. The caller of each function guarantees that.

#![allow(unsafe_code, reason = "reads and writes through pointers from C")]

use std::ptr::NonNull;

use crate::status::Status;

/// Returns the pointer if it is neither NULL nor misaligned.
///
/// # Errors
/// [`Status::Null`], [`Status::Misaligned`].
#[inline]
pub(crate) fn checked<T>(pointer: *const T) -> Result<NonNull<T>, Status> {
    let pointer = NonNull::new(pointer.cast_mut()).ok_or(Status::Null)?;
    if pointer.is_aligned() { Ok(pointer) } else { Err(Status::Misaligned) }
}

/// Stores a value at `to`.
///
/// # Errors
/// Those of [`checked`].
///
/// # Safety
/// Unless it is NULL or misaligned, `to` points to writable memory for a `T`.
pub(crate) unsafe fn write<T: Copy>(to: *mut T, value: T) -> Result<(), Status> {
    let to = checked(to)?;
    // SAFETY:
    // - Not NULL and aligned: checked.
    // - Writable: guaranteed by the caller.
    unsafe { to.write(value) };
    Ok(())
}
