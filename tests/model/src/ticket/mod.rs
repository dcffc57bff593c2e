//! Searches the ticket lock exhaustively: PROTOCOL.md, part IV.
//!
//! Two or three parties, every order of their loads and stores, a death and a new start at each.
//! Each move is one load or one store of a word of a line. In most searches the last number is 2 or
//! 3, so that the numbers end all the time. The meaning of a number, of a section word and of a
//! burial is the product's own code. The order of the steps is written a second time in `step/`,
//! with the names of the functions of `core/src/ticket/steps.rs`.
//!
//! # What is left out
//!
//! * Memory orders: each party sees each store at once. Litmus tests prove the fences.
//! * The record, the counter of acquisitions, nested holds, hostile words.
//! * The wrap of the lives and of the deaths.

mod breach;
pub mod cases;
mod flaw;
mod judge;
mod search;
mod step;
mod world;

pub use breach::Breach;
pub use flaw::Flaw;
pub use search::{Report, search};
pub use world::{Bounds, PARTIES};
