//! Taking and giving back: what one handle does around the core's steps. How often it holds the lock, and what a signal
//! handler may see of that, is in `holds.rs`.

use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use shmlock_core::contend::acquire_contended_inline;
use shmlock_core::protocol::{self, Acquisition, Arrival, Wake};
use shmlock_core::{FenceScope, Region, Token, Word};

use crate::deadline::Patience;
use crate::error::{Error, Result};
use crate::guard::{Guard, Recovered};
use crate::holds::{Found, Plain};
use crate::inspect::Holder;
use crate::liveness::KernelProof;
use crate::lock::ShmLock;
use crate::loss::Loss;
use crate::moment::Moment;
use crate::signals::{BlockSignals, Blocked};
use crate::thread::{this_thread, this_thread_as_known};
use crate::turns;
use crate::wait::{self, GaveUp, Waiter, Watch, futex};

/// Taking.
impl ShmLock {
    #[inline]
    pub(crate) fn guarded(&self, patience: Patience) -> Result<Guard<'_>> {
        if self.take_undisturbed(Plain::Guard) {
            return Ok(Guard::new(self, self.holds.epoch()));
        }
        self.guarded_otherwise(patience)
    }

    #[cold]
    fn guarded_otherwise(&self, patience: Patience) -> Result<Guard<'_>> {
        if self.take(patience, Plain::Guard)? { Ok(self.new_guard()) } else { Err(self.would_block()) }
    }

    /// As [`guarded`](Self::guarded), without a guard.
    #[inline]
    pub(crate) fn bare(&self, patience: Patience) -> Result<()> {
        if self.take_undisturbed(Plain::Bare) {
            return Ok(());
        }
        self.bare_otherwise(patience)
    }

    #[cold]
    fn bare_otherwise(&self, patience: Patience) -> Result<()> {
        if self.take(patience, Plain::Bare)? { Ok(()) } else { Err(self.would_block()) }
    }

    /// The guard of what [`take`](Self::take) has just taken for one.
    pub(crate) fn new_guard(&self) -> Guard<'_> {
        Guard::new(self, self.holds.epoch())
    }

    #[cold]
    fn would_block(&self) -> Error {
        Error::WouldBlock { name: self.name.to_string(), holder: self.holder_now() }
    }

    /// All of an outermost acquire when nothing is out of the ordinary; `false`, and nothing done, otherwise.
    ///
    /// It does what [`take`](Self::take) does, without passing a large `Result` through memory at three levels of calls,
    /// which takes longer than the protocol itself.
    #[inline]
    fn take_undisturbed(&self, plain: Plain) -> bool {
        let ordinary = self.holds.is_none()
            && self.recorded.get()
            && self.quick.get()
            && self.shared.is_ours()
            && log::max_level() < log::LevelFilter::Debug;
        if !ordinary {
            return false;
        }
        let region = self.shared.region();
        let take = || {
            self.note_thread();
            let taken = protocol::acquire_undisturbed(region.owner_word(), self.token, self.settings.fence);
            if taken {
                region.count_acquisition(self.settings.fence);
                if !region.record_describes(self.token) {
                    self.write_new_record(region);
                }
            }
            taken
        };
        self.holds.in_transition(take, |taken| taken.then_some(plain))
    }

    /// Has the exit handlers know on which thread this handle is used.
    #[inline]
    fn note_thread(&self) {
        if self.thread.get() != this_thread_as_known() {
            self.note_another_thread();
        }
    }

    #[cold]
    fn note_another_thread(&self) {
        let thread = this_thread();
        self.slot.used_by(thread);
        self.thread.set(thread);
    }

    /// Takes the lock once more, for a guard or without; `false` if one try was asked for and somebody else holds it.
    ///
    /// What is called from here down to the system call of a sleep is compiled into it (so the `#[inline]`s, also in `wait`), and
    /// what is seldom needed is not: who has been woken finds the code in no cache, and predicts no return. In nine functions, and
    /// with the fields of the handle in any order, the way from the kernel to the section took 0.7 to 2.7 µs longer.
    #[cold]
    pub(crate) fn take(&self, patience: Patience, plain: Plain) -> Result<bool> {
        self.check_process()?;
        match self.holds.nest() {
            Found::None => {}
            Found::Nested => {
                self.count_guard(plain);
                return Ok(true);
            }
            Found::InTransition => return self.refuse_in_transition(patience),
            Found::TooDeep => return Err(Error::TooDeep { name: self.name.to_string() }),
        }
        let silent = self.plain && log::max_level() < log::LevelFilter::Debug;
        if !silent {
            self.tell_of_wait(patience)?;
        }
        self.holds.begin_transition();
        match self.take_outermost(patience) {
            Ok(Some(acquisition)) if silent && !acquisition.owner_died => {
                self.holds.end_transition(Some(plain));
                Ok(true)
            }
            Ok(None) if silent => {
                self.holds.end_transition(None);
                Ok(false)
            }
            taken => self.end_take(taken, plain),
        }
    }

    /// Ends a taking of which there is something to tell, or after which signals may have to be let through again.
    #[cold]
    fn end_take(&self, taken: Result<Option<Acquisition>>, plain: Plain) -> Result<bool> {
        self.holds.end_transition(matches!(taken, Ok(Some(_))).then_some(Plain::Bare));
        self.holds.be_counted();
        // Reported only now: a logger is foreign code, which may panic or use this very lock.
        let taken = taken.inspect_err(|error| log::debug!("tried {self}: {error}"))?;
        if taken.is_none() {
            log::debug!("tried {self}: another holds it, and one try was asked for");
        }
        if let Some(acquisition) = taken {
            log::debug!("acquired {self}");
            if acquisition.owner_died {
                self.report_death();
            }
            self.count_guard(plain);
        }
        Ok(taken.is_some())
    }

    /// The hold that was counted last is a guard's, if it was taken for one.
    fn count_guard(&self, plain: Plain) {
        if plain == Plain::Guard {
            self.holds.add_guard();
        }
    }

    #[cold]
    fn refuse_in_transition(&self, patience: Patience) -> Result<bool> {
        match patience {
            Patience::None => Ok(false),
            _ => Err(Error::WouldDeadlock { name: self.name.to_string() }),
        }
    }

    fn take_outermost(&self, patience: Patience) -> Result<Option<Acquisition>> {
        let patience = if self.turns.is_passing() { self.let_pass(patience) } else { patience };
        let blocked = (self.settings.block_signals != BlockSignals::Never).then(Blocked::now);
        self.note_thread();
        let word = self.shared.region().owner_word();
        let tried = protocol::try_acquire(word, self.token, Arrival::Fresh, self.settings.fence).ok();
        let taken = match tried.or_else(|| if patience.is_one_try() { None } else { self.take_soon() }) {
            Some(acquisition) => Some((acquisition, None)),
            None => self.contend(patience, blocked.as_ref())?,
        };
        let Some((acquisition, since)) = taken else { return Ok(None) };
        self.begin(acquisition, since);
        self.hold_begins();
        if self.settings.block_signals == BlockSignals::WhileHeld {
            self.blocked.replace(blocked);
        }
        Ok(Some(acquisition))
    }

    /// Leaves the lock to the one that we have woken, for a moment; what is left of the patience.
    #[cold]
    fn let_pass(&self, patience: Patience) -> Patience {
        let patience = patience.beginning(Instant::now());
        self.turns.let_pass(self.shared.region().owner_word(), patience);
        self.quick.set(self.plain);
        patience
    }

    /// Takes a lock that is free again before a clock could be read.
    #[cold]
    fn take_soon(&self) -> Option<Acquisition> {
        let region = self.shared.region();
        if !wait::is_soon_free(region) {
            return None;
        }
        let acquisition =
            protocol::try_acquire(region.owner_word(), self.token, Arrival::Fresh, self.settings.fence).ok()?;
        region.count_contended();
        Some(acquisition)
    }

    /// Waits for the lock; also answers when that ended. `None`: one try was asked for, and it failed.
    #[inline]
    fn contend(&self, patience: Patience, blocked: Option<&Blocked>) -> Result<Option<(Acquisition, Option<Moment>)>> {
        // The clock of deadlines stands still while the machine is suspended, and so do time limits and what is said of them.
        let start = patience.has_end().then(Instant::now);
        let patience = start.map_or(patience, |start| patience.beginning(start));
        let now = Moment::now();
        self.turns.arrive(now, self.shared.region().fencing_token());
        let mut waiter = Waiter {
            shared: &self.shared,
            me: self.token,
            patience,
            interval: self.settings.poll_interval,
            watch: Watch::new(self.shared.region(), self.shared.probe(), now),
            strategy: self.settings.strategy,
            event: self.settings.exit_event.as_ref(),
            blocked,
            turns: &self.turns,
            probed: false,
            awake: true,
            now,
            has_slept: false,
            has_rested: false,
            gave_up: None,
        };
        let mut proof = KernelProof { shared: &self.shared };
        let word = self.shared.region().owner_word();
        let won = acquire_contended_inline(word, self.token, self.settings.fence, &mut proof, &mut waiter);
        if let Ok(acquisition) = won {
            if waiter.has_slept {
                self.turns.begin(waiter.now);
            }
            if acquisition.recovered_from.is_some() && self.shared.is_orphaned() {
                return Err(self.hand_back_orphan());
            }
            // One try that got it at its second look has not waited for anybody.
            if acquisition.recovered_from.is_some() || !patience.is_one_try() {
                self.shared.region().count_contended();
            }
            return Ok(Some((acquisition, Some(waiter.now))));
        }
        if won.is_err_and(Word::is_free) {
            futex::wake_one(word); // the wake that we used up may have been meant for others
        }
        if patience.is_one_try() && matches!(waiter.gave_up, Some(GaveUp::TimedOut) | None) {
            return Ok(None); // before anything is allocated: a signal handler may have called
        }
        Err(self.gave_up(waiter.gave_up, start))
    }

    /// Why a wait that began then has ended without the lock.
    #[cold]
    fn gave_up(&self, reason: Option<GaveUp<'_>>, start: Option<Instant>) -> Error {
        let name = self.name.to_string();
        match reason {
            Some(GaveUp::TimedOut) | None => Error::TimedOut {
                name,
                waited: start.map_or(Duration::ZERO, |start| start.elapsed()),
                holder: self.holder_now(),
            },
            Some(GaveUp::Cancelled) => Error::Cancelled { name, holder: self.holder_now() },
            Some(GaveUp::WouldDeadlock) => Error::WouldDeadlock { name },
            Some(GaveUp::Orphaned) => self.orphaned(),
            Some(GaveUp::ForkedEvent(event)) => Error::ForkedHandle { name: event.to_string() },
        }
    }

    /// Ends a take-over on a file that has lost its name: a new lock of that name may be held by somebody else.
    #[cold]
    fn hand_back_orphan(&self) -> Error {
        let word = self.shared.region().owner_word();
        if let Ok(Wake::One) = protocol::abandon(word, self.token, self.settings.fence) {
            futex::wake_one(word);
        }
        self.orphaned()
    }

    /// What a new holder does before its section begins; since when that is, if a clock was read a moment ago.
    fn begin(&self, acquisition: Acquisition, since: Option<Moment>) {
        let region = self.shared.region();
        if acquisition.owner_died {
            self.note_death(region, acquisition.recovered_from);
        }
        region.count_acquisition(self.settings.fence);
        if !(self.recorded.get() && region.record_describes(self.token)) {
            self.write_record(region, since);
        }
    }

    #[cold]
    fn note_death(&self, region: Region<'_>, recovered_from: Option<Token>) {
        let dead = recovered_from.map(|token| Holder::former(region, token, self.settings.fence));
        if dead.is_some() {
            region.count_recovery();
        }
        self.recovered.replace(Some(Recovered { dead }));
    }

    #[cold]
    fn report_death(&self) {
        match self.recovered().and_then(|recovered| recovered.dead) {
            Some(dead) => log::warn!("{self}: taken over from a dead owner, {dead}"),
            None => log::warn!("{self}: an earlier owner died, and nobody has declared the data consistent"),
        }
    }
}

