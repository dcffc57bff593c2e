//! Names the files that this process's tests leave in `/dev/shm`, finds and removes them.

use std::process::{self, Command};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{env, fs};

use rustix::time::{ClockId, clock_gettime};

/// The default directory of locks.
pub(crate) const SHM: &str = "/dev/shm";

/// The environment variable with the prefix of names, set in a process that runs one test
/// [alone](fn@crate::hostile::alone).
const PREFIX: &str = "SHMLOCK_TESTS_PREFIX";

/// Returns the prefix of this process's names: its process id and the time of the first call. An
/// earlier process with the same id may have been killed and left its files.
pub(crate) fn process_prefix() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let now = clock_gettime(ClockId::Boottime);
        let now = Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0));
        env::var(PREFIX)
            .unwrap_or_else(|_| format!("test-{}-{:x}-", process::id(), now.as_millis()))
    })
}

/// Returns the files in `/dev/shm` whose names begin with `prefix`.
pub(crate) fn of(prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(SHM).expect("/dev/shm can be read");
    let names =
        entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
    names.filter(|name| name.starts_with(prefix)).collect()
}

/// Removes these files and directories from `/dev/shm`.
pub(crate) fn remove(files: &[String]) {
    for file in files {
        let path = format!("{SHM}/{file}");
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
    }
}

/// The prefix of a process that runs one test alone, for as long as its parent waits for it.
pub(crate) struct Offspring(String);

impl Offspring {
    /// Gives the process that the command starts a prefix of its own, which begins with this
    /// process's.
    pub(crate) fn of(command: &mut Command) -> Self {
        static OFFSPRING: AtomicU32 = AtomicU32::new(0);
        let name = format!("{}a{}-", process_prefix(), OFFSPRING.fetch_add(1, Ordering::Relaxed));
        command.env(PREFIX, &name);
        Self(name)
    }

    /// Returns the files that the process left.
    pub(crate) fn left(&self) -> Vec<String> {
        of(&self.0)
    }
}

impl Drop for Offspring {
    /// Removes what the process left; a killed process could not do it itself.
    fn drop(&mut self) {
        remove(&self.left());
    }
}
