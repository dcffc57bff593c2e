//! Runs the shared test bodies and the control on a machine without an operating system.
//!
//! The command line from the emulator is `test ROUNDS`, `control ROUNDS ATTEMPTS` or `cost`. The
//! exit code is 0 on success. A control succeeds if the broken lock is detected.
//!
//! Each machine is one file. It prepares its hardware for atomic instructions, starts the cores,
//! and calls [`program::begin`] on the first core and [`program::run`] on each core.

#![no_std]
#![no_main]

mod cost;
mod program;

#[cfg(feature = "an521")]
mod an521;
#[cfg(any(feature = "an385", feature = "microbit"))]
mod tasks;
#[cfg(feature = "virt32")]
mod virt32;
#[cfg(feature = "virt64")]
mod virt64;
