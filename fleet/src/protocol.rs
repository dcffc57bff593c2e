//! Makes the decisions of the protocol, without a network and without a clock.
//!
//! # The protocol
//!
//! A contender is one process of one machine: it holds the local lock of the same name.
//!
//! 1. It asks for a lease. The request was sent at `t`; the answer states the TTL. The lease's
//!    **own deadline** is `t + TTL - margin` ([`own_deadline`]).
//!    *If we die here*, the lease expires.
//! 2. It puts a key of its own under the lock's prefix, bound to the lease, by one transaction that
//!    does so only if the key is not there. The key's name contains the lease, so a key that is
//!    there already is the effect of the same request, whose answer was lost. The key's create
//!    revision is the **fencing token**. *If we die here*, the key goes with the lease.
//! 3. It reads its own key and the key before it, in the order of create revisions ([`place`]).
//!    No own key: the lease has ended; back to 1. No key before it: it holds the lock, if its own
//!    deadline has not passed. Else it watches the key before it, and its own, from the revision
//!    after this reading, and reads again when either is deleted. *If we die here*, the successor
//!    finds the place of our key empty after the TTL.
//! 4. All the time it renews the lease. A renewal counts only if [`judge`] accepts it: the deadline
//!    then moves to `s + TTL - margin`, where `s` is the instant at which the keep-alive was
//!    **sent**.
//! 5. Past its own deadline the lock is lost, whatever any server says, and stays lost.
//! 6. Release deletes the key if it still has our create revision, and revokes the lease.
//!
//! # Why a renewal is confirmed by a reading
//!
//! A former leader that does not know of its fall answers keep-alives out of its own memory, while
//! its successor counts the same lease to its end (etcd issue 15247; refused since pull request
//! 16822). So a linearizable reading of the own key follows each keep-alive. Its header names the
//! Raft term. The member fills the keep-alive's header *before* it renews
//! (`server/etcdserver/api/v3rpc/lease.go`). If both terms are equal, no later leader was elected
//! before the reading, because a majority has confirmed the reading in a term at least as high. So
//! the leader that renewed the lease was the leader.
//!
//! A new leader counts every lease from its full TTL again (etcd pull request 4778): an election
//! only prolongs leases.

use std::time::Duration;

use crate::clock::BootInstant;

/// Returns the instant at which a lease counts as ended, for a request that was sent at `sent`.
///
/// The server starts to count when it receives the request, so not before `sent`. The margin pays
/// for two clocks that do not run equally fast.
pub(crate) fn own_deadline(sent: BootInstant, ttl: Duration, margin: Duration) -> BootInstant {
    sent.after(ttl.saturating_sub(margin))
}

/// The place of a contender among the keys of the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place<K> {
    /// Its own key is gone, or another key has its name.
    Gone,
    /// Its own key has the smallest create revision.
    First,
    /// This key is the one before its own.
    Behind(K),
}

/// Returns the place of the key that was created at `token`.
///
/// `newest_first` has the keys that were created at `token` or before, the youngest first.
pub(crate) fn place<K: Clone>(token: i64, newest_first: &[(K, i64)]) -> Place<K> {
    match newest_first {
        [(_, own), ..] if *own != token => Place::Gone,
        [] => Place::Gone,
        [_] => Place::First,
        [_, (before, _), ..] => Place::Behind(before.clone()),
    }
}

/// What a keep-alive and the reading after it showed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Renewal {
    /// The TTL of the keep-alive's answer in seconds; 0 if the lease has ended.
    pub(crate) ttl: i64,
    /// The term in the keep-alive's header.
    pub(crate) renewed_in: u64,
    /// The create revision of the own key at the reading; `None` if there was no key.
    pub(crate) own_revision: Option<i64>,
    /// The term in the reading's header.
    pub(crate) read_in: u64,
}

/// The meaning of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The lease lives, and the key stands: the deadline moves.
    Renewed,
    /// An election came between. The deadline stays, and the renewal is repeated.
    Unconfirmed,
    /// The lease has ended.
    Expired,
    /// The own key was deleted.
    KeyGone,
}

/// Returns the meaning of a renewal for the contender whose key was created at `token`.
pub(crate) fn judge(token: i64, renewal: Renewal) -> Verdict {
    if renewal.own_revision != Some(token) {
        Verdict::KeyGone
    } else if renewal.ttl <= 0 {
        Verdict::Expired
    } else if renewal.renewed_in != renewal.read_in {
        Verdict::Unconfirmed
    } else {
        Verdict::Renewed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Place, Renewal, Verdict, judge, own_deadline, place};
    use crate::clock::BootInstant;

    #[test]
    fn a_deadline_counts_from_the_request_and_leaves_a_margin() {
        let sent = BootInstant::from_nanos(1_000);
        let [ttl, margin] = [5_000, 2_000].map(Duration::from_nanos);
        assert_eq!(own_deadline(sent, ttl, margin), BootInstant::from_nanos(4_000));
        assert_eq!(own_deadline(sent, margin, ttl), sent, "never before the request");
    }

    #[test]
    fn the_smallest_create_revision_is_first() {
        assert_eq!(place(7, &[("own", 7)]), Place::First);
        assert_eq!(place(7, &[("own", 7), ("before", 5)]), Place::Behind("before"));
        assert_eq!(place(7, &[("before", 5)]), Place::Gone);
        assert_eq!(place::<&str>(7, &[]), Place::Gone);
    }

    #[test]
    fn a_renewal_needs_the_lease_the_key_and_one_term() {
        let good = Renewal { ttl: 5, renewed_in: 2, own_revision: Some(7), read_in: 2 };
        assert_eq!(judge(7, good), Verdict::Renewed);
        assert_eq!(judge(7, Renewal { ttl: 0, ..good }), Verdict::Expired);
        assert_eq!(judge(7, Renewal { read_in: 3, ..good }), Verdict::Unconfirmed);
        assert_eq!(judge(7, Renewal { own_revision: None, ..good }), Verdict::KeyGone);
        assert_eq!(judge(8, good), Verdict::KeyGone, "the key of another contender");
    }
}
