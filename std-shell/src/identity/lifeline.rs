//! A descriptor that keeps an identity as the mapping does.

use rustix::io::Errno;

use crate::sys::descriptor::Descriptor;

/// A descriptor of the description that holds our token and presence.
#[derive(Debug)]
pub(crate) struct Lifeline {
    pub(crate) a: Descriptor,
}

impl Lifeline {
    /// Of the description `a`, close-on-exec.
    pub(crate) fn of(a: &Descriptor) -> Result<Self, Errno> {
        a.duplicate().map(|a| Self { a })
    }
}
