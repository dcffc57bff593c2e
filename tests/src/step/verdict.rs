//! What must be true of those who live on.

#![allow(unsafe_code, reason = "kill(2) is told numbers")]

use std::ops::RangeInclusive;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::report::Figures;
use super::stage::Stage;
use super::tracee::{Tracee, stop_by, wait_for};
use super::{Fate, LOCK, Phase};
use crate::hostile::{Child, Mode, PRESENCE, byte_of};
use crate::{Actor, proc};

/// See `PROTOCOL.md`, section 3.
const WAITERS: u32 = 1 << 31;
const DIED: u32 = 1 << 30;
const TOKEN: u32 = DIED - 1;

/// What stood there when the child stopped, or later.
#[derive(Debug)]
pub(super) struct Facts {
    word: u32,
    inside: u64,
    /// Sections that the child has finished.
    done: u64,
    /// Sections of the others.
    rounds: u64,
}

/// What one of the others tells after its section.
struct Passage {
    /// How often it slept to get the lock, and in all its life.
    slept: u64,
    slept_ever: u64,
    /// What it was told of a death.
    told: String,
}

impl Passage {
    fn of(answer: &str) -> Self {
        let mut words = answer.splitn(3, ' ');
        let mut number = || words.next().and_then(|word| word.parse().ok()).expect("a number");
        let (slept, slept_ever) = (number(), number());
        Self { slept, slept_ever, told: words.next().expect("no, or who").to_owned() }
    }

    fn is_told_of_a_death(&self) -> bool {
        self.told != "no"
    }
}

impl Facts {
    pub(super) fn seen(stage: &Stage<'_>) -> Self {
        let is_there = stage.folder.file(LOCK).exists();
        Self {
            word: if is_there { stage.intruder().owner_word() } else { 0 },
            inside: stage.account.inside.load(Relaxed),
            done: stage.account.done.load(Relaxed),
            rounds: stage.account.rounds.load(Relaxed),
        }
    }

    pub(super) fn token(&self) -> u32 {
        self.word & TOKEN
    }

    /// Whether the word names the child, or who was dead before it.
    pub(super) fn names_somebody_else(&self, stage: &Stage<'_>) -> bool {
        self.token() != 0 && !stage.living.contains(&byte_of(self.token()))
    }

    /// Whether the lock is free and its next owner owes a wake: somebody is passing it on.
    pub(super) fn is_passed_on(&self) -> bool {
        self.token() == 0 && self.word & WAITERS != 0
    }

    fn names_the_dead(&self, stage: &Stage<'_>) -> bool {
        stage.dead.is_some_and(|(_, token)| token == self.token())
    }
}

/// The child is no more.
impl Stage<'_> {
    /// Ends the child; then everybody passes, the first is told of the death if and only if there
    /// is one to tell of, and all is as it was.
    pub(super) fn mourn(&mut self, tracee: Tracee, facts: &Facts, figures: &mut Figures) {
        let pid = tracee.pid().unsigned_abs();
        let slept_before = self.naps_of_sleepers();
        let begin = Instant::now();
        match self.fate {
            Fate::Killed => tracee.kill(),
            Fate::Exited => tracee.let_go(libc::SIGTERM).ends_well(),
            _ => tracee.let_go(libc::SIGTERM).ends_by(libc::SIGTERM),
        }
        self.crowd = None;
        // One that was awake meanwhile may have asked about the child too early, or about the
        // keeper, who lives; it then sleeps once more.
        let asleep = |sleeper: &Actor| proc::sleeps_on_a_word(sleeper.pid());
        let slept = self.naps_of_sleepers();
        let undisturbed = self.sleepers_sent && !self.keeper_holds && slept == slept_before;
        let slept_through = undisturbed && self.sleepers.iter().all(asleep);
        let died = facts.word & DIED != 0 || facts.names_somebody_else(self);
        assert!(
            died || facts.inside != u64::from(pid),
            "a section was cut short without a trace: {facts:?}"
        );
        // Its exit handler gives back what the child itself held; then nobody is dead any more.
        let released = self.fate != Fate::Killed && !facts.names_the_dead(self);
        let dead = (facts.names_somebody_else(self) && !released).then_some(facts.token());

        self.keeper_gives_back();
        self.send_sleepers();
        let passages: Vec<Passage> =
            self.sleepers.iter_mut().map(|sleeper| Passage::of(&sleeper.done())).collect();
        // It may have passed, and gone to sleep on its pipe, before we looked.
        let naps = passages
            .iter()
            .zip(slept)
            .map(|(passage, before)| passage.slept_ever.saturating_sub(before));
        let naps = naps.min().unwrap_or(0);
        assert!(
            naps <= u64::from(!slept_through),
            "{naps} more sleeps after the one under way: {facts:?}"
        );
        self.keeper_enters();
        let last = self.keeper_passes();
        figures.waited(begin.elapsed(), self.interval());

        assert_eq!(last.slept, 0, "who comes after the death has it without sleeping");
        passages.iter().chain([&last]).for_each(|passage| self.is_true(&passage.told, dead, pid));
        // If they all were through before it died, the keeper is the first after it.
        let late = facts.rounds < self.sleepers.len() as u64;
        let told = passages.iter().filter(|passage| passage.is_told_of_a_death()).count();
        assert_eq!(told, usize::from(died && late), "the first is told, and settles it: {facts:?}");
        assert_eq!(
            last.is_told_of_a_death(),
            died && !late,
            "told {:?} after {facts:?}",
            last.told
        );
        let cut_short = u64::from(facts.names_somebody_else(self));
        self.leave(facts.done..=facts.done + cut_short, died && !late);
    }

    fn naps_of_sleepers(&self) -> Vec<u64> {
        self.sleepers.iter().map(|sleeper| proc::naps(sleeper.pid())).collect()
    }

    /// Whether what was told of a death is what happened: `dead` is the token that the word named,
    /// if it was taken from the dead by the kernel's proof.
    fn is_true(&self, told: &str, dead: Option<u32>, child: u32) {
        let who = told.split(' ').next().unwrap_or_default();
        match dead {
            None => assert!(
                ["no", "somebody"].contains(&told),
                "told {told:?}, but nobody was replaced"
            ),
            // Its record may not have been written yet.
            Some(token) if who == "token" => assert_eq!(told, format!("token {token}")),
            Some(_) => {
                let dead = [Some(child), self.dead.map(|(pid, _)| pid)];
                assert!(dead.contains(&who.parse().ok()), "told {told:?}, but {dead:?} died");
            }
        }
    }
}

