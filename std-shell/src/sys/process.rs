//! Returns the id of this process, and its pid namespace.

/// Returns the id of this process in its own pid namespace, getpid(2).
pub(crate) fn process_id() -> u32 {
    rustix::process::getpid().as_raw_nonzero().get().unsigned_abs()
}

/// Returns the inode number of this process's pid namespace, namespaces(7); 0 without `/proc`.
#[allow(clippy::unnecessary_cast, reason = "another width on other targets")]
pub(crate) fn pid_namespace() -> u32 {
    rustix::fs::stat("/proc/self/ns/pid")
        .map_or(0, |stat| u32::try_from(stat.st_ino as u64).unwrap_or(0))
}
