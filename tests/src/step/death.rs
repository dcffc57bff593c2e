//! Kills or ends the child, and checks that the others recover.

use std::time::Instant;

use super::facts::{DIED, Facts};
use super::fate::Fate;
use super::report::Figures;
use super::scenario::Scenario;
use super::tracee::Tracee;
use super::verdict::Passage;
use crate::actor::Actor;
use crate::proc;

/// The child has died.
impl Scenario<'_> {
    /// Ends the child. Then every other process executes a critical section; the first of them is
    /// told of the death if and only if an owner died; and everything is as before.
    pub(super) fn after_death(&mut self, tracee: Tracee, facts: &Facts, figures: &mut Figures) {
        let pid = tracee.pid().unsigned_abs();
        let slept_before = self.sleeps_of_sleepers();
        let asleep = |sleeper: &Actor| proc::sleeps_on_a_word(sleeper.pid());
        // Asked after the first count of sleeps and before the second one. A waiter that wakes in
        // between has one more sleep in the second count.
        let were_asleep = self.sleepers_sent && self.sleepers.iter().all(asleep);
        let begin = Instant::now();
        match self.fate {
            Fate::Killed => tracee.kill(),
            Fate::Exited => tracee.let_go(libc::SIGTERM).ends_well(),
            _ => tracee.let_go(libc::SIGTERM).ends_by(libc::SIGTERM),
        }
        self.crowd = None;
        // A waiter that was awake meanwhile may have probed too early, or probed the keeper, which
        // lives. Then it sleeps once more. So does a waiter that fell asleep before the last owner
        // acquired the lock: it takes its first wake for that of a release.
        let are_asleep = were_asleep && self.sleepers.iter().all(asleep);
        let slept = self.sleeps_of_sleepers();
        let slept_through = are_asleep
            && !self.keeper_holds
            && slept == slept_before
            && facts.acquisitions == self.acquisitions_before_sleep;
        let died = facts.word & DIED != 0 || self.names_child_or_dead(facts);
        assert!(
            died || facts.inside != u64::from(pid),
            "a critical section was cut short without a trace: {facts:?}"
        );
        // Its exit handler releases what the child itself held; then no owner is dead.
        let released = self.fate != Fate::Killed && !self.names_the_dead(facts);
        let dead = (self.names_child_or_dead(facts) && !released).then_some(facts.token());

        // While the keeper holds the lock, a waiter takes any number of naps until its process
        // watches. These do not count.
        let was_held = self.keeper_holds;
        self.keeper_releases();
        let slept = if was_held { self.sleeps_of_sleepers() } else { slept };
        self.send_sleepers();
        let passages: Vec<Passage> =
            self.sleepers.iter_mut().map(|sleeper| Passage::of(&sleeper.done())).collect();
        // A waiter may have finished before its count is read. It has then slept on its pipe, too.
        let sleeps = passages
            .iter()
            .zip(slept)
            .map(|(passage, before)| passage.slept_ever.saturating_sub(before));
        let sleeps = sleeps.min().unwrap_or(0);
        assert!(
            sleeps <= u64::from(!slept_through),
            "{sleeps} more sleeps after the one under way: {facts:?}"
        );
        self.keeper_enters();
        let last = self.keeper_passes();
        figures.waited(begin.elapsed(), self.interval());

        assert_eq!(last.slept, 0, "a process that comes after the death acquires without sleeping");
        passages
            .iter()
            .chain([&last])
            .for_each(|passage| self.check_told(&passage.told, dead, pid));
        // If all of them finished before it died, the keeper is the first after it.
        let late = facts.rounds < self.sleepers.len() as u64;
        let told = passages.iter().filter(|passage| passage.is_told_of_a_death()).count();
        assert_eq!(
            told,
            usize::from(died && late),
            "the first is told, and declares the data consistent: {facts:?}"
        );
        assert_eq!(
            last.is_told_of_a_death(),
            died && !late,
            "told {:?} after {facts:?}",
            last.told
        );
        let cut_short = u64::from(self.names_child_or_dead(facts));
        self.leave(facts.done..=facts.done + cut_short, died && !late);
    }

    fn sleeps_of_sleepers(&self) -> Vec<u64> {
        self.sleepers.iter().map(|sleeper| proc::voluntary_sleeps(sleeper.pid())).collect()
    }

    /// Checks the reported death: `dead` is the token that the word named, if it was recovered by
    /// the kernel's proof.
    fn check_told(&self, told: &str, dead: Option<u32>, child: u32) {
        let dead_name = told.split(' ').next().unwrap_or_default();
        match dead {
            None => assert!(["no", "somebody"].contains(&told), "told {told:?}, but no owner died"),
            // Its owner record may not have been written yet.
            Some(token) if dead_name == "token" => assert_eq!(told, format!("token {token}")),
            Some(_) => {
                let dead = [Some(child), self.dead.map(|(pid, _)| pid)];
                assert!(dead.contains(&dead_name.parse().ok()), "told {told:?}, but {dead:?} died");
            }
        }
    }
}
