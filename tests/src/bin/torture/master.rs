//! The master: starts the workers, makes their lives hard, and watches that nobody is stuck.
//!
//! One thread and no handle of any lock: what it has to do with the locks, it does to their users.

use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::memory::{Doing, LIVES};
use crate::plan::Role;
use crate::pressure::{self, Pressure};
use crate::stage::Stage;
use crate::system;
use crate::watch::Watch;
use crate::workers::Workers;

/// How long the workers have to come to their end.
const LAST_ORDERS: Duration = Duration::from_secs(60);

/// Whoever must be woken by a release is stopped only in the first so many seconds of each so many.
/// The rest is longer than the time after which somebody counts as stuck.
const STOPS: u64 = 5;
const PHASE: u64 = 30;

/// How long to look for a worker that does what the master wants to disturb.
const AMBUSH: Duration = Duration::from_micros(500);

/// What the master has done.
#[derive(Debug, Default)]
pub(crate) struct Cruelty {
    pub(crate) stops: u64,
    pub(crate) stutters: u64,
    pub(crate) signals: u64,
    pub(crate) shuffles: u64,
    pub(crate) turns: u64,
}

/// Something to be done later to the process that sits there now.
struct Due {
    when: Instant,
    seat: usize,
    pid: u32,
    what: Later,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Later {
    Continue,
    Kill,
}

pub(crate) struct Master<'s> {
    stage: &'s Stage,
    rng: Rng,
    began: Instant,
    pub(crate) workers: Workers<'s>,
    pub(crate) done: Cruelty,
    pressure: Pressure,
    processors: Vec<usize>,
    due: Vec<Due>,
    watch: Watch<'s>,
}

impl<'s> Master<'s> {
    pub(crate) fn new(stage: &'s Stage, seed: u64) -> Self {
        Self {
            stage,
            rng: Rng::with_seed(seed),
            began: Instant::now(),
            workers: Workers::new(stage),
            done: Cruelty::default(),
            pressure: Pressure::begin(),
            processors: system::processors(),
            due: Vec::new(),
            watch: Watch::new(&stage.memory),
        }
    }

    /// Torments the workers for so long, or until there is a fault, and has them come to their end.
    pub(crate) fn run(&mut self, time: Duration) {
        self.seat_token_exhaustion();
        let end = Instant::now() + time;
        let mut looked = Instant::now();
        while Instant::now() < end && !self.has_failed() && !self.is_out_of_lives() {
            self.workers.reap(&self.pressure);
            self.fill_seats();
            self.do_what_is_due();
            self.torment();
            if looked.elapsed() > Duration::from_secs(1) {
                looked = Instant::now();
                self.watch.look();
            }
            thread::sleep(Duration::from_micros(self.rng.u64(..5_000)));
        }
        self.finish();
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.stage.memory.faults.load(Relaxed) != 0
    }

    fn is_out_of_lives(&self) -> bool {
        let left = (LIVES as u64).saturating_sub(self.stage.memory.born.load(Relaxed));
        if left < 10_000 {
            println!("no room for more lives: the run ends early");
        }
        left < 10_000
    }

    /// It has to be the first on its lock.
    fn seat_token_exhaustion(&mut self) {
        let token_exhaustion = Stage::seats()
            .find(|&seat| Role::of(seat) == Role::TokenExhaustion)
            .expect("a seat for it");
        self.workers.start(token_exhaustion);
        while self.stage.memory.seats[token_exhaustion].ready.load(Relaxed) == 0
            && self.workers.pid(token_exhaustion).is_some()
        {
            self.workers.reap(&self.pressure);
            thread::yield_now();
        }
    }

    fn fill_seats(&mut self) {
        for seat in Stage::seats() {
            if self.workers.pid(seat).is_none() {
                self.workers.start(seat);
            }
        }
    }

    fn do_what_is_due(&mut self) {
        let now = Instant::now();
        let (due, later) =
            std::mem::take(&mut self.due).into_iter().partition(|due: &Due| due.when <= now);
        self.due = later;
        for Due { seat, pid, what, .. } in due {
            match what {
                _ if self.workers.pid(seat) != Some(pid) => {} /* it has ended, and its number may
                * be another's */
                Later::Continue => system::signal_group(pid, libc::SIGCONT),
                Later::Kill => self.workers.kill(seat, false),
            }
        }
    }

    fn later(&mut self, millis: std::ops::Range<u64>, seat: usize, pid: u32, what: Later) {
        let when = Instant::now() + Duration::from_millis(self.rng.u64(millis));
        self.due.push(Due { when, seat, pid, what });
    }

    fn torment(&mut self) {
        match self.rng.u32(..1000) {
            0..450 => self.kill(),
            450..620 => self.stop(),
            620..800 => self.disturb(),
            800..930 => self.shuffle(),
            930..990 => self.terminate(),
            990..997 => self.stutter(),
            _ => {
                self.pressure.turn();
                self.done.turns += 1;
            }
        }
    }

