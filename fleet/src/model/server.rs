//! Models the servers: keys, leases, terms, and the fenced store.

use super::flaw::Flaw;

/// The TTL in ticks.
pub(super) const TTL: u8 = 3;

/// A request of a contender. Leases are numbered in the order of their grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Request {
    Grant,
    Put { lease: u8 },
    Look,
    KeepAlive { lease: u8 },
    Release { lease: u8, revision: i64 },
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    Granted { lease: u8 },
    Keys { keys: Vec<Key>, term: u8 },
    Kept { is_alive: bool, term: u8 },
    NoLease,
    Released,
}

/// A key. Its name is that of the contender and the lease for which it was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) name: (usize, u8),
    /// The lease to which it is bound; 0 for none.
    lease: u8,
    pub(super) revision: i64,
}

/// A lease, until the instant at which it may expire on the leader's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Lease {
    pub(super) number: u8,
    pub(super) expires: u8,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Server {
    pub(super) now: u8,
    pub(super) term: u8,
    revision: i64,
    next_lease: u8,
    pub(super) leases: Vec<Lease>,
    pub(super) keys: Vec<Key>,
}

impl Server {
    /// Handles a request of a contender at the leader.
    pub(super) fn handle(&mut self, who: usize, request: Request, flaw: Option<Flaw>) -> Answer {
        match request {
            Request::Grant => {
                self.next_lease += 1;
                let number = self.next_lease;
                self.leases.push(Lease { number, expires: self.now + TTL });
                Answer::Granted { lease: number }
            }
            Request::Put { lease } => {
                if !self.has(lease) {
                    return Answer::NoLease;
                }
                let name = (who, lease);
                if self.keys.iter().all(|key| key.name != name) {
                    self.revision += 1;
                    let lease = if flaw == Some(Flaw::KeyWithoutLease) { 0 } else { lease };
                    self.keys.push(Key { name, lease, revision: self.revision });
                }
                self.read()
            }
            Request::Look => self.read(),
            Request::KeepAlive { lease } => {
                let expires = self.now + TTL;
                let found = self.leases.iter_mut().find(|found| found.number == lease);
                let is_alive = found.map(|found| found.expires = expires).is_some();
                Answer::Kept { is_alive, term: self.term }
            }
            Request::Release { lease, revision } => {
                self.keys.retain(|key| key.name != (who, lease) || key.revision != revision);
                self.end(lease);
                Answer::Released
            }
        }
    }

    /// Handles a keep-alive at the former leader, whose answer is worth nothing.
    pub(super) fn handle_as_former_leader(&self, request: Request) -> Option<Answer> {
        match request {
            Request::KeepAlive { .. } if self.term > 0 => {
                Some(Answer::Kept { is_alive: true, term: self.term - 1 })
            }
            _ => None,
        }
    }

    /// Elects a leader, which counts each lease from its full TTL.
    pub(super) fn elect(&mut self) {
        self.term += 1;
        for lease in &mut self.leases {
            lease.expires = self.now + TTL;
        }
    }

    /// Ends a lease with its key.
    pub(super) fn end(&mut self, lease: u8) {
        self.leases.retain(|found| found.number != lease);
        self.keys.retain(|key| key.lease != lease);
    }

    /// Returns how many leases were granted.
    pub(super) fn granted(&self) -> u8 {
        self.next_lease
    }

    pub(super) fn has(&self, lease: u8) -> bool {
        self.leases.iter().any(|found| found.number == lease)
    }

    fn read(&self) -> Answer {
        Answer::Keys { keys: self.keys.clone(), term: self.term }
    }
}

/// A resource that refuses tokens smaller than the greatest it has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Store {
    greatest: i64,
    /// The number of the acquisition that wrote last.
    pub(super) last: u8,
}

impl Store {
    /// Returns `true` if it accepts the write of this acquisition.
    pub(super) fn write(&mut self, token: i64, acquisition: u8) -> bool {
        if token < self.greatest {
            return false;
        }
        (self.greatest, self.last) = (token, acquisition);
        true
    }
}
