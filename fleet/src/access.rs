//! Collects what reaches a cluster: the members' addresses, a user, the files of TLS.

use std::path::Path;
use std::time::Duration;

use crate::endpoint::{Endpoint, without_user};
use crate::error::{Error, Result};
use crate::etcd::{Credentials, Etcd};
use crate::tls::TlsFiles;
use crate::transport::Transport;

/// The access to a cluster, as a builder was told.
pub(crate) struct Access {
    endpoints: Vec<String>,
    credentials: Option<Credentials>,
    tls: TlsFiles,
}

impl Access {
    pub(crate) fn new(endpoints: Vec<String>) -> Self {
        Self { endpoints, credentials: None, tls: TlsFiles::default() }
    }

    /// Returns the endpoints for people: those that `client` refuses may have a password.
    pub(crate) fn shown(&self) -> Vec<String> {
        self.endpoints.iter().map(|url| without_user(url)).collect()
    }

    pub(crate) fn set_credentials(&mut self, user: &str, password: &str) {
        self.credentials =
            Some(Credentials { user: user.to_owned(), password: password.to_owned() });
    }

    pub(crate) fn set_authority(&mut self, path: &Path) {
        self.tls.authority = Some(path.to_owned());
    }

    pub(crate) fn set_identity(&mut self, certificate: &Path, key: &Path) {
        self.tls.identity = Some((certificate.to_owned(), key.to_owned()));
    }

    /// Makes the client for the keys under `prefix`. No server is asked.
    pub(crate) fn client(self, prefix: String, request_timeout: Duration) -> Result<Etcd> {
        let endpoints =
            self.endpoints.iter().map(|url| Endpoint::new(url)).collect::<Result<Vec<_>>>()?;
        let refuse = |reason| Err(Error::InvalidSettings { reason });
        if endpoints.is_empty() {
            return refuse("give at least one endpoint of etcd");
        }
        if self.tls.is_any() && !cfg!(feature = "tls") {
            return refuse("this build has no TLS: its feature `tls` is off");
        }
        let transport = Transport::new(&self.tls)?;
        Ok(Etcd::new(transport, endpoints, self.credentials, prefix, request_timeout))
    }
}
