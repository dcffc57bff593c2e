//! Calls etcd at its members, one after the other, with a login that is renewed.
//!
//! The gateway is etcd's own, `/v3/…` since 3.4 (etcd's documentation, "gRPC gateway"). Every call
//! of this crate may be sent twice: a second grant makes a lease that expires, a second put finds
//! the key of the first.

mod cluster;
mod kv;
mod lease;
mod pages;
mod refusal;
mod watch;
mod wire;

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use self::kv::{Key, Look};
pub(crate) use self::lease::Granted;
pub(crate) use self::watch::Watched;
pub(crate) use self::wire::KeyValue;

use self::cluster::Cluster;
use self::refusal::Refusal;
use self::wire::{LoginAnswer, LoginRequest};
use crate::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::transport::{Answer, Limit, Transport, is_without_effect};

/// A user and a password.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: String,
}

/// A client of one cluster, for the keys of one lock.
pub(crate) struct Etcd {
    transport: Transport,
    endpoints: Vec<Endpoint>,
    /// The member that answered last. Its accesses in `at_each_member` are partners of each other,
    /// by any thread. Relaxed everywhere: a stale value costs one more attempt.
    preferred: AtomicUsize,
    credentials: Option<Credentials>,
    /// The token of the last login.
    login: Mutex<Option<String>>,
    /// The keys of the lock, for errors.
    prefix: String,
    request_timeout: Duration,
    cluster: Arc<Cluster>,
}

/// An answer, and how it was found.
struct Answered<A> {
    answer: A,
    /// The place of its endpoint in the list.
    member: usize,
}

impl Etcd {
    pub(crate) fn new(
        transport: Transport,
        endpoints: Vec<Endpoint>,
        credentials: Option<Credentials>,
        prefix: String,
        request_timeout: Duration,
    ) -> Self {
        Self {
            transport,
            endpoints,
            preferred: AtomicUsize::new(0),
            credentials,
            login: Mutex::new(None),
            prefix,
            request_timeout,
            cluster: Arc::default(),
        }
    }

