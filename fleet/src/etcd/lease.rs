//! Grants, keeps alive and revokes leases.

use std::time::Duration;

use super::Etcd;
use super::wire::{GrantRequest, LeaseAnswer, LeaseRequest, Message, Number};
use crate::error::{Error, Result};

/// A new lease.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Granted {
    pub(crate) id: i64,
    /// The server's choice, which may be longer than the request: etcd has a shortest TTL, about
    /// one and a half election timeouts.
    pub(crate) ttl: Duration,
}

/// The answer to a keep-alive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeptAlive {
    /// The TTL in seconds. 0 says that the lease has ended: etcd reports an unknown lease so, and
    /// not by an error.
    pub(crate) ttl: i64,
    /// The term of the member before it renewed the lease.
    pub(crate) term: u64,
}

impl Etcd {
    pub(crate) fn grant(&self, ttl: Duration, limit: Duration) -> Result<Granted> {
        let seconds = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
        let request = GrantRequest { ttl: Number(seconds) };
        let answer: LeaseAnswer = self.call("/v3/lease/grant", &request, limit)?;
        match (answer.id.0, u64::try_from(answer.ttl.0)) {
            (id, Ok(seconds @ 1..)) if id != 0 => {
                Ok(Granted { id, ttl: Duration::from_secs(seconds) })
            }
            _ => Err(self.bad_answer("a lease without a number or a TTL")),
        }
    }

    pub(crate) fn keep_alive(&self, id: i64, limit: Duration) -> Result<KeptAlive> {
        let request = LeaseRequest { id: Number(id) };
        let Message { result }: Message<LeaseAnswer> =
            self.call("/v3/lease/keepalive", &request, limit)?;
        if result.id.0 != id {
            return Err(self.bad_answer("a keep-alive of another lease"));
        }
        Ok(KeptAlive { ttl: result.ttl.0, term: result.header.raft_term.0 })
    }

    /// Revokes a lease. A lease that has ended already is no error.
    pub(crate) fn revoke(&self, id: i64, limit: Duration) -> Result<()> {
        let request = LeaseRequest { id: Number(id) };
        match self.call::<LeaseAnswer>("/v3/lease/revoke", &request, limit) {
            Err(Error::Refused { message, code, .. })
                if (super::Refusal { code, message: message.clone() }).is_lease_unknown() =>
            {
                Ok(())
            }
            outcome => outcome.map(drop),
        }
    }
}