    /// Somebody on a mortal's seat, most times one who is doing a certain thing right now.
    fn victim(&mut self) -> Option<(usize, u32)> {
        let mortals: Vec<_> =
            Stage::seats().filter(|&seat| Role::of(seat) == Role::Mortal).collect();
        let wanted = self.rng.choice([
            Some(Doing::Inside),
            Some(Doing::Taking),
            Some(Doing::Giving),
            Some(Doing::Opening),
            Some(Doing::Closing),
            None,
        ])?;
        let start = Instant::now();
        while let (Some(wanted), true) = (wanted, start.elapsed() < AMBUSH) {
            let first = self.rng.usize(..mortals.len());
            let found = mortals
                .iter()
                .cycle()
                .skip(first)
                .take(mortals.len())
                .find(|&&seat| self.does(seat, wanted));
            if let Some(&seat) = found {
                return Some((seat, self.workers.pid(seat)?));
            }
        }
        let seat = self.rng.choice(mortals)?;
        Some((seat, self.workers.pid(seat)?))
    }

    fn does(&self, seat: usize, doing: Doing) -> bool {
        let memory = &self.stage.memory;
        memory.known(memory.seats[seat].life.load(Relaxed)).is_some_and(|life| life.is_doing(doing))
    }

    /// Anybody.
    fn somebody(&mut self) -> Option<(usize, u32)> {
        let seat = self.rng.choice(Stage::seats())?;
        Some((seat, self.workers.pid(seat)?))
    }

    fn kill(&mut self) {
        let Some((seat, _)) = self.victim() else { return };
        let group = self.rng.u32(..10) == 0;
        self.workers.kill(seat, group);
    }

    /// By a signal that the victim may have a handler for. One that blocks it is killed a little
    /// later.
    fn terminate(&mut self) {
        let Some((seat, pid)) = self.victim() else { return };
        self.stage.memory.seats[seat].condemned.store(pid, Relaxed);
        system::signal(pid, libc::SIGTERM);
        self.later(50..300, seat, pid, Later::Kill);
    }

    fn stop(&mut self) {
        let target = if self.rng.u32(..4) == 0 { self.somebody() } else { self.victim() };
        let Some((seat, pid)) = target.filter(|&(seat, _)| self.may_be_stopped(seat)) else {
            return;
        };
        self.stop_seat(seat, pid);
        self.done.stops += 1;
        let most = if self.rng.u32(..10) == 0 { 500 } else { 40 };
        self.later(0..most, seat, pid, Later::Continue);
    }

    fn may_be_stopped(&self, seat: usize) -> bool {
        Role::of(seat) != Role::Wakeful || self.began.elapsed().as_secs() % PHASE < STOPS
    }

    fn stop_seat(&self, seat: usize, pid: u32) {
        self.stage.memory.seats[seat].stops.fetch_add(1, Relaxed);
        system::signal_group(pid, libc::SIGSTOP);
    }

    /// A signal with a harmless handler; not to those who must be woken by nothing but a release.
    fn disturb(&mut self) {
        let Some((seat, pid)) = self.somebody() else { return };
        if Role::of(seat) == Role::Mortal {
            let signal = self.rng.choice(system::HARMLESS).unwrap_or(libc::SIGUSR1);
            if self.is_up(seat, pid) {
                system::signal(pid, signal);
                self.done.signals += 1;
            }
        }
    }

    /// Whether the process is so far that it has its handlers.
    fn is_up(&self, seat: usize, pid: u32) -> bool {
        let memory = &self.stage.memory;
        memory
            .known(memory.seats[seat].life.load(Relaxed))
            .is_some_and(|life| life.pid.load(Relaxed) == pid)
    }

    fn shuffle(&mut self) {
        if let Some((_, pid)) = self.somebody() {
            pressure::shuffle(&mut self.rng, pid, &self.processors);
            self.done.shuffles += 1;
        }
    }

    /// Everybody stands still for a while.
    fn stutter(&mut self) {
        let all = Stage::seats().filter(|&seat| self.may_be_stopped(seat));
        let all: Vec<_> = all.filter_map(|seat| Some((seat, self.workers.pid(seat)?))).collect();
        for &(seat, pid) in &all {
            self.stop_seat(seat, pid);
        }
        thread::sleep(Duration::from_millis(self.rng.u64(1..100)));
        for &(_, pid) in &all {
            system::signal_group(pid, libc::SIGCONT);
        }
        self.done.stutters += 1;
    }

    /// Lets everybody come to the end, and waits for it; after a fault, kills them.
    fn finish(&mut self) {
        self.stage.memory.stop.store(1, Relaxed);
        self.pressure.end();
        let start = Instant::now();
        loop {
            for pid in Stage::seats().filter_map(|seat| self.workers.pid(seat)) {
                system::signal_group(pid, libc::SIGCONT);
            }
            if self.has_failed() {
                self.watch.kill_all();
            }
            if !self.workers.reap(&self.pressure) {
                return;
            }
            if start.elapsed() > LAST_ORDERS && !self.has_failed() {
                self.watch.accuse_the_last(LAST_ORDERS);
            }
            if start.elapsed() > LAST_ORDERS * 2 {
                return; // the closing checks say what is left
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}
