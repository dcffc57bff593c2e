//! Models section 9, open: the shell's `Attachment::enter` with the functions that it calls.

use shmlock_core::Word;

use super::{Turn, drop_pending_open};
use crate::bounds::{Draw, Making};
use crate::breach::Breach;
use crate::flaw::Flaw;
use crate::place::Place;
use crate::squeezed::Squeezed;
use crate::world::{Leads, Link, Note, Presence, Process};

impl Turn<'_> {
    pub(super) fn look_up(&mut self) {
        match self.world.named() {
            None => self.go(Place::Create),
            Some(file) => {
                self.me().a = file;
                self.go(Place::OpenSecond);
            }
        }
    }

    pub(super) fn create(&mut self) {
        let (making, before) = (self.rules.bounds.making, self.world);
        if making != Making::Empty {
            self.create_whole();
        }
        self.world = before;
        if making != Making::Whole {
            self.world.create(true);
            self.go(Place::LookUp);
        }
    }

    /// Links a whole file with its creator present, which is one action.
    fn create_whole(&mut self) {
        let Some(file) = self.world.create(false) else { return self.begin_again() };
        let present = !self.has(Flaw::NoPresence);
        let late = self.has(Flaw::PresenceAfterName);
        let me = self.me();
        me.a = file;
        me.notes.set(Note::Made);
        if present && !late {
            me.presence = Presence::Here;
        }
        self.go(Place::OpenSecond);
    }

    pub(super) fn announce(&mut self) {
        let (file, who) = (self.me().a, self.who);
        if self.world.is_present(file, Presence::Alone, who) {
            return self.begin_again();
        }
        self.me().presence = Presence::Here;
        let trusting = self.has(Flaw::PresenceAfterName) && self.me().notes.has(Note::Made);
        self.go(if trusting { Place::Draw } else { Place::CheckName });
    }

    pub(super) fn check_name(&mut self) {
        if self.file().link != Link::Named && !self.has(Flaw::NoLinkCount) {
            return self.begin_again();
        }
        // A whole file stays whole, so `fallocate` does nothing to it.
        let next = if self.file().empty { Place::Grow } else { Place::Draw };
        self.go(next);
    }

    pub(super) fn grow(&mut self) {
        self.file().empty = false;
        self.go(Place::Draw);
    }

    /// Draws a token. Attempts that fail change nothing, so only the successful one is a step.
    pub(super) fn draw(&mut self) {
        let file = self.me().a;
        let wanted = if self.rules.bounds.draw == Draw::Lowest { 1 } else { usize::MAX };
        let free: Vec<_> = self.world.free_tokens(file).take(wanted).collect();
        assert!(!free.is_empty(), "more tokens than processes can use");
        for token in free {
            self.me().token = token;
            if self.has(Flaw::NoStaleCheck) {
                self.seal();
                continue;
            }
            self.me().seen = Word::held_by(self.my_token()).into();
            self.go(Place::DeclareStale);
        }
    }

    /// Models `protocol::declare_stale`, which is `give` with the abandoned word.
    pub(super) fn declare_stale(&mut self) {
        let new = Word::from(self.me().seen).abandoned();
        let wakes = match self.swap(new) {
            Ok(before) => {
                if !self.file().torn {
                    self.breach = Some(Breach::FalseAlarm);
                }
                before.has_waiters()
            }
            Err(now) if self.mine_is(now) => return self.go(Place::DeclareStale),
            Err(_) => false,
        };
        self.me().seen = Squeezed::FREE;
        if wakes { self.go(Place::WakeForStale) } else { self.seal() }
    }

    /// Opens B and compares it with A. A creator is present already.
    pub(super) fn open_second(&mut self) {
        let same = |a: u8, b: u8| a == b || self.has(Flaw::NoComparison);
        let a = self.world.processes[self.who].a;
        match self.world.named() {
            Some(b) if same(a, b) => {
                let me = self.me();
                me.b = b;
                let is_present = me.presence == Presence::Here;
                let late = self.has(Flaw::PresenceAfterName);
                let made = self.me().notes.has(Note::Made);
                self.go(match (is_present || made && !late, self.has(Flaw::NoPresence)) {
                    (true, _) => Place::Draw,
                    (false, true) => Place::CheckName,
                    (false, false) => Place::Announce,
                });
            }
            _ => self.drop_and_begin_again(),
        }
    }

    /// Tests its own byte through B. Closing the descriptor of A and starting the visit affect no
    /// other process.
    pub(super) fn seal(&mut self) {
        self.me().seen = Squeezed::FREE;
        let (b, token, leads) = (self.me().b, self.me().token, self.me().leads);
        if leads != Leads::Itself {
            return self.drop_and_begin_again();
        }
        if !self.world.is_token_locked(b, token) {
            return self.refuse(); // byte locks do not work here
        }
        self.me().notes.clear(Note::Made);
        self.go(Place::TryAcquire);
        if self.rules.bounds.idle {
            self.me().left -= 1;
            self.go(self.rules.first_of_closing());
        }
    }

    /// Fails with `Unsupported`.
    fn refuse(&mut self) {
        self.world.drop_identity(self.who);
        *self.me() = Process::GONE;
        self.go(Place::Gone);
    }

    /// Drops a `PendingOpen` that could not be sealed. The creator removes its file, through A.
    fn drop_and_begin_again(&mut self) {
        if !self.me().notes.has(Note::Made) {
            return self.begin_again();
        }
        let me = self.me();
        me.notes.clear(Note::Made);
        me.notes.set(Note::Again);
        me.presence = Presence::None;
        me.token = 0;
        me.b = me.a;
        me.leads = Leads::Itself;
        self.go(Place::LockPresence);
    }

    /// Closes A and looks the name up again, unless the deadline is over.
    fn begin_again(&mut self) {
        if self.rules.bounds.impatient {
            self.give_up_opening();
        }
        drop_pending_open(self.me());
        self.me().notes.clear(Note::Made);
        self.go(Place::LookUp);
    }
}
