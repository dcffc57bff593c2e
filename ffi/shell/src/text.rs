//! Reads strings from C, and writes text into its buffers.

#![allow(unsafe_code, reason = "reads strings from C")]

use std::ffi::{CStr, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::status::Status;

/// Returns the string at `text` as bytes; `None` for NULL.
///
/// # Safety
/// Unless it is NULL, `text` is a string that outlives the result.
unsafe fn bytes<'t>(text: *const c_char) -> Option<&'t [u8]> {
    if text.is_null() {
        return None;
    }
    // SAFETY: guaranteed by the caller.
    Some(unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// Returns the string at `text`; `None` for NULL.
///
/// # Errors
/// [`Status::BadText`] if it is not UTF-8.
///
/// # Safety
/// Unless it is NULL, `text` is a string that outlives the result.
pub(crate) unsafe fn text<'t>(text: *const c_char) -> Result<Option<&'t str>, Status> {
    // SAFETY: guaranteed by the caller.
    let bytes = unsafe { bytes(text) };
    bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| Status::BadText)).transpose()
}

/// Returns the string at `name`.
///
/// # Errors
/// [`Status::Null`], [`Status::BadText`].
///
/// # Safety
/// Unless it is NULL, `name` is a string that outlives the result.
pub(crate) unsafe fn name<'t>(name: *const c_char) -> Result<&'t str, Status> {
    // SAFETY: guaranteed by the caller.
    unsafe { text(name) }?.ok_or(Status::Null)
}

/// Returns the path at `path`; for NULL, the directory of locks. A path is any bytes.
///
/// # Safety
/// Unless it is NULL, `path` is a string that outlives the result.
pub(crate) unsafe fn directory<'t>(path: *const c_char) -> &'t Path {
    // SAFETY: guaranteed by the caller.
    let bytes = unsafe { bytes(path) };
    bytes.map_or(Path::new("/dev/shm"), |bytes| Path::new(OsStr::from_bytes(bytes)))
}

/// Returns text as C has it: cut to the array at the end of a character, and zero behind.
pub(crate) fn cut<const N: usize>(text: &str) -> [c_char; N] {
    let mut end = text.len().min(N - 1);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut cut = [0; N];
    for (to, from) in cut.iter_mut().zip(text.as_bytes().iter().take(end)) {
        *to = c_char::from_ne_bytes([*from]);
    }
    cut
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::cut;

    #[test]
    fn a_text_is_cut_between_two_characters_and_always_ends() {
        for (text, expected) in
            [("", ""), ("abc", "abc"), ("abcd", "abc"), ("abä", "ab"), ("ää", "ä")]
        {
            let cut: [u8; 4] = cut::<4>(text).map(|byte| byte.to_ne_bytes()[0]);
            let shown = CStr::from_bytes_until_nul(&cut).expect("it ends");
            assert_eq!(shown.to_str(), Ok(expected));
        }
    }
}
