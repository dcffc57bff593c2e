//! Runs one child among other processes, through all states of the lock that its phase needs.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::facts::Facts;
use super::fate::{Fate, LOCK};
use super::phase::Phase;
use super::report::Figures;
use super::tracee::{Point, Stopped, Tracee};
use crate::account::Account;
use crate::actor::Actor;
use crate::hostile::{Folder, Intruder, Mode, byte_of, fork};
use crate::proc;

/// The processes beside the child, and the state of the lock.
pub(super) struct Scenario<'a> {
    pub(super) fate: Fate,
    pub(super) phase: Phase,
    pub(super) folder: &'a Folder,
    pub(super) account: &'a Account,
    /// The process that uses the lock after the child, and in most phases has it open before.
    pub(super) keeper: Actor,
    /// The processes that sleep on the lock, in some phases.
    pub(super) sleepers: Vec<Actor>,
    keeper_is_open: bool,
    pub(super) keeper_holds: bool,
    /// `true` once the sleepers were told to lock.
    pub(super) sleepers_sent: bool,
    /// How often the lock had been acquired when the sleepers had fallen asleep.
    pub(super) acquisitions_before_sleep: u32,
    /// The bytes of the tokens of keeper and sleepers.
    pub(super) living: Vec<i64>,
    /// Process and token of the owner that was dead before the child.
    pub(super) dead: Option<(u32, u32)>,
    /// Locks the bytes of all tokens except the dead owner's.
    pub(super) crowd: Option<Intruder>,
}

/// The poll interval of sleepers that must be woken.
const NEVER: Duration = Duration::from_secs(3600);

impl<'a> Scenario<'a> {
    pub(super) fn new(
        actor: &str,
        fate: Fate,
        phase: Phase,
        folder: &'a Folder,
        account: &'a Account,
    ) -> Self {
        Self {
            fate,
            phase,
            folder,
            account,
            keeper: Actor::spawn(actor),
            sleepers: (0..phase.sleepers()).map(|_| Actor::spawn(actor)).collect(),
            keeper_is_open: false,
            keeper_holds: false,
            sleepers_sent: false,
            acquisitions_before_sleep: 0,
            living: Vec::new(),
            dead: None,
            crowd: None,
        }
    }

    /// Returns the poll interval of the others: short where each child costs several, endless where
    /// exit handlers have to wake them.
    pub(super) fn interval(&self) -> Duration {
        match self.fate {
            Fate::Frozen => Duration::from_millis(2),
            Fate::Ended | Fate::Exited => NEVER,
            Fate::Killed | Fate::Interrupted => Duration::from_millis(10),
        }
    }

    /// Records each point of the phase, by a child that runs undisturbed.
    pub(super) fn record(&mut self) -> Vec<Point> {
        let tracee = self.enter(NEVER);
        let trace = if self.phase.sleeps() {
            tracee.record(Some(&mut || self.child_sleeps()))
        } else {
            tracee.record(None)
        };
        tracee.let_go(0).ends_well();
        self.finished();
        trace
    }

    /// Lets a child meet its fate at this point, or asleep, and checks what it left.
    pub(super) fn run(&mut self, point: Option<Point>, figures: &mut Figures) {
        let before = self.descriptors();
        let tracee = self.enter(self.interval());
        let stopped = match point {
            None => {
                tracee.run_to_sleep();
                self.send_sleepers();
                self.sleepers_fall_asleep();
                Stopped::AtPoint
            }
            Some(point) if self.phase.sleeps() => {
                tracee.run_to(point, Some(&mut || self.child_sleeps()))
            }
            Some(point) => tracee.run_to(point, None),
        };
        figures.elsewhere += usize::from(stopped == Stopped::AtEnd);
        let facts = self.facts();
        figures.owners += usize::from(self.names_child_or_dead(&facts));
        assert!(!facts.is_free_with_waiters(), "a release takes WAITERS away");
        match self.fate {
            Fate::Killed | Fate::Ended | Fate::Exited => self.after_death(tracee, &facts, figures),
            Fate::Interrupted => self.interrupt(tracee, figures),
            Fate::Frozen => self.freeze(tracee, &facts, figures),
        }
        assert_eq!(self.descriptors(), before, "a process leaks descriptors");
    }

