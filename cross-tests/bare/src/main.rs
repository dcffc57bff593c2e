//! The shared test bodies, and the control, on a machine without an operating system.
//!
//! The command line, given to the emulator, says what to do: `test ROUNDS`, `control ROUNDS ATTEMPTS` or `cost`. The
//! exit code is 0 if it went well; a control goes well if the lock with a hole was noticed.
//!
//! Each machine is one file. It brings its cores up with whatever its hardware needs before an atomic instruction may
//! be used, and calls [`program::begin`] on the first and [`program::run`] on each of them.

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
