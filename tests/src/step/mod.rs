//! Kills, ends, interrupts or freezes a child at each instruction of a phase, and checks that the
//! others do not suffer.
//!
//! A first child goes through the phase one instruction at a time, and each is recorded. Then, for
//! each of them, another child runs to a breakpoint there (`tracee.rs`) and meets its [`Fate`].
//! Other processes use the lock afterwards (`scenario.rs`).
//!
//! No child takes exactly the path of the first: the time differs, a sleeper happens to wake. A
//! child that reaches the end of its phase before the chosen instruction meets its fate there, and
//! is counted.
//!
//! `SHMLOCK_SWEEP_EVERY=1` takes every instruction (`ci/sweep.sh`). Otherwise each run takes
//! different ones; the line with its figures says how to repeat the run.

mod death;
mod facts;
mod fate;
mod machine;
mod marks;
mod phase;
pub(crate) mod ptrace;
mod reenter;
mod report;
mod scenario;
mod survival;
mod tracee;
mod verdict;

use crate::account::Account;
use crate::capability::{Capability, can};
use crate::fixture::Fixture;
use crate::hostile::Folder;
pub use fate::Fate;
pub use phase::Phase;
use report::Report;
use scenario::Scenario;

/// Applies `fate` to a child at the instructions of `phase`. For tests that run
/// [`alone`](fn@crate::hostile::alone).
///
/// `actor` is the program of the other processes: `env!("CARGO_BIN_EXE_actor")`.
///
/// # Panics
/// If another process suffers by it.
pub fn sweep(actor: &str, fate: Fate, phase: Phase) {
    if !can(Capability::StopAtInstructions) {
        return;
    }
    let fixture = Fixture::new();
    let folder = Folder::new(&fixture);
    let account = Account::new();
    let mut scenario = Scenario::new(actor, fate, phase, &folder, &account);
    let trace = scenario.record();
    let mut report = Report::new(fate, phase, &trace);
    for point in report.chosen(&trace) {
        report.at(point, |figures| scenario.run(Some(point), figures));
    }
    if phase.sleeps() && fate == Fate::Killed {
        report.asleep(|figures| scenario.run(None, figures));
    }
    report.print();
}
