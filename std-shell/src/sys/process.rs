//! Returns the id of this process, and its pid namespace.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::sys::fork::ProcessGeneration;

/// Returns the id of a process in its own pid namespace, getpid(2), and the inode number of that
/// namespace, or 0. Asks the kernel once in each process: neither changes while it lives.
///
/// Not to be called in a child of the process `birth`.
pub(crate) fn ids_of(birth: ProcessGeneration) -> (u32, u32) {
    static ID: Known = Known::new();
    static NAMESPACE: Known = Known::new();
    (ID.of(birth, process_id), NAMESPACE.of(birth, pid_namespace))
}

/// Returns the id of this process in its own pid namespace, getpid(2).
fn process_id() -> u32 {
    rustix::process::getpid().as_raw_nonzero().get().unsigned_abs()
}

/// Returns the inode number of this process's pid namespace, namespaces(7); 0 without `/proc`.
#[allow(clippy::unnecessary_cast, reason = "another width on other targets")]
pub(crate) fn pid_namespace() -> u32 {
    rustix::fs::stat("/proc/self/ns/pid")
        .map_or(0, |stat| u32::try_from(stat.st_ino as u64).unwrap_or(0))
}

/// A number of a process, beside the generation of that process: both change at once.
struct Known(AtomicU64);

impl Known {
    const fn new() -> Self {
        Self(AtomicU64::new(0)) // 0 is the generation of no process
    }

    /// Returns the number of this process; calls `ask` unless it is known. 0 counts as unknown.
    fn of(&self, birth: ProcessGeneration, ask: impl FnOnce() -> u32) -> u32 {
        let generation = u64::from(birth.generation()) << 32;
        // Partner: the store below, by any thread of this process, or its parent's, which has
        // another generation. Relaxed: one number.
        let known = self.0.load(Relaxed);
        let number = u32::try_from(known & u64::from(u32::MAX)).unwrap_or(0);
        if known ^ u64::from(number) == generation && number != 0 {
            return number;
        }
        let number = ask();
        if birth.is_here() {
            self.0.store(generation | u64::from(number), Relaxed); // partner: the load above
        }
        number
    }
}
