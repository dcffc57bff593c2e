//! Provides a test's etcd, lock and machines.

use std::path::{Path, PathBuf};
use std::process::Command;

use shmlock_tests::Fixture;
use shmlock_tests::etcd::{Member, cluster, has_etcd};

use crate::program::{Running, shmlock};

/// A TTL in seconds that no slow machine exceeds.
const LONG: &str = "60";

/// The TTL in seconds of tests in which a lease ends, or a renewal finds something.
pub(crate) const SHORT: &str = "5";

/// What a test needs. Dropped, all of it is gone.
pub(crate) struct Scene {
    pub(crate) members: Vec<Member>,
    pub(crate) name: String,
    directory: PathBuf,
    // Last: its drop looks for files that are left behind.
    _fixture: Fixture,
}

impl Scene {
    /// Returns `None`, and reports the test as skipped, where there is no etcd.
    pub(crate) fn new() -> Option<Self> {
        Self::with(|_| Vec::new())
    }

    /// Returns the same, of an etcd with the options that `options` prepares in a directory.
    pub(crate) fn with(options: impl FnOnce(&Path) -> Vec<String>) -> Option<Self> {
        if !has_etcd() {
            return None;
        }
        let fixture = Fixture::new();
        let name = fixture.name("fleet").clone();
        let directory = PathBuf::from("/dev/shm").join(format!("{name}.d"));
        std::fs::create_dir_all(&directory).expect("a directory");
        let options = options(&directory);
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        let members = cluster(&directory, 1, &options);
        Some(Self { members, name, directory, _fixture: fixture })
    }

    pub(crate) fn url(&self) -> String {
        self.members[0].endpoint()
    }

    /// Returns the program with this verb for the lock on a machine.
    pub(crate) fn verb(&self, verb: &str, machine: &str, options: &[&str]) -> Command {
        self.verb_with_ttl(LONG, verb, machine, options)
    }

    /// Returns the same with another TTL in seconds.
    pub(crate) fn verb_with_ttl(
        &self,
        ttl: &str,
        verb: &str,
        machine: &str,
        options: &[&str],
    ) -> Command {
        let mut command = shmlock([verb, &self.name, "--fleet", &self.url(), "--ttl", ttl]);
        command.arg("--directory").arg(self.machine(machine)).args(options);
        command
    }

    /// Returns the program with a verb that shows this lock, or all.
    pub(crate) fn view(&self, verb: &str, options: &[&str]) -> Command {
        let mut command = shmlock([verb, "--fleet", &self.url()]);
        command.args((verb == "status").then_some(&self.name)).args(options);
        command
    }

    /// Returns the program with these arguments on one machine.
    pub(crate) fn bare(&self, arguments: &[&str]) -> Command {
        let (verb, rest) = arguments.split_first().expect("a verb");
        let mut command = shmlock([*verb, "--directory"]);
        command.arg(self.machine("a")).args(rest);
        command
    }

    /// Returns the path of a file that goes with the scene.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn machine(&self, machine: &str) -> PathBuf {
        let directory = self.directory.join(machine);
        std::fs::create_dir_all(&directory).expect("a directory");
        directory
    }

    /// Returns the program that runs a command under the lock on a machine.
    pub(crate) fn run(&self, machine: &str, options: &[&str]) -> Command {
        self.verb("run", machine, options)
    }

    /// Starts the same with a short TTL, and waits until its command says that it runs.
    pub(crate) fn running_shortly(&self, machine: &str, options: &[&str]) -> Running {
        Running::start(self.verb_with_ttl(SHORT, "run", machine, options)).ready()
    }

    /// Starts it, and waits until its command says that it runs.
    pub(crate) fn running(&self, machine: &str, options: &[&str]) -> Running {
        Running::start(self.run(machine, options)).ready()
    }

    /// Deletes the keys of the lock, as an administrator may.
    pub(crate) fn delete_keys(&self) {
        self.members[0].ctl(&["del", "--prefix", &self.prefix()]);
    }

    pub(crate) fn prefix(&self) -> String {
        format!("shmlock/{}/", self.name)
    }

    /// Returns the number of contenders, by etcd's own answer.
    pub(crate) fn queue(&self) -> usize {
        let keys = self.members[0].ctl(&["get", "--prefix", "--keys-only", &self.prefix()]);
        keys.lines().filter(|line| !line.is_empty()).count()
    }

    pub(crate) fn until_queue_has(&self, contenders: usize) {
        shmlock_tests::until(|| self.queue() == contenders);
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.members.clear();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
