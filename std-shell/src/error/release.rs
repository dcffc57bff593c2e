//! Why a hold could not be released, without a text: drops allocate nothing.

/// Why a hold could not be given back as it should. An [`Error`] without its text, for drops
/// allocate nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ReleaseError {
    Forked,
    NotHeld,
    Overwritten,
}
