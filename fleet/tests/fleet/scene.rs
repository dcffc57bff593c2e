//! Provides a test's cluster, store, machines and watchdog.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use shmlock_fleet::shmlock::ShmLock;
use shmlock_fleet::{FleetBuilder, FleetLock};
use shmlock_tests::Fixture;
use shmlock_tests::etcd::{Member, cluster, cluster_over, has_etcd};
use shmlock_tests::network::{Network, Way};

use crate::driver::Actor;
use crate::store::Store;

/// The TTL in seconds of contenders whose lease ends, or almost. A busy member may be without a
/// processor for a second, and an acquisition has to come before the deadline.
pub(crate) const SHORT: u64 = 4;

/// The TTL in seconds of contenders for whose renewal a test waits: a third of it.
pub(crate) const RENEWED: u64 = 9;

/// The TTL in seconds of all others, which no slow machine exceeds.
pub(crate) const LONG: u64 = 60;

/// What a test needs. Dropped, all of it is gone.
pub(crate) struct Scene {
    pub(crate) members: Vec<Member>,
    pub(crate) store: Store,
    /// Between the members.
    pub(crate) network: Arc<Network>,
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
        Self::start(|directory| (Network::new(0), cluster(directory, members, options)))
    }

    /// Makes a scene of one member, with the options that `options` prepares in a directory.
    #[cfg(feature = "tls")]
    pub(crate) fn prepared(options: impl FnOnce(&Path) -> Vec<String>) -> Option<Self> {
        Self::start(|directory| {
            let options = options(directory);
            let options: Vec<_> = options.iter().map(String::as_str).collect();
            (Network::new(0), cluster(directory, 1, &options))
        })
    }

    /// Makes a scene of three members whose network can be cut.
    pub(crate) fn networked() -> Option<Self> {
        Self::start(|directory| {
            let network = Network::new(3);
            let members = cluster_over(&network, directory, 3, &[]);
            (network, members)
        })
    }

    fn start(members: impl FnOnce(&Path) -> (Arc<Network>, Vec<Member>)) -> Option<Self> {
        if !has_etcd() {
            return None;
        }
        let fixture = Fixture::new();
        let name = fixture.name("fleet").clone();
        let directory = PathBuf::from("/dev/shm").join(format!("{name}.d"));
        std::fs::create_dir_all(&directory).expect("a directory");
        let (network, members) = members(&directory);
        Some(Self { members, store: Store::new(), network, directory, name, _fixture: fixture })
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
        self.builder_at(machine, self.endpoints())
    }

    /// Begins to open a handle on a machine that knows these endpoints.
    pub(crate) fn builder_at<S: Into<String>>(
        &self,
        machine: &str,
        endpoints: impl IntoIterator<Item = S>,
    ) -> FleetBuilder {
        FleetLock::builder(&self.name, endpoints)
            .directory(self.machine(machine))
            .ttl(Duration::from_secs(LONG))
    }

    /// Starts a contender on a machine.
    pub(crate) fn actor(&self, machine: &str) -> Actor {
        self.actor_with(LONG, machine)
    }

    /// Starts a contender with this TTL in seconds.
    pub(crate) fn actor_with(&self, ttl: u64, machine: &str) -> Actor {
        self.actor_at(ttl, machine, &self.endpoints())
    }

    /// Starts a contender on a machine that reaches the members by these ways.
    pub(crate) fn actor_by(&self, ttl: u64, machine: &str, ways: &[Way]) -> Actor {
        let endpoints: Vec<String> = ways.iter().map(|way| way.endpoint().to_owned()).collect();
        self.actor_at(ttl, machine, &endpoints)
    }

    /// Starts a contender on a machine that knows these endpoints.
    pub(crate) fn actor_at(&self, ttl: u64, machine: &str, endpoints: &[String]) -> Actor {
        Actor::spawn(&self.arguments(ttl, machine, endpoints))
    }

    /// Returns the arguments of a contender.
    pub(crate) fn arguments(&self, ttl: u64, machine: &str, endpoints: &[String]) -> [String; 5] {
        [
            self.name.clone(),
            self.machine(machine).to_str().expect("text").to_owned(),
            ttl.to_string(),
            endpoints.join(","),
            self.store.address().to_owned(),
        ]
    }

    /// Makes a way to each member.
    pub(crate) fn ways(&self) -> Vec<Way> {
        self.members.iter().map(|member| Way::to(member.socket())).collect()
    }

    /// Returns the member that leads.
    pub(crate) fn leader(&self) -> usize {
        let mut leader = None;
        shmlock_tests::until(|| {
            leader = self.members.iter().position(Member::is_leader);
            leader.is_some()
        });
        leader.expect("it was found")
    }

    /// Waits until these members answer with a majority behind them.
    pub(crate) fn until_healthy(&self, members: &[usize]) {
        shmlock_tests::until(|| members.iter().all(|&index| self.members[index].is_healthy()));
    }

    /// Checks the state after a fault that has ended: each actor gets in once more, at the first
    /// attempt; etcd and the machines keep nothing; and the store has seen tokens rise.
    ///
    /// No actor has the lock, or an answer outstanding.
    pub(crate) fn settle(&self, actors: &mut [(&str, &mut Actor)]) {
        self.until_healthy(&(0..self.members.len()).collect::<Vec<_>>());
        for (_, actor) in &mut *actors {
            actor.locks("lock");
            assert_eq!(actor.ask("write"), "accepted");
            actor.releases_or_is_late();
        }
        assert_eq!(self.queue(), 0, "nothing is left in etcd");
        for (machine, _) in actors {
            let local = ShmLock::builder(&self.name).directory(self.machine(machine));
            let local = local.open().expect("the local lock");
            assert!(local.try_lock().expect("no error").is_some(), "the local lock is free");
        }
        let state = self.store.state();
        state.assert_tokens_rise();
        assert_eq!(state.value, state.accepted.len() as u64, "each accepted write counts once");
    }

    /// Waits until this contender is in the queue, whatever has become of the others.
    pub(crate) fn until_queued(&self, actor: &Actor) {
        let pid = format!("\"pid\":{},", actor.pid());
        let values = || self.members[0].ctl(&["get", "--prefix", &self.prefix()]);
        shmlock_tests::until(|| values().contains(&pid));
    }

    /// Waits until the queue has so many contenders, by etcd's own answers.
    pub(crate) fn until_queue_has(&self, contenders: usize) {
        shmlock_tests::until(|| self.queue() == contenders);
    }

    pub(crate) fn queue(&self) -> usize {
        self.queue_at(0)
    }

    /// Asks this member for the number of contenders.
    pub(crate) fn queue_at(&self, member: usize) -> usize {
        let keys = self.members[member].ctl(&["get", "--prefix", "--keys-only", &self.prefix()]);
        keys.lines().filter(|line| !line.is_empty()).count()
    }

    /// Returns the path of a file that goes with the scene.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Returns the directory of a machine's local locks.
    pub(crate) fn machine(&self, machine: &str) -> PathBuf {
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
