//! Interrupts or freezes the child, and checks that no process takes it for dead.

#![allow(unsafe_code, reason = "kill(2) takes numbers")]

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

/// The child goes on afterwards.
impl Scenario<'_> {
    /// Sends the child the signal, and lets it run to its end.
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

    /// Stops the child for a while. Meanwhile no process takes it for dead, and none is kept from
    /// anything that the child does not hold.
    pub(super) fn freeze(&mut self, tracee: Tracee, facts: &Facts, figures: &mut Figures) {
        let child = tracee.let_go(libc::SIGSTOP);
        assert_eq!(
            wait_for(child.pid(), libc::WUNTRACED),
            Some(stop_by(libc::SIGSTOP)),
            "it is stopped"
        );
        self.keeper_releases();
        if self.phase == Phase::CloseBeside {
            self.all_leave();
            resume(&child);
            child.ends_well();
            assert!(
                self.folder.names().is_empty(),
                "two processes closed, and neither removed the file"
            );
            self.finished();
            return;
        }
        let barred = !self.phase.is_kept() && self.open_keeper_unless_barred();
        let held = self.names_child_or_dead(facts) && self.is_in_use(facts.token());
        let mut heard = false;
        if barred {
            figures.barred += 1;
        } else if held {
            let timeout = 3 * self.interval().as_millis();
            assert_eq!(
                self.keeper.refuse(format!("for l {timeout}")),
                "TimedOut",
                "a slow owner was robbed: {facts:?}"
            );
            assert_eq!(self.facts().token(), facts.token(), "a slow owner was robbed");
        } else {
            assert!(
                !self.names_child_or_dead(facts) || self.names_the_dead(facts),
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

    /// Opens the lock for the keeper, unless the child is about to remove the file and so keeps
    /// others out. Returns `true` if it does.
    fn open_keeper_unless_barred(&mut self) -> bool {
        let is_there = self.folder.file(LOCK).exists();
        let presence =
            is_there.then(|| self.intruder().lock_of_others(&(PRESENCE..=PRESENCE))).flatten();
        let barred = matches!(presence, Some((Mode::Write, _)));
        if barred {
            let command = self.open_command(self.interval());
            assert_eq!(
                self.keeper.refuse(command),
                "OpenTimedOut",
                "the file is about to be removed"
            );
        } else {
            self.keeper_enters();
        }
        barred
    }

    fn is_in_use(&self, token: u32) -> bool {
        self.intruder().lock_of_others(&(byte_of(token)..=byte_of(token))).is_some()
    }
}

fn resume(child: &Child) {
    // SAFETY: kill(2) with the number of a child that has not been waited for.
    let answer = unsafe { libc::kill(child.pid(), libc::SIGCONT) };
    assert_eq!(answer, 0, "it is there");
}
