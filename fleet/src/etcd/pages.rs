//! Reads all keys under a prefix, one page after the other.

use std::time::{Duration, Instant};

use super::Etcd;
use super::wire::{Bytes, KeyValue, Number, RangeAnswer, RangeRequest};
use crate::error::{Error, Result};

/// How many keys one answer may have: with values of this library some 200 bytes each.
const PAGE: i64 = 512;

impl Etcd {
    /// Reads all keys under the prefix with their values, in the order of their names.
    ///
    /// A key that stands all the time is read. One that comes or goes meanwhile may be missed. A
    /// value that is too long for an answer is read as an empty one.
    pub(crate) fn all(&self, limit: Duration) -> Result<Vec<KeyValue>> {
        let begin = Instant::now();
        let mut found = Vec::new();
        let mut page = RangeRequest {
            limit: Number(PAGE),
            sort_target: "KEY",
            sort_order: "ASCEND",
            keys_only: false,
            ..self.own_and_before(0)
        };
        loop {
            let left = limit.saturating_sub(begin.elapsed());
            match self.call::<RangeAnswer>("/v3/kv/range", &page, left) {
                Ok(answer) => {
                    let is_last = !answer.more || answer.kvs.is_empty();
                    found.extend(answer.kvs);
                    let Some(last) = found.last().filter(|_| !is_last) else { return Ok(found) };
                    page.key = Bytes([&last.key.0[..], &[0]].concat());
                    (page.limit, page.keys_only) = (Number(PAGE), false);
                }
                // Hostile values: fewer at a time, and at last a key without its value.
                Err(Error::TooLong { .. }) if page.limit.0 > 1 => page.limit.0 /= 2,
                Err(Error::TooLong { .. }) if !page.keys_only => page.keys_only = true,
                Err(error) => return Err(error),
            }
        }
    }

    /// Finds the key under the prefix that was created at `token`.
    pub(crate) fn created_at(&self, token: i64, limit: Duration) -> Result<Option<Vec<u8>>> {
        let request = RangeRequest {
            limit: Number(1),
            min_create_revision: Number(token),
            keys_only: true,
            ..self.own_and_before(token)
        };
        let answer: RangeAnswer = self.call("/v3/kv/range", &request, limit)?;
        let found = answer.kvs.into_iter().find(|kv| kv.create_revision.0 == token);
        Ok(found.map(|kv| kv.key.0))
    }
}
