//! The program `shmlock`, as users have it: the built binary, driven through pipes and terminals,
//! and beside the flock(1) of util-linux.
//!
//! Nothing here sleeps: a command under a lock says that it runs, and ends when its input does.

mod clean;
mod evidence;
mod generated;
mod inherited;
mod like_flock;
mod locks;
mod program;
mod run;
mod signalled;
mod terminal;
mod watch_hold_bench;
