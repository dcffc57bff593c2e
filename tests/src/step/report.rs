//! Chooses the instructions of a sweep, and reports its figures.

use std::io::{Write, stderr};
use std::time::{Duration, Instant};
use std::{env, process, thread};

use super::fate::Fate;
use super::phase::Phase;
use super::tracee::Point;
use crate::proc;

/// The number of instructions that a phase takes unless `SHMLOCK_SWEEP_EVERY` says otherwise. All
/// sweeps together then take about a minute in a debug build on two busy cores.
const SAMPLE: usize = 200;

/// The counts of a sweep.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// Children that met their fate at the end of the phase instead.
    pub(super) elsewhere: usize,
    /// Children that met their fate while the word named them, or the owner that was dead before
    /// them.
    pub(super) owners: usize,
    /// Times that a frozen child kept other processes from opening.
    pub(super) barred: usize,
    /// Times that the handler acquired the lock outside the critical section that it interrupted.
    pub(super) reentered: u64,
    /// Poll intervals until every process had acquired a dead child's lock: within one, two, more.
    waits: [usize; 3],
    longest: f64,
}

impl Figures {
    /// Notes how long it took until every process had acquired a dead child's lock. Not judged: the
    /// machine may be busy.
    pub(super) fn waited(&mut self, time: Duration, interval: Duration) {
        let intervals = time.as_secs_f64() / interval.as_secs_f64();
        self.longest = self.longest.max(intervals);
        self.waits[if intervals <= 1.0 {
            0
        } else if intervals <= 2.0 {
            1
        } else {
            2
        }] += 1;
    }
}

/// The course of one sweep.
pub(super) struct Report {
    fate: Fate,
    phase: Phase,
    instructions: usize,
    every: usize,
    offset: usize,
    seed: usize,
    swept: usize,
    out_of_reach: usize,
    figures: Figures,
    begin: Instant,
}

impl Report {
    pub(super) fn new(fate: Fate, phase: Phase, trace: &[Point]) -> Self {
        let number =
            |name| env::var(name).ok().map(|text| text.parse::<usize>().expect("a number"));
        let every = number("SHMLOCK_SWEEP_EVERY").unwrap_or(trace.len().div_ceil(SAMPLE)).max(1);
        let seed = number("SHMLOCK_SWEEP_OFFSET").unwrap_or(process::id() as usize);
        Self {
            fate,
            phase,
            instructions: trace.len(),
            every,
            offset: seed % every,
            seed,
            swept: 0,
            out_of_reach: 0,
            figures: Figures::default(),
            begin: Instant::now(),
        }
    }

    /// Returns the points to take. In the vDSO no breakpoint can be set, and no shared memory is
    /// used.
    pub(super) fn chosen(&mut self, trace: &[Point]) -> Vec<Point> {
        let vdso = proc::vdso();
        let all = trace.iter().skip(self.offset).step_by(self.every).copied();
        let (chosen, out): (Vec<_>, Vec<_>) = all.partition(|point| !vdso.contains(&point.pc));
        self.out_of_reach = out.len();
        chosen
    }

    /// Runs one point. If that panics, reports the point.
    pub(super) fn at(&mut self, point: Point, run: impl FnOnce(&mut Figures)) {
        let place = || format!("instruction {} at {}", point.index, proc::place_of(point.pc));
        self.run_reporting(place, run);
    }

    /// Runs the moment at which the child sleeps in the kernel.
    pub(super) fn asleep(&mut self, run: impl FnOnce(&mut Figures)) {
        self.run_reporting(|| "asleep".to_owned(), run);
    }

    fn run_reporting(&mut self, place: impl Fn() -> String, run: impl FnOnce(&mut Figures)) {
        /// Reports the point when `run` panics.
        struct Witness<F: Fn() -> String>(F);
        impl<F: Fn() -> String> Drop for Witness<F> {
            fn drop(&mut self) {
                if thread::panicking() {
                    let _ = writeln!(stderr(), "FAILED: {}", (self.0)());
                }
            }
        }
        let (fate, phase) = (self.fate, self.phase);
        let _witness = Witness(|| format!("{fate} while {phase}: {}", place()));
        run(&mut self.figures);
        self.swept += 1;
    }

    /// Prints the figures.
    pub(super) fn print(&self) {
        let Figures { elsewhere, owners, barred, reentered, waits: [one, two, more], longest } =
            self.figures;
        let special = match self.fate {
            Fate::Killed | Fate::Ended | Fate::Exited => {
                format!("waited 1/2/more intervals {one}/{two}/{more}, at most {longest:.2}")
            }
            Fate::Interrupted => {
                format!("{reentered} times the handler was in the critical section")
            }
            Fate::Frozen => format!("{barred} kept others from opening"),
        };
        // Not by `eprintln`: the test framework shows that of failed tests only.
        let _ = writeln!(
            stderr(),
            "swept: {} while {}: {} of {} instructions (every {}, SHMLOCK_SWEEP_OFFSET={}), \
             {} out of reach, {elsewhere} elsewhere, {owners} with an owner, \
             {special}, {:.1} s",
            self.fate,
            self.phase,
            self.swept,
            self.instructions,
            self.every,
            self.seed,
            self.out_of_reach,
            self.begin.elapsed().as_secs_f64(),
        );
        assert!(self.swept > 0, "nothing was swept");
    }
}
