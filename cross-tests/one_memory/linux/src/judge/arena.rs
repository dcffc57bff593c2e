//! Provides the memory, the parties on it, and the waits of the judge.

use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use shmlock::ShmLock;
use shmlock_one_memory::{LockKind, Party, SharedMemory};
use shmlock_one_memory_linux::{FILE_LEN, map, named_lock, present_boot, present_life};

use crate::machine::Machine;
use crate::options::Options;
use crate::processes::Processes;

/// The time after which a wait fails. Much longer than any wait on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(100);

/// The time between two looks of the judge.
const LOOK: Duration = Duration::from_micros(50);

/// A directory in memory for the file and the named lock. Its drop removes it.
struct Directory(PathBuf);

impl Directory {
    fn new(parent: &Path) -> Self {
        let path = parent.join(format!("one-memory-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&path).expect("a directory in memory");
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

/// Machines, processes, and their memory. All count from the start.
pub(crate) struct Arena {
    // In the order of their drops.
    pub(crate) processes: Processes,
    pub(crate) machines: Vec<Machine>,
    pub(crate) memory: &'static SharedMemory,
    named: ShmLock,
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
        let directory = Directory::new(&options.directory);
        let path = directory.memory();
        let file = File::create_new(&path).expect("a new directory");
        file.set_len(FILE_LEN).expect("memory for its content");
        let memory = map(&path).expect("a file of the right length");
        memory.orders.give(options.lock, options.cores, options.pauses);
        let cores: Vec<_> = (0..options.machines + options.cores - 1)
            .map(|core| Party::of_core(core).expect("two cores at most"))
            .collect();
        let machine = |first_core| Machine::start(&options.machine, first_core, &path);
        Self {
            machines: (0..options.machines).map(machine).collect(),
            processes: Processes::start(options.processes, &path, &directory.0),
            memory,
            named: named_lock(&directory.0).expect("a new lock"),
            cores,
            _directory: directory,
        }
    }

    /// Returns the parties that count.
    pub(crate) fn parties(&self) -> Vec<Party> {
        [Party::Linux].into_iter().chain(self.cores.iter().copied()).collect()
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
            self.machines.iter_mut().for_each(Machine::assert_runs);
            if !self.memory.orders.is_stopped() {
                self.processes.assert_run();
            }
            thread::sleep(LOOK); // the parties need the cores of this machine
        }
    }

    /// Waits until a party has counted some critical sections from now on.
    pub(crate) fn until_counts(&mut self, party: Party, sections: u32) {
        let begun = self.count(party);
        self.until("a party counts", |arena| arena.count(party).wrapping_sub(begun) >= sections);
    }

    /// Waits until each party has counted some critical sections from now on.
    pub(crate) fn until_all_count(&mut self, sections: u32) {
        for party in self.parties() {
            self.until_counts(party, sections);
        }
    }

    /// Proves the death of the party Linux, as a supervisor does: without the lock in memory.
    pub(crate) fn prove_death_of_linux(&self) {
        let guard = self.named.lock().expect("the lock of a dead process");
        match self.memory.orders.lock() {
            LockKind::Ticket => present_life(self.memory, &guard).expect("a lock"),
            _ => drop(present_boot(self.memory, &guard).expect("a roll")),
        }
        guard.release().expect("held");
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