    /// Returns a client of the same cluster for the keys under another prefix.
    pub(crate) fn with_prefix(&self, prefix: String) -> Self {
        Self {
            transport: self.transport.clone(),
            endpoints: self.endpoints.clone(),
            preferred: AtomicUsize::new(self.preferred.load(Relaxed)), // partner: as all of them
            credentials: self.credentials.clone(),
            login: Mutex::new(self.login().clone()),
            prefix,
            request_timeout: self.request_timeout,
            cluster: Arc::clone(&self.cluster),
        }
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Posts to the member that answered last, then to the others; all together have `limit`.
    ///
    /// A member has the request timeout. Where the limit is shorter than that for each member, they
    /// share it, so that a member that hangs leaves time for the others.
    fn call<A: DeserializeOwned>(
        &self,
        path: &'static str,
        request: &impl Serialize,
        limit: Duration,
    ) -> Result<A> {
        self.call_in_doubt(path, request, limit, &mut false).map(|answered| answered.answer)
    }

    /// Posts as [`call`](Self::call) does. Sets `is_in_doubt` if a member that was asked, and has
    /// not answered, may have carried out the request.
    fn call_in_doubt<A: DeserializeOwned>(
        &self,
        path: &'static str,
        request: &impl Serialize,
        limit: Duration,
        is_in_doubt: &mut bool,
    ) -> Result<Answered<A>> {
        let body = to_json(request);
        let end = Instant::now().checked_add(limit);
        self.at_each_member(is_in_doubt, |endpoint, others| {
            let left = end.map_or(limit, until);
            let share = (left / (others + 1)).min(self.request_timeout);
            self.logged_in(endpoint, share, |login, left| {
                let limit = Limit::Whole(left);
                let answer = self.transport.post(endpoint, path, login, &body, limit)?;
                read(&self.cluster, endpoint, path, answer)
            })
        })
    }

    /// Runs `attempt` at the member that answered last, then at the others, until one answers. It
    /// is told how many are left after it. Sets `is_in_doubt` if an attempt without an answer may
    /// have had an effect.
    ///
    /// If none answers, the error is one that may pass, if there is one: the caller may try again.
    fn at_each_member<A>(
        &self,
        is_in_doubt: &mut bool,
        mut attempt: impl FnMut(&Endpoint, u32) -> Result<A>,
    ) -> Result<Answered<A>> {
        let count = self.endpoints.len();
        let first = self.preferred.load(Relaxed);
        let (mut passing, mut silent) = (None, Vec::new());
        for tried in 0..count {
            let member = (first + tried) % count;
            let others = u32::try_from(count - 1 - tried).unwrap_or(u32::MAX);
            let outcome = attempt(&self.endpoints[member], others);
            // After a failure the next call begins with another member.
            let next = if outcome.is_ok() { member } else { (member + 1) % count };
            self.preferred.store(next, Relaxed);
            let error = match outcome {
                Ok(answer) => return Ok(Answered { answer, member }),
                Err(error) => error,
            };
            *is_in_doubt |= !is_without_effect(&error);
            if !error.may_be_other_elsewhere() {
                return Err(error);
            }
            if error.is_silence() {
                silent.push(self.endpoints[member].as_str().to_owned());
            }
            if others == 0 {
                let error: Error = passing.unwrap_or(error);
                silent.retain(|endpoint| Some(endpoint.as_str()) != error.endpoint());
                return Err(error.with_others(silent));
            }
            passing = passing.or_else(|| error.is_passing().then_some(error));
        }
        Err(self.slow("there is no member")) // `Access` has checked that there is one
    }

    /// Runs `attempt` with the token of the login, and once more with a new one if the server does
    /// not accept it any more. All of it has `limit`; `attempt` gets the time that is left.
    fn logged_in<A>(
        &self,
        endpoint: &Endpoint,
        limit: Duration,
        mut attempt: impl FnMut(Option<&str>, Duration) -> Result<Outcome<A>>,
    ) -> Result<A> {
        let Some(credentials) = &self.credentials else {
            return self.accepted(endpoint, attempt(None, limit)?);
        };
        let end = Instant::now().checked_add(limit);
        let left = || end.map_or(limit, until);
        let known = self.login().clone();
        if let Some(token) = known {
            match attempt(Some(&token), left())? {
                Outcome::Refused(refusal) if refusal.asks_for_new_login() => {}
                outcome => return self.accepted(endpoint, outcome),
            }
        }
        let token = self.log_in(endpoint, credentials, left())?;
        *self.login() = Some(token.clone());
        self.accepted(endpoint, attempt(Some(&token), left())?)
    }

    fn log_in(
        &self,
        endpoint: &Endpoint,
        Credentials { user, password }: &Credentials,
        limit: Duration,
    ) -> Result<String> {
        const PATH: &str = "/v3/auth/authenticate";
        let body = to_json(&LoginRequest { name: user, password });
        let answer = self.transport.post(endpoint, PATH, None, &body, Limit::Whole(limit))?;
        let LoginAnswer { token } =
            self.accepted(endpoint, read(&self.cluster, endpoint, PATH, answer)?)?;
        Ok(token)
    }

    fn login(&self) -> MutexGuard<'_, Option<String>> {
        self.login.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the error of a server that has not answered, for the member that is asked next.
    pub(crate) fn slow(&self, reason: &'static str) -> Error {
        Error::Slow { endpoint: self.preferred().to_owned(), source: reason.into() }
    }

    /// Returns the error of an answer that lacks a part, for the member that answered last.
    fn bad_answer(&self, reason: &str) -> Error {
        Error::BadAnswer { endpoint: self.preferred().to_owned(), reason: reason.to_owned() }
    }

    /// Returns the endpoint of the member that is asked next: after an answer, that member again.
    fn preferred(&self) -> &str {
        let member = self.preferred.load(Relaxed) % self.endpoints.len().max(1);
        self.endpoints.get(member).map_or("", Endpoint::as_str)
    }

    fn accepted<A>(&self, endpoint: &Endpoint, outcome: Outcome<A>) -> Result<A> {
        match outcome {
            Outcome::Accepted(answer) => Ok(answer),
            Outcome::Refused(refusal) => Err(self.error_of(endpoint, refusal)),
        }
    }

    fn error_of(&self, endpoint: &Endpoint, refusal: Refusal) -> Error {
        let user = self.credentials.as_ref().map(|credentials| credentials.user.as_str());
        refusal.into_error(endpoint, user, &self.prefix)
    }
}

/// Returns the time until then.
fn until(end: Instant) -> Duration {
    end.saturating_duration_since(Instant::now())
}

/// A readable answer.
enum Outcome<A> {
    Accepted(A),
    Refused(Refusal),
}

fn to_json(request: &impl Serialize) -> Vec<u8> {
    // The forms in `wire` have string keys only, and their values always have a form.
    serde_json::to_vec(request).unwrap_or_default()
}

/// Reads an answer to its end. It has to be one of the cluster.
fn read<A: DeserializeOwned>(
    cluster: &Cluster,
    endpoint: &Endpoint,
    path: &'static str,
    answer: Answer,
) -> Result<Outcome<A>> {
    let status = answer.status;
    let text = answer.text(endpoint)?;
    let bad = |reason| Error::BadAnswer { endpoint: endpoint.as_str().to_owned(), reason };
    let old_api = || Error::OldApi { endpoint: endpoint.as_str().to_owned(), path };
    let Ok(value) = serde_json::from_str::<Value>(&text) else {
        if status == 404 {
            return Err(old_api());
        }
        // The answer of Go's servers, of which etcd is one.
        if status == 400 && text.contains("HTTP request to an HTTPS server") {
            return Err(Error::TlsNeeded { endpoint: endpoint.as_str().to_owned() });
        }
        let beginning: String = text.trim().chars().take(80).collect();
        return Err(bad(format!("status {status}, `{}`", beginning.escape_debug())));
    };
    if let Some(refusal) = Refusal::find(&value) {
        if status == 404 && refusal.is_path_unknown() {
            return Err(old_api());
        }
        return Ok(Outcome::Refused(refusal));
    }
    if status != 200 {
        return Err(bad(format!("status {status} without an error")));
    }
    cluster.check(endpoint, &value)?;
    serde_json::from_value(value).map(Outcome::Accepted).map_err(|error| bad(error.to_string()))
}
