//! Tests the program `shmlock`: the built binary, driven through pipes and terminals, and compared
//! with the flock(1) of util-linux.
//!
//! No test sleeps: a command under a lock says when it runs, and ends at the end of its input.

mod clean;
mod evidence;
#[cfg(feature = "fleet")]
mod fleet;
mod generated;
mod inherited;
mod like_flock;
mod locks;
#[cfg(not(feature = "fleet"))]
mod no_fleet;
mod probe_memory;
mod program;
mod run;
mod signalled;
mod terminal;
mod watch_hold_bench;