/// Giving back.
impl ShmLock {
    /// Ends one guard of this epoch, if what it is part of still lasts.
    pub(crate) fn drop_guard(&self, epoch: u32) -> std::result::Result<(), Loss> {
        if !self.shared.is_ours() {
            return Err(self.forked());
        }
        if self.holds.drop_guard(epoch) { self.give_one_back() } else { Err(Loss::NotHeld) }
    }

    /// All of the giving back of a plain hold; `None`, and nothing done, if this is none. See
    /// [`take_undisturbed`](Self::take_undisturbed).
    #[inline]
    pub(crate) fn give_undisturbed(&self, plain: Plain) -> Option<std::result::Result<(), Loss>> {
        if !(self.holds.is_plain(plain) && self.shared.is_ours()) {
            return None;
        }
        let word = self.shared.region().owner_word();
        let give = || {
            protocol::release_undisturbed(word, self.token, self.settings.fence).or_else(|_| self.give_to_others(word))
        };
        Some(self.holds.in_transition(give, |_| None).map_err(|found| self.overwritten(found)))
    }

    pub(crate) fn give_one_back(&self) -> std::result::Result<(), Loss> {
        if !self.holds.un_nest() {
            return Ok(());
        }
        log::debug!("releasing {self}");
        self.holds.in_transition(|| self.give_outermost(), |_| None).map_err(|found| self.overwritten(found))
    }

