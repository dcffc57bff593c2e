//! The child goes on.

#![allow(unsafe_code, reason = "kill(2) is told numbers")]

use std::sync::atomic::Ordering::Relaxed;

use super::facts::{DIED, Facts};
use super::fate::LOCK;
use super::phase::Phase;
use super::ptrace::{stop_by, wait_for};
use super::report::Figures;
use super::scenario::Scenario;
use super::tracee::Tracee;
use crate::hostile::{Child, Mode, PRESENCE, byte_of};
use crate::proc;

/// The child goes on.
impl Scenario<'_> {
    /// Sends the child the signal, and lets it come to its end.
    pub(super) fn interrupt(&mut self, tracee: Tracee, figures: &mut Figures) {
        let child = tracee.let_go(libc::SIGUSR1);
        while self.keeper_holds {
            if proc::sleeps_on_a_word(child.pid().unsigned_abs()) {
                self.child_sleeps();
            }
        }
        child.ends_well();
        assert_eq!(self.account.met.load(Relaxed), 1, "the handler ran");
        self.finished();
        figures.reentered += self.account.rounds.load(Relaxed) - self.sleepers.len() as u64 - 1;
    }

    /// Stops the child for a while, in which nobody takes it for dead, and nobody is kept from what
    /// it does not hold.
    pub(super) fn freeze(&mut self, tracee: Tracee, facts: &Facts, figures: &mut Figures) {
        let child = tracee.let_go(libc::SIGSTOP);
        assert_eq!(
            wait_for(child.pid(), libc::WUNTRACED),
            Some(stop_by(libc::SIGSTOP)),
            "it is stopped"
        );
        self.keeper_gives_back();
        if self.phase == Phase::CloseBeside {
            self.all_leave();
            resume(&child);
            child.ends_well();
            assert!(self.folder.names().is_empty(), "two closed, and neither took the file away");
            self.finished();
            return;
        }
        let barred = !self.phase.is_kept() && self.keeper_is_barred();
        let held = self.names_somebody_else(facts) && self.has_somebody(facts.token());
        let mut heard = false;
        if barred {
            figures.barred += 1;
        } else if held {
            let patience = 3 * self.interval().as_millis();
            assert_eq!(
                self.keeper.refuse(format!("for l {patience}")),
                "TimedOut",
                "a slow owner was robbed: {facts:?}"
            );
            assert_eq!(self.facts().token(), facts.token(), "a slow owner was robbed");
        } else {
            assert!(
                !self.names_somebody_else(facts) || self.names_the_dead(facts),
                "an owner without a token: {facts:?}"
            );
            if self.sleepers_sent {
                heard = true;
                self.sleepers_pass();
            }
            let died = facts.word & DIED != 0 || self.names_the_dead(facts);
            assert_eq!(self.keeper_passes().is_told_of_a_death(), died, "after {facts:?}");
        }
        resume(&child);
        child.ends_well();
        self.crowd = None;
        self.finished_after(heard);
    }

    /// Opens the lock for the keeper, if the child, about to remove the file, does not stand in the
    /// way.
    fn keeper_is_barred(&mut self) -> bool {
        let is_there = self.folder.file(LOCK).exists();
        let presence =
            is_there.then(|| self.intruder().lock_of_others(&(PRESENCE..=PRESENCE))).flatten();
        let barred = matches!(presence, Some((Mode::Write, _)));
        if barred {
            let order = self.open_order(self.interval());
            assert_eq!(
                self.keeper.refuse(order),
                "OpenTimedOut",
                "the file is about to be removed"
            );
        } else {
            self.keeper_enters();
        }
        barred
    }

    fn has_somebody(&self, token: u32) -> bool {
        self.intruder().lock_of_others(&(byte_of(token)..=byte_of(token))).is_some()
    }
}

fn resume(child: &Child) {
    // SAFETY: kill(2) with the number of a child that has not been waited for.
    let answer = unsafe { libc::kill(child.pid(), libc::SIGCONT) };
    assert_eq!(answer, 0, "it is there");
}
