//! Carries what happens at the servers on to the contenders: deletions wake their watches, and an
//! election makes their answers stale.

use super::scope::Breach;
use super::server::{Answer, ENDED, KEYS, Key};
use super::world::{Keep, World};

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
            if watch.skips > 0 {
                watch.skips -= 1;
            } else if watch.silent == 0 && watch.keys.contains(&name) && !watch.is_told {
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
