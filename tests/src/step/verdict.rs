//! Checks what must be true of the other processes and of the file once the child has ended.

use std::ops::RangeInclusive;
use std::sync::atomic::Ordering::Relaxed;

use super::facts::DIED;
use super::fate::LOCK;
use super::scenario::Scenario;
use crate::hostile::{Mode, PRESENCE};

/// The report of another process after its critical section.
pub(super) struct Passage {
    /// The number of its sleeps to acquire the lock, and in all its life.
    pub(super) slept: u64,
    pub(super) slept_ever: u64,
    /// The reported death, as `recovered` prints it.
    pub(super) told: String,
}

impl Passage {
    pub(super) fn of(answer: &str) -> Self {
        let mut words = answer.splitn(3, ' ');
        let mut number = || words.next().and_then(|word| word.parse().ok()).expect("a number");
        let (slept, slept_ever) = (number(), number());
        Self { slept, slept_ever, told: words.next().expect("no, or the dead").to_owned() }
    }

    pub(super) fn is_told_of_a_death(&self) -> bool {
        self.told != "no"
    }
}

impl Scenario<'_> {
    /// Checks everything once the child has ended.
    pub(super) fn finished(&mut self) {
        self.finished_after(false);
    }

    /// Checks everything once the child has ended; `heard` says that the sleepers' answers were
    /// read.
    pub(super) fn finished_after(&mut self, heard: bool) {
        self.crowd = None;
        self.keeper_releases();
        self.send_sleepers();
        if !heard {
            self.sleepers_pass();
        }
        self.keeper_enters();
        let (sections, owner_died) = (self.phase.sections(), self.phase.ends_with_died());
        assert_eq!(self.keeper_passes().is_told_of_a_death(), owner_died, "the child ended well");
        self.leave(sections..=sections, owner_died);
    }

    pub(super) fn sleepers_pass(&mut self) {
        for sleeper in &mut self.sleepers {
            assert!(!Passage::of(&sleeper.done()).is_told_of_a_death(), "no process died");
        }
    }

    pub(super) fn keeper_passes(&mut self) -> Passage {
        let command = format!("pass l {}", self.account.path());
        Passage::of(&self.keeper.ask(command))
    }

    /// Closes every handle. Nothing stays except a DIED flag that no owner has cleared; that then
    /// goes, too.
    pub(super) fn leave(&mut self, sections: RangeInclusive<u64>, owner_died: bool) {
        let own = self.account.balance() - self.account.rounds.load(Relaxed);
        assert!(
            sections.contains(&own),
            "the child executed {sections:?} critical sections, and {own} are in the account"
        );
        let status = self.keeper.ask("check l");
        let sound = format!("Unlocked waiters=false owner_died={owner_died}");
        assert!(status.starts_with(&sound) && status.contains("orphaned=false"), "{status}");
        let locks = self.intruder().locks_of_handles();
        let presence = (Mode::Read, PRESENCE..=PRESENCE);
        assert!(locks.contains(&presence), "the others are present: {locks:?}");
        assert_eq!(
            locks.len(),
            2 + self.sleepers.len(),
            "presence, and a token of each process: {locks:?}"
        );
        self.all_leave();
        if owner_died {
            assert_eq!(self.folder.names(), [format!("{LOCK}.shmlock")], "DIED keeps its file");
            assert_eq!(self.intruder().owner_word(), DIED);
            let (open, path) = (self.open_command(self.interval()), self.account.path());
            self.keeper.ask(open);
            let told = Passage::of(&self.keeper.ask(format!("pass l {path} consistent"))).told;
            assert_eq!(told, "somebody", "DIED is true");
            self.keeper.ask("close l");
        }
        assert!(self.folder.names().is_empty(), "left behind: {:?}", self.folder.names());
    }
}
