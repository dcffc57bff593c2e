//! An exhaustive search of the whole protocol: a few processes, every order of their steps, every
//! death and every stop.
//!
//! PROTOCOL.md says what a process does; here it is one small machine, each of whose steps is one
//! atomic action on the files, the byte locks, the owner word or the futex queue. [`search()`]
//! visits every world that the processes can make of it, and looks at each: one in the section,
//! nobody robbed, every death told and none invented, no file left behind, and always a way to the
//! end for everybody.
//!
//! What each transition makes of the word is the product's own code (`Word` of shmlock-core). The
//! order of the actions is written down a second time in `step/`, beside the names of the functions
//! that it follows; so it proves the design, and the code as far as the two agree. The torture and
//! the killings at every instruction look at the code itself.
//!
//! # What is not in it
//!
//! * Memory orders: every action is seen by all at once. Loom looks at those.
//! * The record, the counters, nested holds, forked children, hostile peers, several names.
//! * System calls that fail for lack of something, such as descriptors or space.
//! * An exchange of descriptor A, or of a lifeline; and the byte of a dead owner that is locked on
//!   a stranger's description because B was exchanged in the instant before (that owner looks alive
//!   for as long as the stranger lives).
//! * Steps that only read and then look again in any case, as the spin does; and actions that
//!   nobody else can notice, such as closing a descriptor that holds no lock: they belong to the
//!   step before.
//!
//! Processes are interchangeable, so worlds that differ only in who is who count once.

mod bounds;
pub mod cases;
mod fault;
mod flaw;
mod kernel;
mod place;
mod property;
mod search;
mod seen;
mod squeezed;
mod step;
mod trace;
mod world;

pub use bounds::{Bounds, Draw, Making, Ticks, Victim};
pub use flaw::{Flaw, Flaws};
pub use property::Breach;
pub use search::{Report, search};
pub use trace::Trace;
pub use world::PROCESSES;
