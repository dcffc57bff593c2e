//! Stories for libFuzzer: hostile bytes, then calls in any order, and after each call what
//! `PROTOCOL.md` promises of it.
//!
//! | target | what is hostile | what is checked |
//! |---|---|---|
//! | `region` | the 128 bytes, every argument, writes between the calls | each byte after each call of the core |
//! | `scribble` | as above, and a thread that writes all the while | answers that the handle alone decides; no panic |
//! | `shell` | the lock's file, its mode, writes and byte locks between the calls | which errors, how long, what is left |
//! | `name` | names and descriptions | where the file is; what goes to a terminal |
//!
//! A panic is a finding, as is what AddressSanitizer reports and what does not end. The targets
//! themselves are one line each; the stories are here, so that one compiler pass lints them all.

pub mod memory;
pub mod name;
pub mod region;
pub mod shell;
