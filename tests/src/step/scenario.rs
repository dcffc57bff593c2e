//! The others, and the course of one child's life among them.

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

/// Those who are alive beside the child, and what they know of the present one.
pub(super) struct Scenario<'a> {
    pub(super) fate: Fate,
    pub(super) phase: Phase,
    pub(super) folder: &'a Folder,
    pub(super) account: &'a Account,
    /// Whoever comes after the child, and in most phases is there before.
    pub(super) keeper: Actor,
    /// Those who sleep on the lock, in some phases.
    pub(super) sleepers: Vec<Actor>,
    keeper_is_in: bool,
    pub(super) keeper_holds: bool,
    /// Whether the sleepers have been sent to the lock.
    pub(super) sleepers_sent: bool,
    /// The bytes of the tokens of keeper and sleepers.
    pub(super) living: Vec<i64>,
    /// Process and token of who was dead before.
    pub(super) dead: Option<(u32, u32)>,
    /// Where the child has waited awake for long enough, once that is known.
    awake: Option<Point>,
    /// Has all tokens but the dead one's.
    pub(super) crowd: Option<Intruder>,
}

/// The poll interval of sleepers that are to wait for a wake.
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
            keeper_is_in: false,
            keeper_holds: false,
            sleepers_sent: false,
            living: Vec::new(),
            dead: None,
            awake: None,
            crowd: None,
        }
    }

    /// The poll interval of the others. Short where each child costs several; endless where
    /// handlers have to wake them.
    pub(super) fn interval(&self) -> Duration {
        match self.fate {
            Fate::Frozen => Duration::from_millis(2),
            Fate::Ended | Fate::Exited => NEVER,
            Fate::Killed | Fate::Interrupted => Duration::from_millis(10),
        }
    }

    /// Each moment of the phase, by a child that nothing befalls.
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

    /// Lets a child meet its fate at this moment, or asleep, and sees to what it left.
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
        figures.owners += usize::from(self.names_somebody_else(&facts));
        figures.passed_on += usize::from(facts.is_passed_on());
        match self.fate {
            Fate::Killed | Fate::Ended | Fate::Exited => self.mourn(tracee, &facts, figures),
            Fate::Interrupted => self.interrupt(tracee, figures),
            Fate::Frozen => self.freeze(tracee, &facts, figures),
        }
        assert_eq!(self.descriptors(), before, "somebody leaks descriptors");
    }

    /// Has everybody take their places, and the child come to where its phase begins.
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
        let order = self.open_order(interval);
        for sleeper in &mut self.sleepers {
            sleeper.ask(&order);
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
        if phase.waits_awake() {
            tracee.wait_awake(&mut self.awake);
            self.keeper_gives_back();
        }
        tracee.begin();
        if phase.begins_awaited() {
            self.send_sleepers();
            self.sleepers_fall_asleep();
        }
        tracee
    }

    /// An owner that was killed in the middle of its section: its process, and its token.
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

    /// What is to happen when the child sleeps: another comes to sleep, and the keeper gives the
    /// lock back.
    pub(super) fn child_sleeps(&mut self) {
        if self.keeper_holds {
            self.send_sleepers();
            self.sleepers_fall_asleep();
            self.keeper_gives_back();
        }
    }

    /// Opens the lock for the keeper, unless it is open.
    pub(super) fn keeper_enters(&mut self) {
        if !self.keeper_is_in {
            let order = self.open_order(self.interval());
            self.keeper.ask(order);
            self.keeper_is_in = true;
        }
    }

    /// Closes everybody's lock.
    pub(super) fn all_leave(&mut self) {
        for actor in std::iter::once(&mut self.keeper).chain(&mut self.sleepers) {
            actor.ask("close l");
        }
        self.keeper_is_in = false;
    }

    pub(super) fn keeper_gives_back(&mut self) {
        if self.keeper_holds {
            self.keeper.ask("release l");
            self.keeper_holds = false;
        }
    }

    pub(super) fn send_sleepers(&mut self) {
        if !self.sleepers_sent {
            self.sleepers_sent = true;
            let order = format!("pass l {} consistent", self.account.path());
            for sleeper in &mut self.sleepers {
                sleeper.tell(&order);
            }
        }
    }

    fn sleepers_fall_asleep(&self) {
        for sleeper in &self.sleepers {
            proc::falls_asleep_on_a_word(sleeper.pid());
        }
    }

    pub(super) fn open_order(&self, interval: Duration) -> String {
        format!(
            "open l {LOCK} dir={} poll={} patience=20",
            self.folder.path().display(),
            interval.as_millis()
        )
    }

    pub(super) fn intruder(&self) -> Intruder {
        Intruder::on(&self.folder.file(LOCK))
    }

    /// The bytes of all tokens that somebody has.
    pub(super) fn tokens(&self) -> Vec<i64> {
        let locks = self.intruder().locks_of_others();
        locks
            .into_iter()
            .filter(|(mode, _)| *mode == Mode::Write)
            .map(|(_, bytes)| *bytes.start())
            .collect()
    }

    pub(super) fn facts(&self) -> Facts {
        let is_there = self.folder.file(LOCK).exists();
        Facts {
            word: if is_there { self.intruder().owner_word() } else { 0 },
            inside: self.account.inside.load(Relaxed),
            done: self.account.done.load(Relaxed),
            rounds: self.account.rounds.load(Relaxed),
        }
    }

    /// Returns `true` if the word names the child, or the owner that was dead before it.
    pub(super) fn names_somebody_else(&self, facts: &Facts) -> bool {
        facts.token() != 0 && !self.living.contains(&byte_of(facts.token()))
    }

    pub(super) fn names_the_dead(&self, facts: &Facts) -> bool {
        self.dead.is_some_and(|(_, token)| token == facts.token())
    }

    /// How many descriptors each of us has.
    fn descriptors(&self) -> Vec<usize> {
        let others = std::iter::once(&self.keeper).chain(&self.sleepers).map(Actor::pid);
        others.chain([std::process::id()]).map(proc::descriptors).collect()
    }
}
