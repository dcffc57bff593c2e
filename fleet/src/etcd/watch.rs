//! Waits for the deletion of keys.
//!
//! One stream watches several keys: the gateway hands each JSON value of the request's body to the
//! watch as a message of its own. The stream stays open when the body has ended.

use std::io::BufReader;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::wire::{Bytes, Message, Number, WatchAnswer, WatchCreate, WatchRequest};
use super::{Etcd, Key, Outcome, Refusal, read, to_json};
use crate::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::transport::{Answer, of_stream};

/// The end of a watch.
#[derive(Debug)]
pub(crate) enum Watched {
    /// One of the keys was deleted.
    Deleted,
    /// The time has passed.
    TimedOut,
    /// The stream broke, or the server ended it.
    Failed(Error),
}

impl Etcd {
    /// Watches `keys` from revision `from` on, for `limit` at most, in a thread. Returns the
    /// channel on which its end is told.
    ///
    /// The thread outlives a dropped channel until `limit`: a reading cannot be interrupted.
    pub(crate) fn watch(
        self: &Arc<Self>,
        keys: Vec<Key>,
        from: i64,
        limit: Duration,
    ) -> Result<Receiver<Watched>> {
        let (tell, told) = channel();
        let etcd = Arc::clone(self);
        std::thread::Builder::new()
            .name("shmlock-fleet-w".into())
            .spawn(move || {
                let end = etcd.watch_here(&keys, from, limit).unwrap_or_else(Watched::Failed);
                let _ = tell.send(end); // the waiter may have left
            })
            .map_err(|source| Error::System { operation: "start a thread that watches", source })?;
        Ok(told)
    }

    /// Returns once one of `keys` was deleted, or the time has passed.
    fn watch_here(&self, keys: &[Key], from: i64, limit: Duration) -> Result<Watched> {
        const PATH: &str = "/v3/watch";
        let begin = Instant::now();
        let body: Vec<u8> = keys
            .iter()
            .flat_map(|key| {
                to_json(&WatchRequest {
                    create_request: WatchCreate {
                        key: Bytes(key.clone()),
                        start_revision: Number(from),
                        filters: ["NOPUT"],
                    },
                })
            })
            .collect();
        self.at_each_member(|endpoint| {
            self.logged_in(endpoint, self.request_timeout, |login| {
                let left = limit.saturating_sub(begin.elapsed());
                let answer = self.transport.post(endpoint, PATH, login, &body, left)?;
                if answer.status == 200 {
                    return until_deleted(endpoint, answer);
                }
                Ok(match read::<WatchAnswer>(endpoint, PATH, answer)? {
                    Outcome::Refused(refusal) => Outcome::Refused(refusal),
                    Outcome::Accepted(_) => Outcome::Accepted(Watched::TimedOut),
                })
            })
        })
    }
}

/// Reads the stream until a deletion.
fn until_deleted(endpoint: &Endpoint, answer: Answer) -> Result<Outcome<Watched>> {
    let bad = |reason: String| Error::BadAnswer { endpoint: endpoint.as_str().to_owned(), reason };
    let messages = serde_json::Deserializer::from_reader(BufReader::new(answer.stream()));
    for message in messages.into_iter::<Value>() {
        let message = match message {
            Ok(message) => message,
            Err(error) if error.is_io() => match of_stream(endpoint, error.into()) {
                Error::Slow { .. } => return Ok(Outcome::Accepted(Watched::TimedOut)),
                error => return Err(error),
            },
            Err(error) => return Err(bad(error.to_string())),
        };
        if let Some(refusal) = Refusal::find(&message) {
            return Ok(Outcome::Refused(refusal));
        }
        let Message::<WatchAnswer> { result } =
            serde_json::from_value(message).map_err(|error| bad(error.to_string()))?;
        if !result.events.is_empty() {
            return Ok(Outcome::Accepted(Watched::Deleted));
        }
        let endpoint = endpoint.as_str().to_owned();
        if result.compact_revision.0 != 0 {
            return Err(Error::Compacted { endpoint, oldest: result.compact_revision.0 });
        }
        if result.canceled {
            let refusal = Refusal { code: 0, message: result.cancel_reason };
            return Ok(Outcome::Refused(refusal));
        }
    }
    Err(Error::NoServer {
        endpoint: endpoint.as_str().to_owned(),
        source: "it has ended the watch".into(),
    })
}
