//! What the examples share, so that each of them can keep to its subject.
//!
//! | file | its question |
//! |---|---|
//! | [`args`] | what stands on the command line? |
//! | [`block`] | how do processes share numbers under a name? |
//! | [`child`] | how does a program talk to a second copy of itself? |
//! | [`failure`] | how does an example end when something goes wrong? |
//!
//! And for `counter` alone:
//!
//! | file | its question |
//! |---|---|
//! | [`options`] | what is it asked to do? |
//! | [`board`] | what do its processes share? |
//! | [`mend`] | what is to be done after an owner died? |
//! | [`waits`] | how long did they wait? |
//! | [`crew`] | who starts the workers, kills them and replaces them? |
//! | [`lead`] | what does the process do that the user started? |
//! | [`account`] | was anything lost? |

pub mod account;
pub mod args;
pub mod block;
pub mod board;
pub mod child;
pub mod crew;
pub mod failure;
pub mod lead;
pub mod mend;
pub mod options;
pub mod waits;

pub use failure::Result;
