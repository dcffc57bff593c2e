//! Provides the memory that a Linux process and a microcontroller share, and their work in it.
//!
//! Each party counts in one plain counter, in critical sections, and may die at any instruction.
//! The next owner repairs what a dead one left, so at the end the counter must equal the parties'
//! own counts. The programs are in `../firmware` and `../linux`.
//!
//! | file | content |
//! |---|---|
//! | [`memory`] | the map of the shared memory |
//! | [`ledger`] | the counters under the lock, and their repair |
//! | [`locks`] | the locks under test, and none |

#![no_std]

pub mod ledger;
pub mod locks;
pub mod memory;
mod party;

pub use ledger::{Audit, Ledger};
pub use locks::Exclude;
pub use memory::{LockKind, Orders, SharedMemory};
pub use party::Party;
