//! Kills, stops, signals and starves the workers.

use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use crate::master::{Later, Master};
use crate::memory::Doing;
use crate::pressure;
use crate::role::Role;
use crate::session::Session;
use crate::system;

/// The waiters that need the wake of a release are stopped only in the first seconds of each
/// period. The rest of it is longer than the time after which a waiter counts as stuck.
const STOP_SECONDS: u64 = 5;
const STOP_PERIOD: u64 = 30;

/// The time to search for a worker that is doing what the master wants to disturb.
const SEARCH_TIME: Duration = Duration::from_micros(500);

impl Master<'_> {
    pub(crate) fn disturb_once(&mut self) {
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

    /// Chooses a process on a mortal seat, mostly one that is doing a certain thing right now.
    fn victim(&mut self) -> Option<(usize, u32)> {
        let mortals: Vec<_> =
            Session::seats().filter(|&seat| Role::of(seat) == Role::Mortal).collect();
        let wanted = self.rng.choice([
            Some(Doing::Inside),
            Some(Doing::Acquiring),
            Some(Doing::Releasing),
            Some(Doing::Opening),
            Some(Doing::Closing),
            None,
        ])?;
        let start = Instant::now();
        while let (Some(wanted), true) = (wanted, start.elapsed() < SEARCH_TIME) {
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
        let memory = &self.session.memory;
        memory.known(memory.seats[seat].life.load(Relaxed)).is_some_and(|life| life.is_doing(doing))
    }

    /// Chooses any process.
    fn any_worker(&mut self) -> Option<(usize, u32)> {
        let seat = self.rng.choice(Session::seats())?;
        Some((seat, self.workers.pid(seat)?))
    }

    fn kill(&mut self) {
        let Some((seat, _)) = self.victim() else { return };
        let group = self.rng.u32(..10) == 0;
        self.workers.kill(seat, group);
    }

    /// Sends a signal that the victim may handle. A victim that blocks it is killed a little later.
    fn terminate(&mut self) {
        let Some((seat, pid)) = self.victim() else { return };
        self.session.memory.seats[seat].condemned.store(pid, Relaxed);
        system::signal(pid, libc::SIGTERM);
        self.later(50..300, seat, pid, Later::Kill);
    }

    fn stop(&mut self) {
        let target = if self.rng.u32(..4) == 0 { self.any_worker() } else { self.victim() };
        let Some((seat, pid)) = target.filter(|&(seat, _)| self.may_be_stopped(seat)) else {
            return;
        };
        self.stop_seat(seat, pid);
        self.done.stops += 1;
        let most = if self.rng.u32(..10) == 0 { 500 } else { 40 };
        self.later(0..most, seat, pid, Later::Continue);
    }

    fn may_be_stopped(&self, seat: usize) -> bool {
        Role::of(seat) != Role::Wakeful
            || self.began.elapsed().as_secs() % STOP_PERIOD < STOP_SECONDS
    }

    fn stop_seat(&self, seat: usize, pid: u32) {
        self.session.memory.seats[seat].stops.fetch_add(1, Relaxed);
        system::signal_group(pid, libc::SIGSTOP);
    }

    /// Sends a signal with a harmless handler; not to waiters that nothing but a release may wake.
    fn disturb(&mut self) {
        let Some((seat, pid)) = self.any_worker() else { return };
        if Role::of(seat) == Role::Mortal {
            let signal = self.rng.choice(system::HARMLESS).unwrap_or(libc::SIGUSR1);
            if self.is_up(seat, pid) {
                system::signal(pid, signal);
                self.done.signals += 1;
            }
        }
    }

    /// Returns `true` if the process has installed its handlers.
    fn is_up(&self, seat: usize, pid: u32) -> bool {
        let memory = &self.session.memory;
        memory
            .known(memory.seats[seat].life.load(Relaxed))
            .is_some_and(|life| life.pid.load(Relaxed) == pid)
    }

    fn shuffle(&mut self) {
        if let Some((_, pid)) = self.any_worker() {
            pressure::shuffle(&mut self.rng, pid, &self.processors);
            self.done.shuffles += 1;
        }
    }

    /// Stops all processes for a while.
    fn stutter(&mut self) {
        let all = Session::seats().filter(|&seat| self.may_be_stopped(seat));
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
}
