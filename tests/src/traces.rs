//! Names the files that this process's tests leave in `/dev/shm`, finds them and removes them.

use std::process::{self, Command};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{env, fs};

use rustix::time::{ClockId, clock_gettime};

/// Where locks live if nobody says otherwise.
pub(crate) const SHM: &str = "/dev/shm";

/// Set in a process that runs one test [alone](fn@crate::hostile::alone): how the names of its
/// fixtures begin.
const PREFIX: &str = "SHMLOCK_TESTS_PREFIX";

/// Returns how the names of this process's fixtures begin: with its process id, and the moment of the
/// first call. An earlier process with the same id may have been killed, and then its files are
/// still there.
pub(crate) fn process_prefix() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let now = clock_gettime(ClockId::Boottime);
        let now = Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0));
        env::var(PREFIX)
            .unwrap_or_else(|_| format!("test-{}-{:x}-", process::id(), now.as_millis()))
    })
}

/// Returns the files in `/dev/shm` whose names begin so.
pub(crate) fn of(prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(SHM).expect("/dev/shm can be read");
    let names =
        entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
    names.filter(|name| name.starts_with(prefix)).collect()
}

/// Removes these files from `/dev/shm`, and folders with all that is in them.
pub(crate) fn remove(files: &[String]) {
    for file in files {
        let path = format!("{SHM}/{file}");
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
    }
}

/// The names of a process that runs one test alone, for as long as its parent waits for it.
pub(crate) struct Offspring(String);

impl Offspring {
    /// Gives the process that the command starts names of its own. They begin with this process's.
    pub(crate) fn of(command: &mut Command) -> Self {
        static OFFSPRING: AtomicU32 = AtomicU32::new(0);
        let name = format!("{}a{}-", process_prefix(), OFFSPRING.fetch_add(1, Ordering::Relaxed));
        command.env(PREFIX, &name);
        Self(name)
    }

    /// Returns what the process has left.
    pub(crate) fn left(&self) -> Vec<String> {
        of(&self.0)
    }
}

impl Drop for Offspring {
    /// Removes what the process left: one that was killed could not.
    fn drop(&mut self) {
        remove(&self.left());
    }
}
