//! Runs scenarios for libFuzzer: hostile bytes, calls in any order, and after each call the
//! promises of `PROTOCOL.md`.
//!
//! | target | hostile | checked |
//! |---|---|---|
//! | `region` | the 128 bytes, every argument, writes between calls | each byte after each call |
//! | `scribble` | the same, and a thread that writes | results that the handle decides |
//! | `shell` | the file, its mode, writes and byte locks | errors, time, remaining files |
//! | `name` | names and descriptions | the path of the file; output to a terminal |
//! | `ticket` | the words of a ticket lock, deaths at any step | holders, deaths, writers |
//! | `boots` | the words of a roll and its region, likewise | holders, deaths, proofs by the roll |
//! | `c` | handles, options and pointers of the C interface | statuses, holds, remaining files |
//!
//! A finding is a panic, a report of AddressSanitizer, or a hang. Each target is one line; the
//! scenarios are here, so that one compiler pass lints them all.

pub mod boots;
pub mod c;
pub mod memory;
pub mod name;
mod orders;
pub mod region;
pub mod shell;
pub mod ticket;
