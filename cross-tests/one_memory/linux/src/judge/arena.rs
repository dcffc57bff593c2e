//! Provides the memory, the parties on it, and the waits of the judge.

use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use shmlock_one_memory::{Party, SharedMemory};
use shmlock_one_memory_linux::{FILE_LEN, map};

use crate::machine::Machine;
use crate::options::Options;
use crate::processes::Processes;

/// The time after which a wait fails. Much longer than any wait on a slow machine.
const PATIENCE: Duration = Duration::from_secs(100);

/// A directory in memory for the file and the named lock. Its drop removes it.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = PathBuf::from(format!("/dev/shm/shmlock-one-memory-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&path).expect("a directory in /dev/shm");
        Self(path)
    }

    fn memory(&self) -> PathBuf {
        self.0.join("memory")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One machine, some processes, and their memory. All count from the start.
pub(crate) struct Arena {
    // In the order of their drops.
    pub(crate) processes: Processes,
    pub(crate) machine: Machine,
    pub(crate) memory: &'static SharedMemory,
    parties: Vec<Party>,
    cores: Vec<Party>,
    _directory: Directory,
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.memory.fmt(f)
    }
}

impl Arena {
    pub(crate) fn new(options: &Options) -> Self {
        let directory = Directory::new();
        let path = directory.memory();
        let file = File::create_new(&path).expect("a new directory");
        file.set_len(FILE_LEN).expect("memory for its content");
        let memory = map(&path).expect("a file of the right length");
        memory.orders.give(options.lock, options.cores);
        let cores: Vec<_> = (0..options.cores).filter_map(Party::of_core).collect();
        assert_eq!(cores.len(), options.cores as usize, "no machine has so many cores");
        Self {
            machine: Machine::start(&options.machine, &path),
            processes: Processes::start(options.processes, &path, &directory.0),
            memory,
            parties: [Party::Linux].into_iter().chain(cores.iter().copied()).collect(),
            cores,
            _directory: directory,
        }
    }

    /// Returns the parties that count.
    pub(crate) fn parties(&self) -> &[Party] {
        &self.parties
    }

    /// Returns the cores that count.
    pub(crate) fn cores(&self) -> &[Party] {
        &self.cores
    }

    /// Returns the present count of a party.
    pub(crate) fn count(&self, party: Party) -> u32 {
        self.memory.ledger.audit().counts[party.index()]
    }

    /// Waits until a condition is true while all parties run.
    pub(crate) fn until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !condition(self) {
            assert!(begun.elapsed() < PATIENCE, "{what}: not yet. {self:#?}");
            self.machine.assert_runs();
            if !self.memory.orders.is_stopped() {
                self.processes.assert_run();
            }
            thread::yield_now();
        }
    }

    /// Waits until a party has counted some critical sections from now on.
    pub(crate) fn until_counts(&mut self, party: Party, sections: u32) {
        let begun = self.count(party);
        self.until("a party counts", |arena| arena.count(party).wrapping_sub(begun) >= sections);
    }

    /// Waits until each party has counted some critical sections from now on.
    pub(crate) fn until_all_count(&mut self, sections: u32) {
        for party in self.parties.clone() {
            self.until_counts(party, sections);
        }
    }

    /// Tells all parties to stop, and waits until they have ended.
    pub(crate) fn stop(&mut self) {
        self.memory.orders.stop();
        self.processes.wait();
        for core in self.cores.clone() {
            self.until("each core ends", |arena| arena.memory.orders.ended(core) > 0);
        }
    }
}
