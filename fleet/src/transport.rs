//! Sends one request to one endpoint.

use std::io::Read;
use std::time::Duration;

use ureq::Agent;
use ureq::unversioned::transport::DefaultConnector;

use crate::endpoint::Endpoint;
use crate::error::{Error, Result, Source};
use crate::resolver::Addresses;
use crate::tls::TlsFiles;

/// No answer of the lock's calls is longer: a range has a handful of short keys.
const ANSWER_LIMIT: u64 = 4 << 20;

/// A client of HTTP with a pool of connections.
#[derive(Clone)]
pub(crate) struct Transport(Agent);

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
        let config = tls.apply(config)?.build();
        Ok(Self(Agent::with_parts(config, DefaultConnector::default(), Addresses::default())))
    }

    /// Posts `body`, and returns once the answer's head has arrived. All of it, the body of the
    /// answer included, has `limit`.
    pub(crate) fn post(
        &self,
        endpoint: &Endpoint,
        path: &str,
        authorization: Option<&str>,
        body: &[u8],
        limit: Duration,
    ) -> Result<Answer> {
        let mut request = self
            .0
            .post(endpoint.url(path))
            .config()
            // Zero would be refused as an argument; a nanosecond has passed in any case.
            .timeout_global(Some(limit.max(Duration::from_nanos(1))))
            .build()
            .header("Content-Type", "application/json");
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
        self.body
            .with_config()
            .limit(ANSWER_LIMIT)
            .read_to_string()
            .map_err(|error| of_ureq(endpoint, error))
    }

    /// Returns the body as a stream.
    pub(crate) fn stream(self) -> impl Read {
        self.body.into_with_config().limit(u64::MAX).reader()
    }
}

/// Returns the error of a stream, whose source may be one of ureq.
pub(crate) fn of_stream(endpoint: &Endpoint, error: std::io::Error) -> Error {
    of_ureq(endpoint, ureq::Error::from(error))
}

fn of_ureq(endpoint: &Endpoint, error: ureq::Error) -> Error {
    let endpoint = endpoint.as_str().to_owned();
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
        ureq::Error::Io(inner) if inner.kind() == std::io::ErrorKind::InvalidData => {
            Error::Certificate { endpoint, source: error.into() }
        }
        ureq::Error::BodyExceedsLimit(limit) => Error::TooLong { endpoint, limit: *limit },
        ureq::Error::Protocol(_) | ureq::Error::Http(_) | ureq::Error::LargeResponseHeader(..) => {
            Error::BadAnswer { endpoint, reason: error.to_string() }
        }
        _ => Error::NoServer { endpoint, source: Source::from(error) },
    }
}
