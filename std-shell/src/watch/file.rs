//! Watches one lock: the watch thread's own description and mapping of its file, its slot, and a
//! look at the lock.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::fstat;
use rustix::io::{pread, retry_on_intr};
use shmlock_core::{Token, Word};

use crate::identity::liveness::{OwnerState, life_of};
use crate::layout::lock_bytes::WATCHERS;
use crate::shm::window::Window;
use crate::sys::file_id::FileId;
use crate::sys::futex;
use crate::sys::inotify::{Event, WatchId};
use crate::sys::ofd::{self, Kind};
use crate::sys::private_files::{PrivateFd, PrivateFiles};
use crate::watch::events::Events;
use crate::watch::naps::{Looks, Seen, nap};
use crate::watch::watched::{Cover, Watched};

/// The most waiters that a recruit wakes. Arbitrary: more than a process usually has.
const RECRUITS: u32 = 8;

/// How long the thread keeps a file after it has seen that no wait is left, at an event or a tick.
/// So long that each of several waits in a row does not begin anew; and no longer, because a
/// process that ends while it watches needs some 10 ms more for that. The kernel waits for its own
/// threads before it closes an instance with a watch.
const LINGER: Duration = Duration::from_millis(20);

/// A file that the thread has open.
pub(super) struct WatchedFile {
    pub(super) watched: Arc<Watched>,
    // Before the descriptor: it keeps the description as well, and so the slot.
    window: Window,
    fd: PrivateFd,
    slot: Option<u32>,
    /// The watch of the file, if it has events.
    watch: Option<WatchId>,
    /// Since when it has a slot without events.
    naps_since: Instant,
    looks: Looks,
    /// When to leave, if no wait is registered until then.
    leave_at: Option<Instant>,
    /// The other slot was taken when it was last seen.
    has_colleague: bool,
    /// In this turn a dead owner's waiter was woken before the look.
    woke_ahead: bool,
}

impl WatchedFile {
    /// Opens the file by its name. `None`: the name leads elsewhere, or the file cannot be mapped.
    pub(super) fn open(watched: Arc<Watched>, files: &PrivateFiles, now: Instant) -> Option<Self> {
        let fd = open(&watched, files)?.out_of_the_way();
        let window = Window::new(fd.as_fd()).ok()?;
        Some(Self {
            watched,
            window,
            fd,
            slot: None,
            watch: None,
            naps_since: now,
            looks: Looks::new(now),
            leave_at: None,
            has_colleague: false,
            woke_ahead: false,
        })
    }

    pub(super) fn has_slot(&self) -> bool {
        self.slot.is_some()
    }

    /// Returns `true` if it has a slot and no events.
    pub(super) fn lacks_events(&self) -> bool {
        self.has_slot() && self.watch.is_none()
    }

    /// Takes a slot if one is free. Then looks: an owner may have died before.
    pub(super) fn take_slot(&mut self, now: Instant) {
        // One description can lock both bytes: one slot is enough.
        if self.slot.is_none() {
            let take = |&byte: &u32| ofd::try_lock(self.fd.as_fd(), Kind::Write, byte) == Ok(true);
            self.slot = WATCHERS.into_iter().find(take);
            if self.has_slot() {
                self.naps_since = now;
                self.watched.set_slot(true);
                self.looks.look_for_slot(now);
            }
        }
    }

    /// Tells the waiters whether they can rely on being woken; returns `true` if they can.
    pub(super) fn decide_cover(&self) -> bool {
        let is_taken = |byte| ofd::is_locked(self.fd.as_fd(), byte) == Ok(true);
        let is_covered = self.has_slot() || WATCHERS.into_iter().all(is_taken);
        self.watched.set_cover(if is_covered { Cover::Covered } else { Cover::Refused });
        is_covered
    }

    /// Watches the file by events, if it has any: closes a description of the file and expects to
    /// be told. Where that fails, the thread looks by naps.
    pub(super) fn watch(
        &mut self,
        events: &Events,
        files: &PrivateFiles,
        mut tell: impl FnMut(Event),
    ) {
        let Ok(watch) = events.add(&self.watched.place.path) else { return };
        // Another file's events prove nothing.
        let is_closed = open(&self.watched, files).map(drop).is_some();
        let mut is_told = false;
        events.take(|event| {
            if event == Event::Of(watch) {
                is_told = true; // a death among these is seen by the look that a new slot needs
            } else {
                tell(event);
            }
        });
        if is_closed && is_told {
            self.watch = Some(watch);
        } else {
            events.remove(watch);
        }
    }

    /// Notes an event, which may be of another file.
    pub(super) fn note(&mut self, event: Event, now: Instant) {
        match event {
            Event::Of(watch) if self.watch == Some(watch) => self.looks.look_after_event(now),
            Event::Gone(watch) if self.watch == Some(watch) => {
                self.watch = None;
                self.looks.look_after_event(now);
            }
            Event::Overflow => self.looks.look_after_event(now),
            Event::Of(_) | Event::Gone(_) => {}
        }
    }

    /// Plans a look now.
    pub(super) fn tick(&mut self, now: Instant) {
        self.looks.look_now(now);
    }

    /// Plans a look now if this tick has to.
    pub(super) fn note_tick(&mut self, now: Instant) {
        self.looks.note_tick(now);
    }

