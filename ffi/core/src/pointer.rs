//! What may be done with an address that C gives: nothing before it is known not to be NULL and to
//! be aligned.
//!
//! Whether it leads anywhere, nobody can check. That is the caller's promise at each function.

#![allow(unsafe_code, reason = "reads and writes through pointers that C gives")]

use core::ptr::NonNull;

use crate::status::Status;

/// # Errors
/// [`Status::Null`], [`Status::Misaligned`].
pub(crate) fn checked<T>(pointer: *const T) -> Result<NonNull<T>, Status> {
    let pointer = NonNull::new(pointer.cast_mut()).ok_or(Status::Null)?;
    if pointer.is_aligned() { Ok(pointer) } else { Err(Status::Misaligned) }
}

/// A copy of what stands there.
///
/// # Errors
/// As [`checked`].
///
/// # Safety
/// Unless it is NULL or misaligned, `from` leads to a `T` that can be read.
pub(crate) unsafe fn read<T: Copy>(from: *const T) -> Result<T, Status> {
    let from = checked(from)?;
    // SAFETY: not NULL and aligned, as checked; readable and a `T`, as promised.
    Ok(unsafe { from.read() })
}

/// Puts a value there.
///
/// # Errors
/// As [`checked`].
///
/// # Safety
/// Unless it is NULL or misaligned, `to` leads to as many bytes as a `T` has, which can be written.
pub(crate) unsafe fn write<T: Copy>(to: *mut T, value: T) -> Result<(), Status> {
    let to = checked(to)?;
    // SAFETY: not NULL and aligned, as checked; writable, as promised.
    unsafe { to.write(value) };
    Ok(())
}
