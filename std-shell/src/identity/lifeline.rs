//! Holds a descriptor that keeps an identity, as the mapping does. Its use: `lock/lifeline.rs`.

use rustix::io::Errno;

use crate::sys::descriptor::Descriptor;

/// A descriptor of the description that holds this handle's token and presence.
#[derive(Debug)]
pub(crate) struct Lifeline {
    pub(crate) a: Descriptor,
}

impl Lifeline {
    /// Duplicates the descriptor of `A`, close-on-exec.
    pub(crate) fn of(a: &Descriptor) -> Result<Self, Errno> {
        a.duplicate().map(|a| Self { a })
    }
}