    /// Brings every process to its place, and the child to the begin of its phase.
    fn enter(&mut self, interval: Duration) -> Tracee {
        let words = &**self.account;
        for word in
            [&words.count, &words.inside, &words.collisions, &words.met, &words.done, &words.rounds]
        {
            word.store(0, Relaxed);
        }
        (self.keeper_holds, self.sleepers_sent, self.living) = (false, false, Vec::new());
        if self.phase.is_kept() {
            self.keeper_enters();
        }
        let command = self.open_command(interval);
        for sleeper in &mut self.sleepers {
            sleeper.ask(&command);
        }
        if self.phase.is_kept() || !self.sleepers.is_empty() {
            self.living = self.tokens();
        }
        self.dead = self.phase.begins_dead().then(|| self.a_death());
        if let (Phase::OpenStale, Some((_, token))) = (self.phase, self.dead) {
            let crowd = self.intruder();
            crowd.occupy_all_tokens_but(Some(token));
            self.crowd = Some(crowd);
        }
        if self.phase.begins_held() {
            self.keeper.ask("lock l");
            self.keeper_holds = true;
        }
        let (fate, phase, folder, account) = (self.fate, self.phase, self.folder, self.account);
        let tracee = Tracee::start(|| phase.play(fate, folder, account));
        tracee.begin();
        if phase.begins_with_waiters() {
            self.send_sleepers();
            self.sleepers_fall_asleep();
        }
        tracee
    }

    /// Kills an owner in its critical section; returns its process id and its token.
    fn a_death(&self) -> (u32, u32) {
        let owner = fork(|line| {
            let lock = self.folder.lock(LOCK).open().expect("a lock that can be opened");
            let _guard = lock.lock().expect("a free lock");
            self.account.inside.store(u64::from(std::process::id()), Relaxed);
            line.ready();
            line.wait();
        });
        owner.line().wait();
        let pid = owner.pid().unsigned_abs();
        owner.kill();
        (pid, self.facts().token())
    }

    /// Called when the child sleeps: another process falls asleep, and the keeper releases.
    pub(super) fn child_sleeps(&mut self) {
        if self.keeper_holds {
            self.send_sleepers();
            self.sleepers_fall_asleep();
            self.keeper_releases();
        }
    }

    /// Opens the lock for the keeper, unless it is open.
    pub(super) fn keeper_enters(&mut self) {
        if !self.keeper_is_open {
            let command = self.open_command(self.interval());
            self.keeper.ask(command);
            self.keeper_is_open = true;
        }
    }

    /// Closes the lock in every other process.
    pub(super) fn all_leave(&mut self) {
        for actor in std::iter::once(&mut self.keeper).chain(&mut self.sleepers) {
            actor.ask("close l");
        }
        self.keeper_is_open = false;
    }

    pub(super) fn keeper_releases(&mut self) {
        if self.keeper_holds {
            self.keeper.ask("release l");
            self.keeper_holds = false;
        }
    }

    pub(super) fn send_sleepers(&mut self) {
        if !self.sleepers_sent {
            self.sleepers_sent = true;
            let command = format!("pass l {} consistent", self.account.path());
            for sleeper in &mut self.sleepers {
                sleeper.tell(&command);
            }
        }
    }

    fn sleepers_fall_asleep(&mut self) {
        for sleeper in &self.sleepers {
            proc::falls_asleep_on_a_word(sleeper.pid());
        }
        self.acquisitions_before_sleep = self.facts().acquisitions;
    }

    pub(super) fn open_command(&self, interval: Duration) -> String {
        format!(
            "open l {LOCK} dir={} poll={} patience=20",
            self.folder.path().display(),
            interval.as_millis()
        )
    }

    pub(super) fn intruder(&self) -> Intruder {
        Intruder::on(&self.folder.file(LOCK))
    }

    /// Returns the bytes of all tokens in use.
    pub(super) fn tokens(&self) -> Vec<i64> {
        let locks = self.intruder().locks_of_handles();
        locks
            .into_iter()
            .filter(|(mode, _)| *mode == Mode::Write)
            .map(|(_, bytes)| *bytes.start())
            .collect()
    }

    pub(super) fn facts(&self) -> Facts {
        let file = self.folder.file(LOCK).exists().then(|| self.intruder());
        let word_at = |offset| file.as_ref().map_or(0, |file| file.word_at(offset));
        Facts {
            word: word_at(0),
            acquisitions: word_at(4),
            inside: self.account.inside.load(Relaxed),
            done: self.account.done.load(Relaxed),
            rounds: self.account.rounds.load(Relaxed),
        }
    }

    /// Returns `true` if the word names the child, or the owner that was dead before it.
    pub(super) fn names_child_or_dead(&self, facts: &Facts) -> bool {
        facts.token() != 0 && !self.living.contains(&byte_of(facts.token()))
    }

    pub(super) fn names_the_dead(&self, facts: &Facts) -> bool {
        self.dead.is_some_and(|(_, token)| token == facts.token())
    }

    /// Returns how many descriptors each of the other processes and this one has.
    fn descriptors(&self) -> Vec<usize> {
        let others = std::iter::once(&self.keeper).chain(&self.sleepers).map(Actor::pid);
        others.chain([std::process::id()]).map(proc::descriptors).collect()
    }
}
