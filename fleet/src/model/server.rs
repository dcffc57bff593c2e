//! Models the servers: leases, keys in the order of their creation, and the fenced store.

use super::flaw::Flaw;
use super::scope::{Breach, Scope};
use crate::protocol::{Place, place, watch_after};

/// The most leases that are known at once.
pub(super) const LEASES: usize = 8;
/// The most keys at once.
pub(super) const KEYS: usize = 5;

/// The mark of a lease that has ended.
pub(super) const ENDED: u8 = u8::MAX;

/// A key. Its name is the lease for which it was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) name: u8,
    /// The lease to which it is bound; 0 for none.
    pub(super) lease: u8,
    pub(super) revision: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Server {
    /// The ticks after which a lease may end, by its number from 1 up, or [`ENDED`].
    pub(super) leases: [u8; LEASES],
    /// The number of leases with a number.
    pub(super) granted: u8,
    /// The last create revision.
    pub(super) revision: u8,
    /// In the order of their creation; the places after the last are zero.
    pub(super) keys: [Key; KEYS],
}

/// The place in the queue at a reading. The key before the own one is in the [`Watch`].
pub(super) type Seat = Place<()>;

/// The store's revision at each reading, for the product's code. It counts on from there, wherever
/// it stands.
const REVISION: i64 = 1_000;

/// The answer that the main thread of a contender has not seen yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Answer {
    None,
    /// To a request for a lease, that was sent `age` units ago.
    Granted {
        lease: u8,
        age: u16,
    },
    /// To a put or a reading. `watch` is what a waiter is going to watch after it; `stands` says
    /// whether the key that was created at `token` was there.
    Read {
        token: u8,
        seat: Seat,
        stands: bool,
        watch: Watch,
    },
}

/// A watch from a reading on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Watch {
    /// The names of the keys.
    pub(super) keys: [u8; 2],
    /// A key was deleted since the reading, or the time of the watch is over.
    pub(super) is_told: bool,
    /// The ticks until its end, if it has fallen silent; 0 for a watch that works.
    pub(super) silent: u8,
    /// The deletions since the reading that it does not hear of, as it begins too late.
    pub(super) skips: u8,
}

impl Watch {
    pub(super) const NONE: Self = Self { keys: [0; 2], is_told: false, silent: 0, skips: 0 };
}

impl Key {
    pub(super) const NONE: Self = Self { name: 0, lease: 0, revision: 0 };
}

impl Server {
    pub(super) const fn new() -> Self {
        Self { leases: [ENDED; LEASES], granted: 0, revision: 0, keys: [Key::NONE; KEYS] }
    }

    pub(super) fn keys(&self) -> &[Key] {
        let count = self.keys.iter().take_while(|key| key.revision != 0).count();
        &self.keys[..count]
    }

    pub(super) fn key_named(&self, name: u8) -> Option<&Key> {
        self.keys().iter().find(|key| key.name == name)
    }

    pub(super) fn key_created_at(&self, revision: u8) -> Option<&Key> {
        self.keys().iter().find(|key| key.revision == revision)
    }

    pub(super) fn is_first(&self, revision: u8) -> bool {
        self.keys[0].revision == revision
    }

    pub(super) fn lives(&self, lease: u8) -> bool {
        (1..=self.granted).contains(&lease) && self.leases[usize::from(lease) - 1] != ENDED
    }

    /// Returns `true` if another lease and another key have room. Where they have none, the model
    /// waits until a lease ends.
    pub(super) fn has_room(&self, scope: &Scope) -> bool {
        usize::from(self.granted) < LEASES && self.keys().len() < scope.keys
    }

    pub(super) fn grant(&mut self, ttl: u8) -> u8 {
        self.leases[usize::from(self.granted)] = ttl;
        self.granted += 1;
        self.granted
    }

    /// Renews a lease. Returns `true` if it lives.
    pub(super) fn keep_alive(&mut self, lease: u8, ttl: u8) -> bool {
        let lives = self.lives(lease);
        if lives {
            self.leases[usize::from(lease) - 1] = ttl;
        }
        lives
    }

    /// Puts a key if its lease lives and its name is free. Returns `false` if the lease has ended.
    pub(super) fn put(&mut self, lease: u8, name: u8, tries: bool, scope: &Scope) -> bool {
        if !self.lives(lease) {
            return false;
        }
        let count = self.keys().len();
        if self.key_named(name).is_none() && !(tries && count > 0) && count < scope.keys {
            self.revision += 1;
            let lease = if scope.has(Flaw::KeyWithoutLease) { 0 } else { lease };
            self.keys[count] = Key { name, lease, revision: self.revision };
        }
        true
    }

    /// Reads names and create revisions of `count` keys, the youngest first.
    pub(super) fn newest_first(
        &self,
        count: usize,
        is_wanted: impl Fn(&Key) -> bool,
    ) -> Vec<(u8, i64)> {
        let keys = self.keys().iter().rev().filter(|key| is_wanted(key)).take(count);
        keys.map(|key| (key.name, key.revision.into())).collect()
    }

    /// Answers a reading, for the contender whose key of the name `own` was created at `token`.
    ///
    /// The product takes the place when the answer arrives. Here it is taken when the answer is
    /// made: the functions have the answer alone.
    pub(super) fn answer(
        &self,
        token: u8,
        own: u8,
        newest_first: &[(u8, i64)],
        scope: &Scope,
    ) -> Answer {
        let (seat, watch) = match place(token.into(), newest_first) {
            Place::Gone => (Seat::Gone, Watch::NONE),
            Place::First => (Seat::First, Watch::NONE),
            Place::Behind(before) => (Seat::Behind(()), self.watch(token, before, own, scope)),
        };
        Answer::Read { token, seat, stands: self.key_created_at(token).is_some(), watch }
    }

    fn watch(&self, token: u8, before: u8, own: u8, scope: &Scope) -> Watch {
        let after = self.keys().iter().find(|key| key.revision > token);
        let (keys, from) = watch_after(REVISION, before, own);
        let keys = match scope.flaw {
            Some(Flaw::WatchFirst) => [self.keys[0].name, own],
            Some(Flaw::WatchAfter) => [after.map_or(0, |key| key.name), own],
            Some(Flaw::WatchNothing) => [0, own],
            Some(Flaw::WatchNotOwn) => [before, 0],
            _ => keys,
        };
        let skips = u8::try_from((from - (REVISION + 1)).max(0)).expect("a few");
        Watch { keys, skips, ..Watch::NONE }
    }
}

/// A resource that refuses tokens smaller than the greatest that it has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Store {
    pub(super) greatest: u8,
    /// The number of the acquisition that wrote last.
    pub(super) last: u8,
}

impl Store {
    /// Handles a write. The judge knows the order of acquisitions; the store knows the token alone.
    pub(super) fn write(&mut self, token: u8, acquisition: u8) -> Result<(), Breach> {
        let is_accepted = token >= self.greatest;
        if is_accepted {
            self.greatest = token;
        }
        match is_accepted {
            true if acquisition < self.last => Err(Breach::WentBack),
            false if acquisition > self.last => Err(Breach::HolderRefused),
            true => {
                self.last = acquisition;
                Ok(())
            }
            false => Ok(()),
        }
    }
}
