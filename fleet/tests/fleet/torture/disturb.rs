//! Chooses, begins and ends the disturbances.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use shmlock_tests::etcd::{Member, restart_all};
use shmlock_tests::network::Way;

use super::SHORT;
use super::judge::Judge;
use crate::driver::Actor;
use crate::scene::Scene;

/// The machines, and the processes of each.
pub(crate) const MACHINES: [&str; 3] = ["a", "b", "c"];
pub(crate) const PROCESSES: usize = 3;

/// A disturbance. Each has an end, except the death of a worker, whose seat has a new one at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    KillWorker(usize),
    StopWorker(usize),
    /// A machine and one member.
    CutOne(usize, usize),
    CutAll(usize),
    LoseRequests(usize),
    LoseAnswers(usize),
    Delay(usize),
    KillMember(usize),
    StopMember(usize),
    Isolate(usize),
    /// The others do not hear the member.
    Mute(usize),
    KillAllMembers,
}

use Trouble::{
    CutAll, CutOne, Delay, Isolate, KillAllMembers, KillMember, KillWorker, LoseAnswers,
    LoseRequests, Mute, StopMember, StopWorker,
};

impl Trouble {
    /// Returns what has one disturbance at a time: a worker, a machine's ways, the members.
    fn place(self) -> (u8, usize) {
        match self {
            KillWorker(worker) | StopWorker(worker) => (0, worker),
            CutOne(machine, _)
            | CutAll(machine)
            | LoseRequests(machine)
            | LoseAnswers(machine)
            | Delay(machine) => (1, machine),
            _ => (2, 0),
        }
    }

    fn name(self) -> &'static str {
        match self {
            KillWorker(_) => "workers killed",
            StopWorker(_) => "workers stopped",
            CutOne(..) => "machines cut off from one member",
            CutAll(_) => "machines cut off from all members",
            LoseRequests(_) => "machines whose requests do not arrive",
            LoseAnswers(_) => "machines that get no answers",
            Delay(_) => "machines with delays",
            KillMember(_) => "members killed",
            StopMember(_) => "members stopped",
            Isolate(_) => "members cut off from the others",
            Mute(_) => "members that the others do not hear",
            KillAllMembers => "whole clusters killed",
        }
    }
}

/// The torture's world.
pub(crate) struct World {
    pub(crate) scene: Scene,
    pub(crate) judge: Judge,
    pub(crate) workers: Vec<Actor>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    ways: Vec<Vec<Way>>,
    random: fastrand::Rng,
    active: Vec<(Instant, Trouble)>,
}

impl World {
    pub(crate) fn new(scene: Scene, judge: Judge, seed: u64) -> Self {
        let ways = MACHINES.iter().map(|_| scene.ways()).collect();
        let random = fastrand::Rng::with_seed(seed);
        let (workers, counts, active) = (Vec::new(), BTreeMap::new(), Vec::new());
        let mut world = Self { scene, judge, workers, counts, ways, random, active };
        world.workers = (0..MACHINES.len() * PROCESSES).map(|seat| world.worker(seat)).collect();
        world
    }

    /// Starts the worker of a seat.
    fn worker(&self, seat: usize) -> Actor {
        let machine = seat % MACHINES.len();
        let ways = self.ways[machine].iter().map(|way| way.endpoint().to_owned());
        let mut arguments =
            self.scene.arguments(SHORT, MACHINES[machine], &ways.collect::<Vec<_>>());
        self.judge.address().clone_into(&mut arguments[4]);
        let mut worker = Actor::spawn(&arguments);
        worker.tell("work");
        worker
    }