/// The child goes on.
impl Stage<'_> {
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
        let held = facts.names_somebody_else(self) && self.has_somebody(facts.token());
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
            assert_eq!(Facts::seen(self).token(), facts.token(), "a slow owner was robbed");
        } else {
            assert!(
                !facts.names_somebody_else(self) || facts.names_the_dead(self),
                "an owner without a token: {facts:?}"
            );
            if self.sleepers_sent {
                heard = true;
                self.sleepers_pass();
            }
            let died = facts.word & DIED != 0 || facts.names_the_dead(self);
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

    /// The child has come to its end.
    pub(super) fn finished(&mut self) {
        self.finished_after(false);
    }

    /// The child has come to its end, and the sleepers' answers have been heard or not.
    fn finished_after(&mut self, heard: bool) {
        self.crowd = None;
        self.keeper_gives_back();
        self.send_sleepers();
        if !heard {
            self.sleepers_pass();
        }
        self.keeper_enters();
        let (sections, marked) = (self.phase.sections(), self.phase.ends_marked());
        assert_eq!(self.keeper_passes().is_told_of_a_death(), marked, "it has come to a good end");
        self.leave(sections..=sections, marked);
    }

    fn sleepers_pass(&mut self) {
        for sleeper in &mut self.sleepers {
            assert!(!Passage::of(&sleeper.done()).is_told_of_a_death(), "nobody died");
        }
    }

    fn keeper_passes(&mut self) -> Passage {
        let order = format!("pass l {}", self.account.path());
        Passage::of(&self.keeper.ask(order))
    }

    /// Everybody closes. Nothing stays, but for the mark of a death that nobody has settled; that
    /// then goes, too.
    fn leave(&mut self, sections: RangeInclusive<u64>, marked: bool) {
        let own = self.account.balance() - self.account.rounds.load(Relaxed);
        assert!(
            sections.contains(&own),
            "the child has been in {sections:?} sections, and {own} are in the account"
        );
        let health = self.keeper.ask("check l");
        let sound = format!("Free waiters=false owner_died={marked}");
        assert!(health.starts_with(&sound) && health.contains("orphaned=false"), "{health}");
        let locks = self.intruder().locks_of_others();
        let presence = (Mode::Read, PRESENCE..=PRESENCE);
        assert!(locks.contains(&presence), "we are present: {locks:?}");
        assert_eq!(
            locks.len(),
            2 + self.sleepers.len(),
            "presence, and a token for each of us: {locks:?}"
        );
        self.all_leave();
        if marked {
            assert_eq!(self.folder.names(), [format!("{LOCK}.shmlock")], "the mark keeps its file");
            assert_eq!(self.intruder().owner_word(), DIED);
            let (open, path) = (self.open_order(self.interval()), self.account.path());
            self.keeper.ask(open);
            let told = Passage::of(&self.keeper.ask(format!("pass l {path} consistent"))).told;
            assert_eq!(told, "somebody", "the mark is true");
            self.keeper.ask("close l");
        }
        assert!(self.folder.names().is_empty(), "left behind: {:?}", self.folder.names());
    }
}

fn resume(child: &Child) {
    // SAFETY: kill(2) with the number of a child that has not been waited for.
    let answer = unsafe { libc::kill(child.pid(), libc::SIGCONT) };
    assert_eq!(answer, 0, "it is there");
}
