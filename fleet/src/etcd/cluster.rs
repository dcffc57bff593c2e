//! Checks that all endpoints lead to one cluster.
//!
//! A lock that is kept in two clusters has two holders. Each answer names its cluster, and each
//! name is compared with the first one. The name alone proves nothing: etcd computes it from the
//! members' addresses for each other and a word, so two members that were started with the defaults
//! have the same name. So each endpoint is also asked for the own key, which only the cluster has
//! in which it was put.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::wire::RangeAnswer;
use super::{Etcd, Key, Look, read, to_json, until};
use crate::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::transport::Limit;

/// What the endpoints have shown of their cluster. The clients of one handle share it.
#[derive(Default)]
pub(super) struct Cluster(Mutex<State>);

#[derive(Default)]
struct State {
    /// The cluster that has answered first.
    first: Option<Named>,
    /// The greatest token of an own key, and the endpoint at which it was put.
    newest: Option<(i64, String)>,
    /// The endpoints that have shown the own key, by their places in the list.
    shown: BTreeSet<usize>,
    /// The endpoints that lack a key, each with the name of the endpoint at which the key was put.
    /// The two clusters have the same name, so no answer would show such an endpoint again.
    lacking: BTreeMap<usize, String>,
    /// The last contradiction: the endpoint of the cluster in use, and that of another.
    other: Option<(Named, Named)>,
    /// `true` if a contender has waited for the endpoints without a contradiction.
    has_waited: bool,
    /// The endpoints that a thread asks.
    asked: BTreeSet<usize>,
}

/// An endpoint, and the name of its cluster.
#[derive(Clone)]
struct Named {
    id: u64,
    endpoint: String,
}

/// The own key, which each endpoint has to show.
#[derive(Clone)]
struct Proof {
    key: Key,
    token: i64,
    /// The endpoint at which it was put, or read.
    home: usize,
}

/// Threads that ask endpoints. Dropped, they go on.
struct Asking(Receiver<()>);

impl Asking {
    /// Waits until all have ended, for `limit` at most.
    fn wait(&self, limit: Duration) {
        // Nothing is ever sent: an error is the time limit, or the end of the last sender.
        let _ = self.0.recv_timeout(limit);
    }
}

/// One endpoint that is asked. Its drop notes the end of the question.
struct Asked {
    etcd: Arc<Etcd>,
    index: usize,
    _told: Sender<()>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.etcd.cluster.state().asked.remove(&self.index);
    }
}

impl State {
    /// Returns an endpoint of a cluster that has the name of the first one.
    fn named(&self, endpoint: &str) -> Named {
        let id = self.first.as_ref().map_or(0, |first| first.id);
        Named { id, endpoint: endpoint.to_owned() }
    }
}

impl Cluster {
    /// Compares the name of the cluster in an answer with the first one. An answer without a name
    /// is none of etcd's own; its other parts decide.
    pub(super) fn check(&self, endpoint: &Endpoint, answer: &Value) -> Result<()> {
        let Some(id) = name_in(answer) else { return Ok(()) };
        let mut state = self.state();
        let named = || Named { id, endpoint: endpoint.as_str().to_owned() };
        match &state.first {
            None => state.first = Some(named()),
            Some(first) if first.id == id => {}
            Some(first) => return Err(contradiction(first, &named())),
        }
        Ok(())
    }

