//! Provides a test's cluster, store, machines and watchdog.

use std::path::PathBuf;
use std::time::Duration;

use shmlock_fleet::{FleetBuilder, FleetLock};
use shmlock_tests::Fixture;
use shmlock_tests::etcd::{Member, cluster, has_etcd};

use crate::driver::Actor;
use crate::store::Store;

/// The TTL of the tests in seconds: the shortest that etcd grants with its default settings.
pub(crate) const TTL: u64 = 2;

/// What a test needs. Dropped, all of it is gone.
pub(crate) struct Scene {
    pub(crate) members: Vec<Member>,
    pub(crate) store: Store,
    directory: PathBuf,
    name: String,
    // Last: its drop looks for files that are left behind.
    _fixture: Fixture,
}

impl Scene {
    /// Returns `None`, and reports the test as skipped, where there is no etcd.
    pub(crate) fn new(members: usize) -> Option<Self> {
        Self::with(members, &[])
    }

    pub(crate) fn with(members: usize, options: &[&str]) -> Option<Self> {
        if !has_etcd() {
            return None;
        }
        let fixture = Fixture::new();
        let name = fixture.name("fleet").clone();
        let directory = PathBuf::from("/dev/shm").join(format!("{name}.d"));
        std::fs::create_dir_all(&directory).expect("a directory");
        let members = cluster(&directory, members, options);
        Some(Self { members, store: Store::new(), directory, name, _fixture: fixture })
    }

    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(Member::endpoint).collect()
    }

    /// Returns the lock's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the prefix of the lock's keys.
    pub(crate) fn prefix(&self) -> String {
        format!("shmlock/{}/", self.name)
    }

    /// Begins to open a handle on a machine.
    pub(crate) fn builder(&self, machine: &str) -> FleetBuilder {
        FleetLock::builder(&self.name, self.endpoints())
            .directory(self.machine(machine))
            .ttl(Duration::from_secs(TTL))
    }

    /// Starts a contender on a machine.
    pub(crate) fn actor(&self, machine: &str) -> Actor {
        Actor::spawn(&[
            &self.name,
            self.machine(machine).to_str().expect("text"),
            &TTL.to_string(),
            &self.endpoints().join(","),
            self.store.address(),
        ])
    }

    /// Waits until the queue has so many contenders, by etcd's own answers.
    pub(crate) fn until_queue_has(&self, contenders: usize) {
        shmlock_tests::until(|| self.queue() == contenders);
    }

    pub(crate) fn queue(&self) -> usize {
        let keys = self.members[0].ctl(&["get", "--prefix", "--keys-only", &self.prefix()]);
        keys.lines().filter(|line| !line.is_empty()).count()
    }

    fn machine(&self, machine: &str) -> PathBuf {
        let directory = self.directory.join(machine);
        std::fs::create_dir_all(&directory).expect("a directory");
        directory
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.members.clear();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
