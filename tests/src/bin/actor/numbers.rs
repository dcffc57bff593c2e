//! Defines the content of the blocks: numbers that are all equal, so that a torn copy shows.

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The shared value, large enough that a process can be killed while it copies.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Numbers(pub(crate) [u64; 4096]);

impl Numbers {
    /// Sets them all to this number.
    pub(crate) fn fill(&mut self, number: u64) {
        self.0.fill(number);
    }

    /// Returns the number that they all are; `torn` if they differ.
    pub(crate) fn read(&self) -> String {
        let [first, rest @ ..] = &self.0;
        if rest.iter().all(|number| number == first) {
            first.to_string()
        } else {
            "torn".to_owned()
        }
    }
}
