//! Runs the master: it starts the workers, disturbs them, and watches that none is stuck.
//!
//! It has one thread and no handle of any lock: it acts on the locks' users only.

use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::thread::futex;

use crate::memory::LIVES;
use crate::pressure::Pressure;
use crate::role::Role;
use crate::session::Session;
use crate::system;
use crate::watch::Watch;
use crate::workers::Workers;

/// The time in which the workers must end.
const END_TIMEOUT: Duration = Duration::from_secs(60);

/// Counts of what the master has done.
#[derive(Debug, Default)]
pub(crate) struct Disturbances {
    pub(crate) stops: u64,
    pub(crate) stutters: u64,
    pub(crate) signals: u64,
    pub(crate) shuffles: u64,
    pub(crate) turns: u64,
}

/// A signal to be sent later to the process that is on this seat now.
struct Due {
    when: Instant,
    seat: usize,
    pid: u32,
    what: Later,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Later {
    Continue,
    Kill,
}

pub(crate) struct Master<'s> {
    pub(crate) session: &'s Session,
    pub(crate) rng: Rng,
    pub(crate) began: Instant,
    pub(crate) workers: Workers<'s>,
    pub(crate) done: Disturbances,
    pub(crate) pressure: Pressure,
    pub(crate) processors: Vec<usize>,
    due: Vec<Due>,
    watch: Watch<'s>,
}

impl<'s> Master<'s> {
    pub(crate) fn new(session: &'s Session, seed: u64) -> Self {
        Self {
            session,
            rng: Rng::with_seed(seed),
            began: Instant::now(),
            workers: Workers::new(session),
            done: Disturbances::default(),
            pressure: Pressure::begin(),
            processors: system::processors(),
            due: Vec::new(),
            watch: Watch::new(&session.memory),
        }
    }

    /// Disturbs the workers for so long, and until so many were killed, or until there is a fault,
    /// and ends the run.
    pub(crate) fn run(&mut self, time: Duration, kills: u64) {
        self.seat_token_exhaustion();
        let end = Instant::now() + time;
        let mut looked = Instant::now();
        while (Instant::now() < end || self.workers.killed < kills)
            && !self.has_failed()
            && !self.is_out_of_lives()
        {
            self.workers.reap(&self.pressure);
            self.fill_seats();
            self.do_what_is_due();
            self.disturb_once();
            if looked.elapsed() > Duration::from_secs(1) {
                looked = Instant::now();
                self.watch.look();
            }
            thread::sleep(Duration::from_micros(self.rng.u64(..5_000)));
        }
        self.finish();
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.session.memory.faults.load(Relaxed) != 0
    }

    fn is_out_of_lives(&self) -> bool {
        let left = (LIVES as u64).saturating_sub(self.session.memory.born.load(Relaxed));
        if left < 10_000 {
            println!("no room for more lives: the run ends early");
        }
        left < 10_000
    }

    /// Starts the worker that exhausts tokens: it has to be the first on its lock.
    fn seat_token_exhaustion(&mut self) {
        let token_exhaustion = Session::seats()
            .find(|&seat| Role::of(seat) == Role::TokenExhaustion)
            .expect("a seat for it");
        self.workers.start(token_exhaustion);
        while self.session.memory.seats[token_exhaustion].ready.load(Relaxed) == 0
            && self.workers.pid(token_exhaustion).is_some()
        {
            self.workers.reap(&self.pressure);
            thread::yield_now();
        }
    }

    fn fill_seats(&mut self) {
        for seat in Session::seats() {
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

    pub(crate) fn later(
        &mut self,
        millis: std::ops::Range<u64>,
        seat: usize,
        pid: u32,
        what: Later,
    ) {
        let when = Instant::now() + Duration::from_millis(self.rng.u64(millis));
        self.due.push(Due { when, seat, pid, what });
    }

    /// Lets every worker end, and waits for it; after a fault, kills them.
    fn finish(&mut self) {
        self.session.memory.stop.store(1, Relaxed);
        self.pressure.end();
        let start = Instant::now();
        let mut may_close = false;
        loop {
            for pid in Session::seats().filter_map(|seat| self.workers.pid(seat)) {
                system::signal_group(pid, libc::SIGCONT);
            }
            if self.has_failed() {
                self.watch.kill_all();
            }
            if !self.workers.reap(&self.pressure) {
                return;
            }
            if !may_close && self.workers.are_at_their_end() {
                self.session.memory.close.store(1, Relaxed);
                let _ =
                    futex::wake(&self.session.memory.close, futex::Flags::empty(), u32::MAX >> 1);
                may_close = true;
            }
            if start.elapsed() > END_TIMEOUT && !self.has_failed() {
                self.watch.accuse_the_last(END_TIMEOUT);
            }
            if start.elapsed() > END_TIMEOUT * 2 {
                return; // the closing checks report the rest
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}
