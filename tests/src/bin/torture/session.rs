//! Holds what belongs to one run: the shared memory and the names of the locks.

use std::fs;
use std::path::{Path, PathBuf};

use shmlock_tests::Shared;

use crate::memory::{LOCKS, Memory, SLOTS};
use crate::role::Role;

/// The directory of the locks.
pub(crate) const SHM: &str = "/dev/shm";

/// The names of the locks, in the order of their numbers in `role.rs`.
const NAMES: [&str; LOCKS] = ["busy", "kept", "brief", "narrow", "mixed", "waking"];

pub(crate) struct Session {
    pub(crate) memory: Shared<Memory>,
    /// The path of the shared memory.
    pub(crate) path: String,
    /// The prefix of all names of this run.
    pub(crate) prefix: String,
    pub(crate) names: Vec<String>,
}

impl Session {
    /// Creates the session, in the master.
    pub(crate) fn new(prefix: &str) -> Self {
        let memory: Shared<Memory> = Shared::new();
        let path = memory.path();
        Self::of(memory, &path, prefix)
    }

    /// Opens the master's session, in a worker.
    pub(crate) fn open(path: &str, prefix: &str) -> Self {
        Self::of(Shared::open(path), path, prefix)
    }

    fn of(memory: Shared<Memory>, path: &str, prefix: &str) -> Self {
        let names = NAMES.iter().map(|name| format!("{prefix}{name}")).collect();
        Self { memory, path: path.to_owned(), prefix: prefix.to_owned(), names }
    }

    /// Returns the name of the exit event of these workers.
    pub(crate) fn exit_event(&self, role: Role) -> String {
        format!("{}event-{role:?}", self.prefix)
    }

    pub(crate) fn path_of(&self, lock: usize) -> PathBuf {
        Path::new(SHM).join(format!("{}.shmlock", self.names[lock]))
    }

    /// Returns the files of this run.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(SHM).expect("/dev/shm can be read");
        let ours = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&self.prefix))
        };
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(ours).collect()
    }

    pub(crate) fn seats() -> std::ops::Range<usize> {
        0..SLOTS
    }
}
