//! Models the servers: leases, keys in the order of their creation, and the fenced store.

use super::flaw::Flaw;
use super::scope::{Breach, Scope};
use super::world::{Answer, Keep, Seat, Watch, World};
use crate::protocol::{Place, place};

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

    /// Answers a reading of the key that was created at `token` and the one before it.
    ///
    /// The product takes the place when the answer arrives. Here it is taken when the answer is
    /// made: the function has the answer alone.
    pub(super) fn read(&self, token: u8, scope: &Scope) -> Answer {
        let newest_first: Vec<(u8, i64)> = self
            .keys()
            .iter()
            .rev()
            .filter(|key| key.revision <= token)
            .take(2)
            .map(|key| (key.name, i64::from(key.revision)))
            .collect();
        let own = newest_first.first().map_or(0, |&(name, _)| name);
        let (seat, before) = match place(i64::from(token), &newest_first) {
            Place::Gone => (Seat::Gone, 0),
            Place::First => (Seat::First, 0),
            Place::Behind(before) => (Seat::Behind, before),
        };
        let after = self.keys().iter().find(|key| key.revision > token);
        let keys = match scope.flaw {
            _ if seat != Seat::Behind => [0, 0],
            Some(Flaw::WatchFirst) => [self.keys[0].name, own],
            Some(Flaw::WatchAfter) => [after.map_or(0, |key| key.name), own],
            Some(Flaw::WatchNothing) => [0, own],
            Some(Flaw::WatchNotOwn) => [before, 0],
            _ => [before, own],
        };
        Answer::Read { token, seat, watch: Watch { keys, ..Watch::NONE } }
    }
}

impl World {
    /// Ends a lease with its keys.
    pub(super) fn end(&mut self, lease: u8) -> Result<(), Breach> {
        self.server.leases[usize::from(lease) - 1] = ENDED;
        while let Some(key) = self.server.keys().iter().find(|key| key.lease == lease) {
            self.delete(key.revision)?;
        }
        Ok(())
    }

    /// Deletes a key, and tells the watches of it. They begin at the revision after a reading, so
    /// they see a deletion from the reading on, whenever they are asked for. (From the reading's
    /// own revision on they would see no more: the key stood then.)
    pub(super) fn delete(&mut self, revision: u8) -> Result<(), Breach> {
        let keys = self.server.keys();
        let Some(index) = keys.iter().position(|key| key.revision == revision) else {
            return Ok(());
        };
        let name = keys[index].name;
        let next = keys.get(index + 1).map(|key| key.revision);
        for one in &mut self.contenders {
            let token = match one.answer {
                Answer::Read { token, .. } => token,
                _ => one.token,
            };
            let watch = match &mut one.answer {
                Answer::Read { watch, .. } => watch,
                _ => &mut one.watch,
            };
            if watch.silent == 0 && watch.keys.contains(&name) && !watch.is_told {
                watch.is_told = true;
                if token != revision && next != Some(token) {
                    return Err(Breach::WokenInVain);
                }
            }
        }
        self.server.keys.copy_within(index + 1.., index);
        self.server.keys[KEYS - 1] = Key::NONE;
        Ok(())
    }

    /// Releases: deletes the key if it is the own one, then revokes the lease.
    ///
    /// Without the comparison, the deletion would hit a key of the same name that a late put has
    /// made. That key is bound to the same lease, and the revocation deletes it anyway. Without
    /// the revocation, such a key and the lease stay for a TTL: the progress has that case, because
    /// the request to revoke may be lost.
    pub(super) fn release(&mut self, lease: u8, name: u8, token: u8) -> Result<(), Breach> {
        self.delete_own(name, token)?;
        if self.server.lives(lease) { self.end(lease) } else { Ok(()) }
    }

    pub(super) fn delete_own(&mut self, name: u8, token: u8) -> Result<(), Breach> {
        match self.server.key_named(name) {
            Some(key) if key.revision == token => self.delete(token),
            _ => Ok(()),
        }
    }

    /// Elects a leader, which counts each lease from its full TTL (etcd pull request 4778).
    ///
    /// A restart of the whole cluster is the same, with every request and every watch lost.
    pub(super) fn elect(&mut self, ttl: u8) {
        for lease in &mut self.server.leases {
            if *lease != ENDED {
                *lease = ttl;
            }
        }
        for one in &mut self.contenders {
            match &mut one.keep {
                Keep::Kept { is_stale, .. } | Keep::ReadFirst { is_stale, .. } => *is_stale = true,
                Keep::None | Keep::Read { .. } => {}
            }
        }
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
