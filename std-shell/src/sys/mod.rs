//! Wraps what the system offers, one facility a file. Nothing here knows a lock.

pub(crate) mod clock;
pub(crate) mod closed_last;
pub(crate) mod descriptor;
pub(crate) mod file_id;
pub(crate) mod file_size_limit;
pub(crate) mod fork;
pub(crate) mod fork_gate;
pub(crate) mod futex;
pub(crate) mod futex_waitv;
pub(crate) mod inotify;
pub(crate) mod ofd;
pub(crate) mod per_process;
pub(crate) mod pin;
pub(crate) mod private_files;
pub(crate) mod process;
pub(crate) mod signal_mask;
pub(crate) mod sleep;
pub(crate) mod spare_memory;
pub(crate) mod swap;
pub(crate) mod thread;
pub(crate) mod thread_pointer;
pub(crate) mod user_map;
pub(crate) mod wiped;
