//! Waits for the deletion of keys.
//!
//! One stream watches several keys: the gateway hands each JSON value of the request's body to the
//! watch as a message of its own. The stream stays open when the body has ended.

use std::io::BufReader;
use std::sync::Arc;

use serde_json::Value;

use super::cluster::Cluster;
use super::wire::{Bytes, Message, Number, WatchAnswer, WatchCreate, WatchRequest};
use super::{Etcd, Key, Outcome, Refusal, read, to_json};
use crate::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::transport::{Answer, Limit, Transport, of_stream};

/// The end of a watch.
#[derive(Debug)]
pub(crate) enum Watched {
    /// One of the keys was deleted.
    Deleted,
    /// The stream broke, or the server ended it.
    Failed(Error),
}

/// A watch. Dropped, it ends: its connection is closed, and its thread ends.
pub(crate) struct Watch(Transport);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.cut();
    }
}

impl Etcd {
    /// Watches `keys` from revision `from` on in a thread, which then tells the end once.
    pub(crate) fn watch(
        self: &Arc<Self>,
        keys: Vec<Key>,
        from: i64,
        tell: impl FnOnce(Watched) + Send + 'static,
    ) -> Result<Watch> {
        // A connection of its own, which is closed without harm to others.
        let transport = self.transport.apart();
        let watch = Watch(transport.clone());
        let etcd = Arc::clone(self);
        std::thread::Builder::new()
            .name("shmlock-fleet-w".into())
            .spawn(move || {
                let end = etcd.until_deleted(&transport, &keys, from);
                tell(end.map_or_else(Watched::Failed, |()| Watched::Deleted));
            })
            .map_err(|source| Error::System { operation: "start a thread that watches", source })?;
        Ok(watch)
    }

    /// Returns once one of `keys` was deleted.
    fn until_deleted(&self, transport: &Transport, keys: &[Key], from: i64) -> Result<()> {
        const PATH: &str = "/v3/watch";
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
        let answered = self.at_each_member(&mut false, |endpoint, _| {
            self.logged_in(endpoint, self.request_timeout, |login, left| {
                let answer = transport.post(endpoint, PATH, login, &body, Limit::Head(left))?;
                if answer.status == 200 {
                    return until_deleted(&self.cluster, endpoint, answer);
                }
                Ok(match read::<WatchAnswer>(&self.cluster, endpoint, PATH, answer)? {
                    Outcome::Refused(refusal) => Outcome::Refused(refusal),
                    Outcome::Accepted(_) => Outcome::Accepted(()),
                })
            })
        });
        answered.map(drop)
    }
}

/// Reads the stream until a deletion.
fn until_deleted(cluster: &Cluster, endpoint: &Endpoint, answer: Answer) -> Result<Outcome<()>> {
    let bad = |reason: String| Error::BadAnswer { endpoint: endpoint.as_str().to_owned(), reason };
    let messages = serde_json::Deserializer::from_reader(BufReader::new(answer.stream()));
    for message in messages.into_iter::<Value>() {
        let message = match message {
            Ok(message) => message,
            Err(error) if error.is_io() => return Err(of_stream(endpoint, error.into())),
            Err(error) => return Err(bad(error.to_string())),
        };
        if let Some(refusal) = Refusal::find(&message) {
            return Ok(Outcome::Refused(refusal));
        }
        cluster.check(endpoint, &message)?;
        let Message::<WatchAnswer> { result } =
            serde_json::from_value(message).map_err(|error| bad(error.to_string()))?;
        if !result.events.is_empty() {
            return Ok(Outcome::Accepted(()));
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