    /// Notes whether waits are registered. If there are none, the file is to be left soon.
    pub(super) fn note_waits(&mut self, now: Instant) {
        if self.leave_at.is_none() && self.watched.waits() == 0 {
            let _ = self.watched.is_idle(); // from here on
            self.leave_at = Some(now + LINGER);
        }
    }

    /// Returns `true` if it is time to leave, unless waits were registered meanwhile.
    pub(super) fn wants_to_leave(&mut self, now: Instant) -> bool {
        self.leave_at.take_if(|leave_at| *leave_at <= now).is_some()
    }

    /// Returns when to look next, or to leave. In a rest, a repeated look does not wake the thread.
    pub(super) fn due(&self, rest_until: Option<Instant>) -> Option<Instant> {
        [self.looks.due(rest_until), self.leave_at].into_iter().flatten().min()
    }

    /// Looks at the lock if that is due, and wakes a waiter if there is something to see. Returns
    /// `true` if the look repeats the one after an event.
    pub(super) fn look_if_due(&mut self, now: Instant) -> bool {
        let woke_ahead = std::mem::take(&mut self.woke_ahead);
        if !self.looks.is_due(now) {
            return false;
        }
        let is_repeat = self.looks.is_repeat();
        let seen = self.look(woke_ahead);
        self.recruit_if_alone();
        let naps = self
            .lacks_events()
            .then(|| nap(self.watched.interval(), now.saturating_duration_since(self.naps_since)));
        self.looks.plan(Instant::now(), seen, naps);
        is_repeat
    }

    /// Wakes waiters now if the owner is dead. The look of this turn follows, and wakes no more of
    /// them then. Two system calls, and the wake.
    pub(super) fn look_ahead(&mut self) {
        let owner = self.word().and_then(Word::owner);
        let is_dead = owner.is_some_and(|owner| self.is_dead(owner));
        self.woke_ahead = is_dead && self.wake(self.looks.wakes());
    }

    fn is_dead(&self, owner: Token) -> bool {
        life_of(self.fd.as_fd(), owner) == OwnerState::Dead
    }

    /// Wakes so many waiters at most; returns `true` if there was one.
    fn wake(&self, waiters: u32) -> bool {
        futex::wake(self.window.owner_word(), waiters).is_ok_and(|woken| woken > 0)
    }

    /// `woke_ahead`: a dead owner's waiter was woken a moment ago.
    fn look(&self, woke_ahead: bool) -> Seen {
        if fstat(&self.fd).is_ok_and(|stat| stat.st_nlink == 0) {
            return match (self.wake(futex::ALL), self.watched.waits()) {
                (true, _) => Seen::WokeAll,
                (false, 0) => Seen::Quiet,
                (false, _) => Seen::AllAwake,
            };
        }
        let Some(word) = self.word() else { return Seen::Quiet };
        match word.owner() {
            // A release that was not followed by its wake leaves no trace in the word.
            None if self.wake(1) => Seen::Woke,
            None => Seen::Quiet,
            Some(owner) if self.is_dead(owner) => {
                if woke_ahead || self.wake(self.looks.wakes()) {
                    Seen::Woke
                } else {
                    Seen::NoneSleeps
                }
            }
            Some(_) => {
                // A waiter may have died that was woken and was to set WAITERS again.
                if !word.has_waiters() {
                    self.wake(1);
                }
                Seen::Quiet
            }
        }
    }

    /// Reads the owner word, pread(2); the woken waiter judges. Not through the mapping: if a peer
    /// has truncated the file, that would end a process which has closed its handles.
    fn word(&self) -> Option<Word> {
        let mut word = [0; 4];
        let read = retry_on_intr(|| pread(&self.fd, &mut word, 0)).ok()?;
        (read == word.len()).then(|| Word::from_bits(u32::from_le_bytes(word)))
    }

    /// Recruits if the other watcher has gone since the last look.
    fn recruit_if_alone(&mut self) {
        let Some(own) = self.slot else { return };
        let is_taken = |byte| byte != own && ofd::is_locked(self.fd.as_fd(), byte) == Ok(true);
        let has_colleague = WATCHERS.into_iter().any(is_taken);
        if std::mem::replace(&mut self.has_colleague, has_colleague) && !has_colleague {
            self.recruit();
        }
    }

    /// Wakes waiters, so that the process of one of them takes the free slot. The kernel wakes in
    /// the order of their sleep: those of this process, which find nothing to do, and one more.
    fn recruit(&self) {
        let word = self.window.owner_word();
        if self.word().is_some_and(Word::has_waiters) {
            let waiters = self.watched.waits().saturating_add(1).min(RECRUITS);
            let _ = futex::wake(word, waiters);
        }
    }

    /// Ends the watch of a file for which no wait is registered.
    pub(super) fn leave(self, events: Option<&Events>) {
        let Some(slot) = self.slot else { return };
        if let (Some(events), Some(watch)) = (events, self.watch) {
            events.remove(watch);
        }
        // Unlocking a range that the description holds cannot fail.
        let _ = ofd::unlock(self.fd.as_fd(), slot);
        self.recruit();
    }

    /// Returns how long this process may overlook a death if it does not watch.
    pub(super) fn tick_length(&self) -> Duration {
        self.watched.interval()
    }
}

/// Opens the file by its name, if the name leads to it.
fn open(watched: &Watched, files: &PrivateFiles) -> Option<PrivateFd> {
    let fd = files.own(watched.place.open().ok()??);
    (FileId::of_fd(fd.as_fd()) == Some(watched.file)).then_some(fd)
}
