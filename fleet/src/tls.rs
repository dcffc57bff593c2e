//! Reads the files of TLS: the authority that signs the servers' certificates, and our own
//! certificate.

use std::path::PathBuf;

use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;

use crate::error::Result;

/// The paths that the builder was given.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsFiles {
    /// PEM certificates of the authorities that may sign a server's certificate.
    pub(crate) authority: Option<PathBuf>,
    /// PEM certificate and key of this client.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
}

impl TlsFiles {
    /// Reads the files and adds them to the client's settings.
    #[cfg(feature = "tls")]
    pub(crate) fn apply(
        &self,
        config: ConfigBuilder<AgentScope>,
    ) -> Result<ConfigBuilder<AgentScope>> {
        use ureq::tls::{ClientCert, PrivateKey, RootCerts, TlsConfig};

        let mut tls = TlsConfig::builder();
        if let Some(path) = &self.authority {
            tls = tls.root_certs(RootCerts::new_with_certs(&pem::certificates(path)?));
        }
        if let Some((certificate, key_file)) = &self.identity {
            let chain = pem::certificates(certificate)?;
            let key = PrivateKey::from_pem(&pem::read(key_file)?)
                .map_err(|error| pem::unusable(key_file, error))?;
            pem::check_pair((certificate, &chain), (key_file, &key))?;
            tls = tls.client_cert(Some(ClientCert::new_with_certs(&chain, key)));
        }
        Ok(config.tls_config(tls.build()))
    }

    #[cfg(not(feature = "tls"))]
    #[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "as with TLS")]
    pub(crate) fn apply(
        &self,
        config: ConfigBuilder<AgentScope>,
    ) -> Result<ConfigBuilder<AgentScope>> {
        Ok(config)
    }

    /// Returns `true` if any file was given.
    pub(crate) fn is_any(&self) -> bool {
        self.authority.is_some() || self.identity.is_some()
    }
}

#[cfg(feature = "tls")]
mod pem {
    use std::path::Path;

    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::sign::CertifiedKey;
    use ureq::tls::{Certificate, PemItem, PrivateKey, parse_pem};

    use crate::error::{Error, Result, Source};

    pub(super) fn unusable(path: &Path, source: impl Into<Source>) -> Error {
        Error::TlsFile { path: path.to_owned(), source: source.into() }
    }

    pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
        std::fs::read(path).map_err(|error| unusable(path, error))
    }

    pub(super) fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>> {
        let mut found = Vec::new();
        for item in parse_pem(&read(path)?) {
            if let PemItem::Certificate(certificate) = item.map_err(|e| unusable(path, e))? {
                found.push(certificate);
            }
        }
        if found.is_empty() {
            return Err(unusable(path, "it has no certificate"));
        }
        Ok(found)
    }

    /// Checks that the key is that of the certificate: the client of HTTP panics at its first
    /// connection if it is not.
    pub(super) fn check_pair(
        (certificate, chain): (&Path, &[Certificate<'_>]),
        (key_file, key): (&Path, &PrivateKey<'_>),
    ) -> Result<()> {
        let chain = chain.iter().map(|item| CertificateDer::from(item.der().to_vec())).collect();
        let key = PrivateKeyDer::try_from(key.der().to_vec()).map_err(|e| unusable(key_file, e))?;
        let provider = rustls::crypto::ring::default_provider();
        match CertifiedKey::from_der(chain, key, &provider) {
            Ok(_) => Ok(()),
            Err(rustls::Error::InconsistentKeys(_)) => {
                let key_file = key_file.display();
                Err(unusable(certificate, format!("the key in {key_file} is not its key")))
            }
            Err(error) => Err(unusable(certificate, error)),
        }
    }
}
