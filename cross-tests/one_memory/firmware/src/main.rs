//! Counts in memory that it shares with Linux processes, until it is told to stop.
//!
//! One file for each machine starts its cores; each core calls [`program::run`].

#![no_std]
#![no_main]

mod program;
mod shared;

#[cfg(feature = "an385")]
mod an385;
/// The start of both cores, as in the other programs for this machine.
#[cfg(feature = "an521")]
#[path = "../../../bare/src/an521.rs"]
mod an521;