    /// Disturbs until `end`, and further until it has begun so many disturbances and the store has
    /// accepted so many writes. Ends what it has begun.
    pub(crate) fn disturb(&mut self, end: Instant, disturbances: u64, writes: u64) {
        while Instant::now() < end
            || self.disturbances() < disturbances
            || self.judge.state().accepted < writes
        {
            let trouble = self.choose();
            if self.active.iter().all(|(_, other)| other.place() != trouble.place()) {
                *self.counts.entry(trouble.name()).or_default() += 1;
                self.begin(trouble);
                // One in three lasts longer than a request, or than a lease.
                let is_long = self.random.u8(..3) == 0;
                let lasts = self.random.u64(if is_long { 500..SHORT * 2500 } else { 50..500 });
                self.active.push((Instant::now() + Duration::from_millis(lasts), trouble));
            }
            let is_calm = self.random.u8(..4) == 0;
            let pause = self.random.u64(if is_calm { 500..3000 } else { 20..400 });
            std::thread::sleep(Duration::from_millis(pause));
            self.end_all_before(Instant::now());
        }
        self.end_all_before(Instant::now() + Duration::from_secs(SHORT * 10));
    }

    /// Returns the number of disturbances that it has begun.
    pub(crate) fn disturbances(&self) -> u64 {
        self.counts.values().sum()
    }

    fn end_all_before(&mut self, now: Instant) {
        let is_due = |&(until, _): &(Instant, Trouble)| until <= now;
        let (due, active) = std::mem::take(&mut self.active).into_iter().partition(is_due);
        self.active = active;
        let due: Vec<(Instant, Trouble)> = due;
        for (_, trouble) in due {
            self.end(trouble);
        }
    }

    fn choose(&mut self) -> Trouble {
        let any = self.random.usize(..self.workers.len());
        // The holder, two times in three: its troubles show most. Deaths meet all alike, because
        // each death of a holder blocks the lock for a TTL.
        let pid = self.judge.state().holder;
        let holder = self.workers.iter().position(|worker| worker.pid() == pid);
        let worker = holder.filter(|_| self.random.u8(..3) > 0).unwrap_or(any);
        let machine = worker % MACHINES.len();
        let member = self.random.usize(..self.scene.members.len());
        match self.random.u8(..24) {
            0..4 => KillWorker(any),
            4..10 => StopWorker(worker),
            10..12 => CutOne(machine, member),
            12..15 => CutAll(machine),
            15 => LoseRequests(machine),
            16 => LoseAnswers(machine),
            17 => Delay(machine),
            18 => KillMember(member),
            19..21 => StopMember(member),
            21 => Isolate(member),
            22 => Mute(member),
            _ => KillAllMembers,
        }
    }

    fn begin(&mut self, trouble: Trouble) {
        let members = &mut self.scene.members;
        match trouble {
            KillWorker(worker) => {
                let new = self.worker(worker);
                std::mem::replace(&mut self.workers[worker], new).kill();
            }
            StopWorker(worker) => self.workers[worker].signal(Signal::STOP),
            CutOne(machine, member) => self.ways[machine][member].hold(),
            CutAll(machine) => self.ways[machine].iter().for_each(Way::hold),
            LoseRequests(machine) => self.ways[machine].iter().for_each(|way| way.requests.hold()),
            LoseAnswers(machine) => self.ways[machine].iter().for_each(|way| way.answers.hold()),
            Delay(machine) => {
                let delay = Duration::from_millis(self.random.u64(1..300));
                self.ways[machine].iter().for_each(|way| way.delay(delay));
            }
            KillMember(member) => members[member].kill(),
            StopMember(member) => members[member].signal(Signal::STOP),
            Isolate(member) => self.scene.network.isolate(member),
            Mute(member) => {
                for other in (0..members.len()).filter(|&other| other != member) {
                    self.scene.network.hold(member, other);
                }
            }
            KillAllMembers => members.iter_mut().for_each(Member::kill),
        }
    }

    fn end(&mut self, trouble: Trouble) {
        let members = &mut self.scene.members;
        match trouble {
            KillWorker(_) => {}
            StopWorker(worker) => self.workers[worker].signal(Signal::CONT),
            CutOne(machine, _)
            | CutAll(machine)
            | LoseRequests(machine)
            | LoseAnswers(machine)
            | Delay(machine) => self.ways[machine].iter().for_each(Way::open),
            KillMember(member) => members[member].restart(),
            StopMember(member) => members[member].signal(Signal::CONT),
            Isolate(_) | Mute(_) => self.scene.network.heal(),
            KillAllMembers => restart_all(members),
        }
    }
}
