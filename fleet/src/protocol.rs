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
//!    deadline has not passed ([`next`]). Else it watches the key before it, and its own, from the
//!    revision after this reading ([`watch_after`]), and reads again when either is deleted. *If
//!    we die here*, the successor finds the place of our key empty after the TTL.
//! 4. All the time it renews the lease. A renewal counts only if [`judge`] accepts it: the deadline
//!    then moves to `s + TTL - margin`, where `s` is the instant at which the keep-alive was
//!    **sent** ([`LeaseState::renew`](crate::lease_state::LeaseState::renew)).
//! 5. At its own deadline the lock is lost, whatever any server says, and stays lost
//!    ([`LeaseState::loss`](crate::lease_state::LeaseState::loss)).
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
use crate::loss::Loss;

/// Returns the instant at which a lease counts as ended, for a request that was sent at `sent`.
///
/// The server starts to count when it receives the request, so not before `sent`. The margin pays
/// for two clocks that do not run equally fast.
pub(crate) fn own_deadline(sent: BootInstant, ttl: Duration, margin: Duration) -> BootInstant {
    sent.after(ttl.saturating_sub(margin))
}

/// Returns the part of a reading that begins with the own key, and the token: the create revision
/// of that key. `None` if the reading does not have the own key.
///
/// Other keys may have come after it, if the answer to an earlier copy of the put was lost.
pub(crate) fn from_own<K: PartialEq>(
    own: &K,
    mut newest_first: Vec<(K, i64)>,
) -> Option<(i64, Vec<(K, i64)>)> {
    let index = newest_first.iter().position(|(key, _)| key == own)?;
    newest_first.drain(..index);
    Some((newest_first[0].1, newest_first))
}

/// The place of a contender among the keys of the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// What a contender does after a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next<K> {
    /// It ends this stay: its lease or its key is gone.
    Leave(Loss),
    /// It holds the lock.
    Hold,
    /// It watches this key, and its own.
    Watch(K),
}

/// Returns what a contender does at this place, whose lease is lost or not.
pub(crate) fn next<K>(place: Place<K>, loss: Option<Loss>) -> Next<K> {
    match (loss, place) {
        (Some(loss), _) => Next::Leave(loss),
        (None, Place::Gone) => Next::Leave(Loss::KeyGone),
        (None, Place::First) => Next::Hold,
        (None, Place::Behind(before)) => Next::Watch(before),
    }
}

/// Returns the keys that a contender watches after a reading at `revision`, and the first revision
/// whose changes it has to be told.
///
/// With a later one, it would oversleep a deletion that comes between the reading and the watch.
pub(crate) fn watch_after<K>(revision: i64, before: K, own: K) -> ([K; 2], i64) {
    ([before, own], revision.saturating_add(1))
}

/// Returns the create revision of the own key at a reading; `None` if there is no such key.
pub(crate) fn own_revision<K: PartialEq>(own: &K, reading: &[(K, i64)]) -> Option<i64> {
    reading.iter().find(|(key, _)| key == own).map(|&(_, revision)| revision)
}

/// What a keep-alive and the reading after it showed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Renewal {
    /// The TTL of the keep-alive's answer in seconds; 0 if the lease has ended.
    pub(crate) ttl: i64,
    /// The term in the keep-alive's header.
    pub(crate) renewed_in: u64,
    /// [`own_revision`] at the reading.
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

    use super::{Next, Place, Renewal, Verdict};
    use super::{from_own, judge, next, own_deadline, own_revision, place, watch_after};
    use crate::clock::BootInstant;
    use crate::loss::Loss;

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
    fn the_first_place_is_the_lock_while_the_lease_lives() {
        assert_eq!(next(Place::<u8>::First, None), Next::Hold);
        assert_eq!(next(Place::Behind("before"), None), Next::Watch("before"));
        assert_eq!(next(Place::<u8>::Gone, None), Next::Leave(Loss::KeyGone));
        for place in [Place::First, Place::Behind(1), Place::Gone] {
            assert_eq!(next(place, Some(Loss::Expired)), Next::Leave(Loss::Expired));
        }
        assert_eq!(watch_after(9, "before", "own"), (["before", "own"], 10));
    }

    #[test]
    fn the_own_key_is_found_by_its_name() {
        let reading = vec![("later", 9), ("own", 7), ("before", 5)];
        assert_eq!(own_revision(&"own", &reading), Some(7));
        assert_eq!(own_revision(&"other", &reading), None);
        assert_eq!(from_own(&"other", reading.clone()), None);
        assert_eq!(from_own(&"own", reading), Some((7, vec![("own", 7), ("before", 5)])));
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
