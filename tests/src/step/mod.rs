//! What if it happens right now? Something befalls a child at each instruction of a phase, and the
//! others must not suffer.
//!
//! A child goes through the phase one instruction at a time, and each is noted. Then, for each of
//! them, another child runs to a breakpoint there (`tracee.rs`), and meets its [`Fate`]; others see
//! to the lock afterwards (`stage.rs`).
//!
//! No child goes exactly the way of the first: the time is another, a sleeper happens to wake. A
//! child that comes to the end of its phase without having been at the chosen instruction often
//! enough meets its fate there, and is counted.
//!
//! `SHMLOCK_SWEEP_EVERY=1` takes every instruction (`ci/sweep.sh`). Otherwise each run takes other
//! ones; the line in which it tells its figures says how to take the same again.

mod machine;
mod marks;
mod phase;
mod reenter;
mod report;
mod stage;
mod tracee;
mod verdict;

use std::fmt;

use shmlock::ExitHandlers;

use crate::hostile::Folder;
use crate::{Account, Capability, Fixture, can, proc};
pub use phase::Phase;
use report::Report;
use stage::Stage;

/// The name of the lock; the directory is each test's own.
const LOCK: &str = "l";

/// What befalls the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// SIGKILL.
    Killed,
    /// SIGTERM, with exit handlers installed.
    Ended,
    /// SIGTERM, whose handler calls exit(3), with exit handlers installed.
    Exited,
    /// SIGUSR1, whose handler tries to take the lock by the same handle. Then it goes on.
    Interrupted,
    /// SIGSTOP. After a while it goes on.
    Frozen,
}

impl Fate {
    /// What the child does so that it can meet it.
    fn expect(self) {
        match self {
            Self::Ended => ExitHandlers::all().install().expect("handlers can be installed"),
            Self::Exited => {
                reenter::install_exit();
                ExitHandlers::all().install().expect("handlers can be installed");
            }
            Self::Interrupted => reenter::install(),
            Self::Killed | Self::Frozen => {}
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Killed => "killed",
            Self::Ended => "ended by SIGTERM",
            Self::Exited => "made to exit by SIGTERM",
            Self::Interrupted => "interrupted",
            Self::Frozen => "frozen",
        })
    }
}

/// Lets `fate` befall a child at the instructions of `phase`. For tests that run
/// [`alone`](fn@crate::hostile::alone).
///
/// `actor` is the program of the others: `env!("CARGO_BIN_EXE_actor")`.
///
/// # Panics
/// If anybody suffers by it.
pub fn sweep(actor: &str, fate: Fate, phase: Phase) {
    if !can(Capability::StopAtInstructions) {
        return;
    }
    let fixture = Fixture::new();
    let folder = Folder::new(&fixture);
    let account = Account::new();
    let mut stage = Stage::new(actor, fate, phase, &folder, &account);
    let trace = stage.record();
    let mut report = Report::new(fate, phase, &trace);
    for point in report.chosen(&trace) {
        report.at(point, |figures| stage.run(Some(point), figures));
    }
    if phase.sleeps() && fate == Fate::Killed {
        report.asleep(|figures| stage.run(None, figures));
    }
    report.tell();
}

/// Whether there can be a sweep at all. Forks.
pub(crate) fn is_possible() -> bool {
    machine::IS_KNOWN && proc::shows_calls() && tracee::is_permitted()
}
