//! What if it happens right now? Something befalls a child at each instruction of a phase, and the
//! others must not suffer.
//!
//! A child goes through the phase one instruction at a time, and each is noted. Then, for each of
//! them, another child runs to a breakpoint there (`tracee.rs`), and meets its [`Fate`]; others see
//! to the lock afterwards (`scenario.rs`).
//!
//! No child goes exactly the way of the first: the time is another, a sleeper happens to wake. A
//! child that comes to the end of its phase without having been at the chosen instruction often
//! enough meets its fate there, and is counted.
//!
//! `SHMLOCK_SWEEP_EVERY=1` takes every instruction (`ci/sweep.sh`). Otherwise each run takes other
//! ones; the line in which it tells its figures says how to take the same again.

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
    let mut scenario = Scenario::new(actor, fate, phase, &folder, &account);
    let trace = scenario.record();
    let mut report = Report::new(fate, phase, &trace);
    for point in report.chosen(&trace) {
        report.at(point, |figures| scenario.run(Some(point), figures));
    }
    if phase.sleeps() && fate == Fate::Killed {
        report.asleep(|figures| scenario.run(None, figures));
    }
    report.tell();
}
