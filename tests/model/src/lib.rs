//! Searches the whole protocol exhaustively: a few processes, every order of their steps, every
//! death and every stop.
//!
//! PROTOCOL.md says what a process does; here it is a small machine, each of whose steps is one
//! atomic action on the files, the byte locks, the owner word or the futex queue. [`search()`]
//! visits every world that the processes can reach, and checks each: one owner at a time, no living
//! owner robbed, every death reported and none invented, no file left behind, and always a way to
//! the end for every process.
//!
//! The transitions of the owner word are the product's own code (`Word` of shmlock-core). The order
//! of the actions is written a second time in `step/`, with the names of the functions that it
//! follows. So the search proves the design, and the code as far as the two agree. The torture and
//! the kills at every instruction test the code itself.
//!
//! # What is left out
//!
//! * Memory orders: every process sees every action at once. Loom covers those.
//! * The owner record, the counters, nested holds, forked children, hostile processes, several
//!   names.
//! * System calls that fail for lack of a resource, such as descriptors or space.
//! * An exchange of descriptor A, or of a lifeline. A dead owner's byte that is locked on a foreign
//!   description because B was exchanged in the instant before: that owner looks alive for as long
//!   as the foreign description lives.
//! * Steps that only read and then retry in any case, as the spin does; and actions that no other
//!   process can notice, such as closing a descriptor that holds no lock: they belong to the step
//!   before.
//!
//! [`ticket`] has the ticket lock, which shares nothing with these processes but the method.
//!
//! Processes are interchangeable: worlds that differ only in the order of the processes count once.

mod bounds;
mod breach;
pub mod cases;
mod fault;
mod flaw;
mod kernel;
mod moves;
mod place;
mod property;
mod search;
mod seen;
mod squeezed;
mod step;
pub mod ticket;
mod trace;
mod world;

pub use bounds::{Bounds, Draw, Making, Ticks, Victim};
pub use breach::Breach;
pub use flaw::{Flaw, Flaws};
pub use search::{Report, search};
pub use seen::Seen;
pub use trace::Trace;
pub use world::PROCESSES;
