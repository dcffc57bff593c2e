//! Sends one request to one endpoint.

use std::io::Read;
use std::time::Duration;

use shmlock::process_generation;
use ureq::Agent;
use ureq::config::Config;
use ureq::unversioned::transport::DefaultConnector;

use crate::endpoint::Endpoint;
use crate::error::{Error, Result, Source, is_shortage};
use crate::resolver::Addresses;
use crate::tls::TlsFiles;

/// The greatest length of an answer in bytes. Arbitrary: many times a page of keys with values of
/// this library (`etcd/pages.rs`), and no burden for the memory.
const ANSWER_LIMIT: u64 = 4 << 20;

/// A client of HTTP with a pool of connections.
#[derive(Clone)]
pub(crate) struct Transport {
    agent: Agent,
    /// The process that made it: a forked child has copies of its connections.
    origin: u32,
}

/// The time that an answer may take.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    /// For all of it, the body of the answer included.
    Whole(Duration),
    /// For each step until the answer's head has arrived. The body has no end.
    Head(Duration),
}

/// An answer whose head has arrived.
pub(crate) struct Answer {
    pub(crate) status: u16,
    body: ureq::Body,
}

impl Transport {
    pub(crate) fn new(tls: &TlsFiles) -> Result<Self> {
        let config = Agent::config_builder()
            .http_status_as_error(false) // the body of an error says more than its status
            .max_redirects(0)
            .proxy(None) // a lock goes where its endpoints say, whatever the environment says
            .user_agent("shmlock-fleet");
        Ok(Self::with(tls.apply(config)?.build()))
    }

    fn with(config: Config) -> Self {
        let agent = Agent::with_parts(config, DefaultConnector::default(), Addresses);
        Self { agent, origin: process_generation() }
    }

    /// Returns a client with the same settings and connections of its own.
    pub(crate) fn apart(&self) -> Self {
        Self::with(self.agent.config().clone())
    }

    /// Closes all connections. Requests under way end, and new ones fail.
    pub(crate) fn cut(&self) {
        self.agent.clone().shutdown();
    }

    /// Posts `body`, and returns once the answer's head has arrived.
    pub(crate) fn post(
        &self,
        endpoint: &Endpoint,
        path: &str,
        authorization: Option<&str>,
        body: &[u8],
        limit: Limit,
    ) -> Result<Answer> {
        if self.origin != process_generation() {
            return Err(Error::Forked); // two processes would write to one connection
        }
        let config = self.agent.post(endpoint.url(path)).config();
        // Zero would be refused as an argument; a nanosecond has passed in any case.
        let at_least = |limit: Duration| Some(limit.max(Duration::from_nanos(1)));
        let config = match limit {
            Limit::Whole(limit) => config.timeout_global(at_least(limit)),
            Limit::Head(limit) => config
                .timeout_resolve(at_least(limit))
                .timeout_connect(at_least(limit))
                .timeout_send_request(at_least(limit))
                .timeout_send_body(at_least(limit))
                .timeout_recv_response(at_least(limit)),
        };
        let mut request = config.build().header("Content-Type", "application/json");
        if let Some(token) = authorization {
            request = request.header("Authorization", token);
        }
        let answer = request.send(body).map_err(|error| of_ureq(endpoint, error))?;
        Ok(Answer { status: answer.status().as_u16(), body: answer.into_body() })
    }
}

impl Answer {
    /// Reads the whole body.
    pub(crate) fn text(mut self, endpoint: &Endpoint) -> Result<String> {
        let bytes = self.body.with_config().limit(ANSWER_LIMIT).read_to_vec();
        let bytes = bytes.map_err(|error| of_ureq(endpoint, error))?;
        // Bytes that are no text are no answer of etcd's, which is said of their beginning.
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Returns the body as a stream. It fails beyond the limit of an answer: a watch has a few
    /// short messages.
    pub(crate) fn stream(self) -> impl Read {
        self.body.into_with_config().limit(ANSWER_LIMIT).reader()
    }
}

/// Returns `true` if the request that failed so cannot have been carried out.
///
/// An established connection that breaks fails in other ways than a refused one (`tcp(7)`).
pub(crate) fn is_without_effect(error: &Error) -> bool {
    match error {
        Error::NoServer { source, .. } => match source.downcast_ref() {
            Some(ureq::Error::Io(inner)) => inner.kind() == std::io::ErrorKind::ConnectionRefused,
            Some(ureq::Error::HostNotFound | ureq::Error::ConnectionFailed) => true,
            _ => false,
        },
        Error::OldApi { .. } | Error::TlsNeeded { .. } => true,
        error => error.is_short_of_descriptors(),
    }
}

/// Returns the error of a stream, whose source may be one of ureq.
pub(crate) fn of_stream(endpoint: &Endpoint, error: std::io::Error) -> Error {
    of_ureq(endpoint, ureq::Error::from(error))
}

fn of_ureq(endpoint: &Endpoint, error: ureq::Error) -> Error {
    let is_tls = endpoint.as_str().starts_with("https:");
    let endpoint = endpoint.as_str().to_owned();
    let error = match error {
        ureq::Error::Io(source) if is_shortage(&source) => {
            return Error::System { operation: "open a connection to etcd", source };
        }
        error => error,
    };
    match &error {
        ureq::Error::Timeout(_) => Error::Slow { endpoint, source: error.into() },
        ureq::Error::Io(inner) if inner.kind() == std::io::ErrorKind::TimedOut => {
            Error::Slow { endpoint, source: error.into() }
        }
        ureq::Error::Tls(_) => Error::Certificate { endpoint, source: error.into() },
        #[cfg(feature = "tls")]
        ureq::Error::Rustls(_) | ureq::Error::Pem(_) => {
            Error::Certificate { endpoint, source: error.into() }
        }
        // rustls hands its errors on inside those of reading and writing.
        ureq::Error::Io(inner) if is_tls && inner.kind() == std::io::ErrorKind::InvalidData => {
            Error::Certificate { endpoint, source: error.into() }
        }
        ureq::Error::BodyExceedsLimit(limit) => Error::TooLong { endpoint, limit: *limit },
        ureq::Error::Protocol(_) | ureq::Error::Http(_) | ureq::Error::LargeResponseHeader(..) => {
            Error::BadAnswer { endpoint, reason: error.to_string() }
        }
        _ => Error::NoServer { endpoint, source: Source::from(error) },
    }
}
