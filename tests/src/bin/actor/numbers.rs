//! The content of the blocks: numbers that are all equal, so that a torn copy shows.

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// What is shared: large enough that a process can be killed while it copies.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Numbers(pub(crate) [u64; 4096]);

impl Numbers {
    /// Makes them all this number.
    pub(crate) fn fill(&mut self, number: u64) {
        self.0.fill(number);
    }

    /// The number that they all are; `torn` if they are not.
    pub(crate) fn read(&self) -> String {
        let [first, rest @ ..] = &self.0;
        if rest.iter().all(|number| number == first) {
            first.to_string()
        } else {
            "torn".to_owned()
        }
    }
}
