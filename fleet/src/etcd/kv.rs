//! Puts, reads in order and deletes the keys of the contenders.

use std::time::{Duration, Instant};

use super::wire::{
    Bytes, Compare, DeleteRequest, Number, Operation, PutRequest, RangeAnswer, RangeRequest,
    TxnAnswer, TxnRequest,
};
use super::{Answered, Etcd};
use crate::error::Result;
use crate::protocol::from_own;

/// The name of a contender's key.
pub(crate) type Key = Vec<u8>;

/// A reading of the own key and the one before it.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    /// Names and create revisions, the youngest first: the own key, then the one before it.
    pub(crate) newest_first: Vec<(Key, i64)>,
    /// The store's revision at the reading. Changes after it have higher ones.
    pub(crate) revision: i64,
    /// The term of the member after the reading.
    pub(crate) term: u64,
    /// The place of its endpoint in the list.
    pub(crate) member: usize,
}

impl Look {
    pub(super) fn at(member: usize, answer: RangeAnswer) -> Self {
        let found = answer.kvs.into_iter().map(|kv| (kv.key.0, kv.create_revision.0));
        Self {
            newest_first: found.collect(),
            revision: answer.header.revision.0,
            term: answer.header.raft_term.0,
            member,
        }
    }
}

impl Etcd {
    /// Returns the name of the key that belongs to a lease.
    pub(crate) fn key_of(&self, lease: i64) -> Key {
        format!("{}{lease:016x}", self.prefix).into_bytes()
    }

    /// Puts the key of `lease` if it is not there. Returns its create revision, and the reading in
    /// the same transaction.
    ///
    /// With `only_first`, the key is put only if the lock has no key at all; `None` if it has.
    pub(crate) fn put(
        &self,
        lease: i64,
        value: &[u8],
        only_first: bool,
        limit: Duration,
    ) -> Result<Option<(i64, Look)>> {
        let key = Bytes(self.key_of(lease));
        // An absent key has create revision 0. A comparison of a range holds for each key in it.
        let (first, end) = if only_first {
            (Bytes(self.prefix.clone().into_bytes()), self.end())
        } else {
            (key.clone(), Bytes::default())
        };
        let request = TxnRequest {
            compare: vec![Compare {
                target: "CREATE",
                result: "EQUAL",
                key: first,
                range_end: end,
                create_revision: Number(0),
            }],
            success: vec![
                Operation::Put(PutRequest {
                    key: key.clone(),
                    value: Bytes(value.to_vec()),
                    lease: Number(lease),
                }),
                // Later operations see the effects of earlier ones.
                Operation::Range(self.own_and_before(i64::MAX)),
            ],
            // The answer to an earlier copy of this request was lost. Other keys may have come
            // after ours, so all of them are read.
            failure: vec![Operation::Range(RangeRequest {
                limit: Number(0),
                ..self.own_and_before(i64::MAX)
            })],
        };
        let Answered::<TxnAnswer> { answer, member } =
            self.call_in_doubt("/v3/kv/txn", &request, limit, &mut false)?;
        let Some(mut range) = answer.responses.into_iter().find_map(|part| part.response_range)
        else {
            return Err(self.bad_answer("a transaction without its reading"));
        };
        // The header of a reading in a transaction has no term.
        range.header = answer.header;
        let mut look = Look::at(member, range);
        let Some((token, newest_first)) = from_own(&key.0, look.newest_first) else {
            if only_first && !answer.succeeded {
                return Ok(None);
            }
            return Err(self.bad_answer("a transaction without the key that it put"));
        };
        if token < 1 {
            return Err(self.bad_answer("a key whose create revision is not positive"));
        }
        self.cluster.check_token(token, member, &self.endpoints[member])?;
        look.newest_first = newest_first;
        Ok(Some((token, look)))
    }

    /// Reads the key that was created at `token` and the one before it. The reading is
    /// linearizable: a majority confirms it.
    pub(crate) fn look(&self, token: i64, limit: Duration) -> Result<Look> {
        let request = self.own_and_before(token);
        let Answered { answer, member } =
            self.call_in_doubt("/v3/kv/range", &request, limit, &mut false)?;
        Ok(Look::at(member, answer))
    }

    /// Reads the first contender: its create revision and its owner record.
    pub(crate) fn first(&self, limit: Duration) -> Result<Option<(i64, Vec<u8>)>> {
        let request = RangeRequest {
            limit: Number(1),
            sort_order: "ASCEND",
            keys_only: false,
            ..self.own_and_before(i64::MAX)
        };
        let answer: RangeAnswer = self.call("/v3/kv/range", &request, limit)?;
        Ok(answer.kvs.into_iter().next().map(|kv| (kv.create_revision.0, kv.value.0)))
    }

    /// Deletes the key of `lease` if it was created at `token`. Returns `true` if it was there.
    pub(crate) fn delete(&self, lease: i64, token: i64, limit: Duration) -> Result<bool> {
        self.delete_key(self.key_of(lease), token, limit)
    }

    /// Deletes a key if it was created at `token`. Returns `true` if it was there.
    ///
    /// If a member was asked and has not answered, and the next request does not find the key, the
    /// first one may have deleted it: the key then counts as found, since a lost answer is the far
    /// likelier cause. A member that has refused the connection has deleted nothing. If no member
    /// answers, all are asked once more in the time that is left.
    pub(crate) fn delete_key(&self, key: Key, token: i64, limit: Duration) -> Result<bool> {
        let key = Bytes(key);
        let request = TxnRequest {
            compare: vec![Compare {
                target: "CREATE",
                result: "EQUAL",
                key: key.clone(),
                range_end: Bytes::default(),
                create_revision: Number(token),
            }],
            success: vec![Operation::Delete(DeleteRequest { key })],
            failure: vec![],
        };
        let begin = Instant::now();
        let mut is_in_doubt = false;
        let mut ask = |limit| {
            self.call_in_doubt::<TxnAnswer>("/v3/kv/txn", &request, limit, &mut is_in_doubt)
        };
        let answered = match ask(limit) {
            // Once more: this also reads whether the key is there, and deletes the key if it is.
            Err(error) if error.is_passing() => {
                let left = limit.saturating_sub(begin.elapsed());
                if left.is_zero() { Err(error) } else { ask(left) }
            }
            answered => answered,
        }?;
        Ok(answered.answer.succeeded || is_in_doubt)
    }

    /// Returns the request for the two youngest keys that were created at `token` or before.
    pub(super) fn own_and_before(&self, token: i64) -> RangeRequest {
        RangeRequest {
            key: Bytes(self.prefix.clone().into_bytes()),
            range_end: self.end(),
            limit: Number(2),
            sort_target: "CREATE",
            sort_order: "DESCEND",
            min_create_revision: Number(0),
            max_create_revision: Number(token),
            keys_only: true, // a foreign value may be longer than an answer
        }
    }

    /// Returns the end of the keys under the prefix: its last byte, `/`, is followed by `0`.
    fn end(&self) -> Bytes {
        let mut end = self.prefix.clone().into_bytes();
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        Bytes(end)
    }
}