    /// Checks the token of a new own key, which this endpoint has put: in one cluster it is greater
    /// than those before it. An endpoint that contradicts is refused from then on.
    pub(super) fn check_token(&self, token: i64, member: usize, endpoint: &Endpoint) -> Result<()> {
        let mut state = self.state();
        let newest = state.newest.as_ref().filter(|(newest, _)| *newest >= token);
        let newest = newest.map(|(_, place)| place.clone());
        if let Some(first) = newest.or_else(|| state.lacking.get(&member).cloned()) {
            state.lacking.insert(member, first.clone());
            return Err(contradiction(&state.named(&first), &state.named(endpoint.as_str())));
        }
        state.newest = Some((token, endpoint.as_str().to_owned()));
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Etcd {
    /// Returns the error of an endpoint that has shown that it is of another cluster.
    pub(crate) fn check_endpoints(&self) -> Result<()> {
        match &self.cluster.state().other {
            Some((first, other)) => Err(contradiction(first, other)),
            None => Ok(()),
        }
    }

    /// Asks each endpoint for the key that was just put, and waits for those that answer.
    ///
    /// The first contender of a handle waits for `limit` at most, and later ones do not wait: an
    /// endpoint that is silent would delay each acquisition. What it shows later is found by
    /// [`check_endpoints`](Self::check_endpoints).
    pub(crate) fn compare_endpoints(
        self: &Arc<Self>,
        lease: i64,
        token: i64,
        home: usize,
        limit: Duration,
    ) -> Result<()> {
        {
            let mut state = self.cluster.state();
            state.other = None;
            if !state.shown.contains(&home) {
                // It has not shown an earlier key: the others have to be compared with it.
                state.shown = BTreeSet::from([home]);
                state.has_waited = false;
            }
        }
        let asking = self.ask_others(lease, token, home)?;
        let has_waited = self.cluster.state().has_waited;
        if !has_waited {
            asking.wait(limit);
        }
        self.check_endpoints()?;
        self.cluster.state().has_waited = true;
        Ok(())
    }

    /// Asks the endpoints that have not shown the own key yet, without waiting for them.
    pub(crate) fn remind_endpoints(self: &Arc<Self>, lease: i64, token: i64, home: usize) {
        self.cluster.state().shown.insert(home);
        let _ = self.ask_others(lease, token, home); // without a thread: at the next renewal
    }

    /// Starts a thread for each endpoint that has not shown the own key, and is not asked already.
    fn ask_others(self: &Arc<Self>, lease: i64, token: i64, home: usize) -> Result<Asking> {
        let others: Vec<usize> = {
            let state = self.cluster.state();
            let is_open =
                |index: &usize| !state.shown.contains(index) && !state.asked.contains(index);
            (0..self.endpoints.len()).filter(is_open).collect()
        };
        let (told, asking) = channel();
        let proof = Proof { key: self.key_of(lease), token, home };
        for index in others {
            self.cluster.state().asked.insert(index);
            let asked = Asked { etcd: Arc::clone(self), index, _told: told.clone() };
            let proof = proof.clone();
            std::thread::Builder::new()
                .name("shmlock-fleet-c".into())
                .spawn(move || asked.etcd.ask(index, &proof))
                .map_err(|source| Error::System {
                    operation: "start a thread that asks an endpoint",
                    source,
                })?;
        }
        Ok(Asking(asking))
    }

    /// Asks one endpoint for the own key, and keeps what it shows. One that fails is asked again
    /// later.
    fn ask(&self, index: usize, proof: &Proof) {
        let end = Instant::now().checked_add(self.request_timeout);
        let ask = |index| self.shows(index, proof, end.map_or(self.request_timeout, until));
        let shown = ask(index);
        // The key may be gone: then it is not at home either. The endpoint is asked twice, because
        // releases of etcd have read stale states after a pause (issue 20418).
        let lacks = matches!(shown, Ok(false))
            && matches!((ask(proof.home), ask(index)), (Ok(true), Ok(false)));
        let mut state = self.cluster.state();
        match shown {
            // Else the comparison has begun anew, with another endpoint.
            Ok(true) if state.shown.contains(&proof.home) => {
                state.shown.insert(index);
                state.lacking.remove(&index);
            }
            Ok(false) if lacks => {
                let [home, at] = [proof.home, index].map(|index| self.endpoints[index].as_str());
                state.lacking.insert(index, home.to_owned());
                state.other = Some((state.named(home), state.named(at)));
            }
            Err(Error::OtherCluster { endpoint, cluster, first_endpoint, first_cluster }) => {
                let first = Named { id: first_cluster, endpoint: first_endpoint };
                state.other = Some((first, Named { id: cluster, endpoint }));
            }
            _ => {}
        }
    }

    /// Returns `true` if the own key is there, by a linearizable reading at this endpoint.
    fn shows(&self, index: usize, proof: &Proof, limit: Duration) -> Result<bool> {
        const PATH: &str = "/v3/kv/range";
        let endpoint = &self.endpoints[index];
        let body = to_json(&self.own_and_before(proof.token));
        let answer: RangeAnswer = self.logged_in(endpoint, limit, |login, left| {
            let answer = self.transport.post(endpoint, PATH, login, &body, Limit::Whole(left))?;
            read(&self.cluster, endpoint, PATH, answer)
        })?;
        let look = Look::at(index, answer);
        Ok(look.newest_first.first() == Some(&(proof.key.clone(), proof.token)))
    }
}

/// Finds the name of the cluster in an answer, or in a message of a stream.
fn name_in(answer: &Value) -> Option<u64> {
    let id = ["/header/cluster_id", "/result/header/cluster_id"]
        .iter()
        .find_map(|place| answer.pointer(place))?;
    id.as_u64().or_else(|| id.as_str()?.parse().ok()).filter(|id| *id != 0)
}

fn contradiction(first: &Named, other: &Named) -> Error {
    Error::OtherCluster {
        endpoint: other.endpoint.clone(),
        cluster: other.id,
        first_endpoint: first.endpoint.clone(),
        first_cluster: first.id,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Cluster;
    use crate::endpoint::Endpoint;
    use crate::error::Error;

    #[test]
    fn a_second_name_of_a_cluster_is_an_error_and_the_first_one_stays() {
        let [one, two] =
            ["http://a:1", "http://b:1"].map(|url| Endpoint::new(url).expect("an endpoint"));
        let cluster = Cluster::default();
        cluster.check(&one, &json!({"header": {"revision": "1"}})).expect("no name");
        cluster.check(&one, &json!({"header": {"cluster_id": "18446744073709551615"}})).expect("a");
        cluster.check(&two, &json!({"result": {"header": {"cluster_id": u64::MAX}}})).expect("a");
        for _ in 0..2 {
            let error = cluster.check(&two, &json!({"result": {"header": {"cluster_id": "7"}}}));
            let Err(Error::OtherCluster { endpoint, cluster, first_endpoint, first_cluster }) =
                error
            else {
                panic!("{error:?}")
            };
            assert_eq!((endpoint.as_str(), cluster), (two.as_str(), 7));
            assert_eq!((first_endpoint.as_str(), first_cluster), (one.as_str(), u64::MAX));
        }
    }

    #[test]
    fn an_endpoint_whose_token_is_not_greater_is_refused_from_then_on() {
        let [one, two] =
            ["http://a:1", "http://b:1"].map(|url| Endpoint::new(url).expect("an endpoint"));
        let cluster = Cluster::default();
        cluster.check_token(7, 0, &one).expect("the first");
        cluster.check_token(9, 0, &one).expect("a greater one");
        for token in [9, 1, 12] {
            let error = cluster.check_token(token, 1, &two).expect_err("not greater, and after");
            assert_eq!(error.endpoint(), Some(two.as_str()));
            assert!(error.to_string().contains(one.as_str()), "{error}");
        }
        cluster.check_token(10, 0, &one).expect("a greater one");
    }
}
