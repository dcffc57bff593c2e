//! Why a hold could not be released, without a text: drops allocate nothing.

/// Why a hold could not be released: an [`Error`](crate::Error) without its text, because drops
/// allocate nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ReleaseError {
    Forked,
    NotHeld,
    Overwritten,
}