    fn give_outermost(&self) -> std::result::Result<(), Word> {
        let _blocked = match self.settings.block_signals {
            BlockSignals::Never => None,
            BlockSignals::Transitions => Some(Blocked::now()),
            BlockSignals::WhileHeld => self.blocked.take(),
        };
        if self.recovered.borrow().is_some() {
            self.recovered.replace(None);
        }
        self.hold_ends();
        let word = self.shared.region().owner_word();
        protocol::release_undisturbed(word, self.token, self.settings.fence).or_else(|_| self.give_to_others(word))
    }

    /// Gives back a lock that others may wait for, and wakes one of them, unless one is awake to take it.
    #[cold]
    fn give_to_others(&self, word: &AtomicU32) -> std::result::Result<(), Word> {
        if self.turns.may_go_on() {
            return self.pass_on(word);
        }
        let wake = protocol::release(word, self.token, self.settings.fence)?;
        if wake == Wake::One {
            futex::wake_one(word);
        }
        self.turns.look(); // not before: a sleeper would have waited for it
        self.after_giving(wake);
        Ok(())
    }

    /// Gives back a lock that somebody most likely waits for awake; wakes one of those who sleep if our turn is over, or if nobody
    /// takes it.
    fn pass_on(&self, word: &AtomicU32) -> std::result::Result<(), Word> {
        self.turns.look();
        let wake = if self.turns.is_over() {
            protocol::release(word, self.token, self.settings.fence)?
        } else {
            protocol::pass_on(word, self.token, self.settings.fence)?;
            turns::owed_wake(word)
        };
        if wake == Wake::One {
            futex::wake_one(word);
        }
        self.after_giving(wake);
        Ok(())
    }

    fn after_giving(&self, wake: Wake) {
        self.quick.set(self.plain && !self.turns.is_passing());
        if wake == Wake::One {
            self.turns.after_wake();
        }
    }
}

impl Drop for ShmLock {
    fn drop(&mut self) {
        if !self.shared.is_ours() {
            return; // a forked child: the slot, the word and the mapping are the parent's
        }
        crate::reactor::forget(self.slot);
        log::debug!("closing {self}");
        if self.is_held() {
            if self.holds.guards() == 0 {
                self.holds.merge();
                let _ = self.give_one_back(); // logged where it was found
            } else {
                log::warn!("{self} was closed with a guard leaked; the next owner is told that this one died");
            }
        }
        self.slot.retire(); // before the token goes: nobody here may act by it afterwards
        self.cut_lifeline();
    }
}

/// A word that names the token which we have just been given names a dead owner: this very token proves it.
pub(crate) fn free_stale(region: Region<'_>, token: Token, fence: FenceScope) {
    let Some(wake) = protocol::declare_stale(region.owner_word(), token, fence) else { return };
    region.count_recovery();
    if wake == Wake::One {
        futex::wake_one(region.owner_word());
    }
}
