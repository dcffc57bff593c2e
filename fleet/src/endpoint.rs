//! Checks the address of one member of etcd.

use std::fmt;

use ureq::http::Uri;

use crate::error::{Error, Result};

/// An address such as `http://10.0.0.7:2379`, without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint(String);

impl Endpoint {
    pub(crate) fn new(url: &str) -> Result<Self> {
        let refuse = |reason| Err(Error::InvalidEndpoint { url: without_user(url), reason });
        if url.is_empty() {
            return refuse("it is empty");
        }
        let trimmed = url.strip_suffix('/').unwrap_or(url);
        let Some((scheme, authority)) = trimmed.split_once("://") else {
            return refuse("it does not begin with http:// or https://");
        };
        if authority.contains('@') {
            return refuse("a user and a password are settings of their own, and no part of it");
        }
        if authority.is_empty() || authority.contains(['/', '?', '#', ' ']) {
            return refuse("a host and a port must follow the scheme, and nothing else");
        }
        // The client of HTTP would take the scheme's port instead of one that is no number.
        let (host, port) = split(authority);
        if host.is_empty() {
            return refuse("it has no host");
        }
        if !port.is_none_or(|port| matches!(port.parse::<u16>(), Ok(1..))) {
            return refuse("its port is no number from 1 to 65535");
        }
        if !is_understood(trimmed, authority) {
            return refuse("its host is no name and no address");
        }
        match scheme {
            "http" => {}
            "https" if cfg!(feature = "tls") => {}
            "https" => return refuse("this build has no TLS: its feature `tls` is off"),
            _ => return refuse("its scheme is neither http nor https"),
        }
        Ok(Self(trimmed.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

/// Splits an authority into the host and the port, if it has one. An address of IPv6 has brackets.
fn split(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// Returns `true` if the client of HTTP understands the URL, and finds all of the authority in it.
fn is_understood(url: &str, authority: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let port = uri.port().map_or(String::new(), |port| format!(":{port}"));
    uri.host().is_some_and(|host| authority == format!("{host}{port}"))
}

/// Returns an address for people: a password that was put into it by mistake is left out.
pub(crate) fn without_user(url: &str) -> String {
    let Some((user, rest)) = url.rsplit_once('@') else { return url.to_owned() };
    let scheme = user.split_once("://").map_or(String::new(), |(scheme, _)| format!("{scheme}://"));
    format!("{scheme}…@{rest}")
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Endpoint;

    #[test]
    fn an_endpoint_is_a_scheme_a_host_and_a_port() {
        for good in ["http://127.0.0.1:2379", "http://[::1]:2379/", "http://[::1]", "http://etcd-1"]
        {
            assert!(Endpoint::new(good).is_ok(), "{good}");
        }
        let bad = ["", "127.0.0.1:2379", "ftp://h:1", "http://", "http://h/v3", "http://h:+1"];
        let ports =
            ["http://h:65536", "http://h:0", "http://h:client", "http://h:", "http://:2379"];
        let hosts = ["http://[::1", "http://[::1]x:1", "http://a b", "http://ö:1"];
        for bad in bad.into_iter().chain(ports).chain(hosts) {
            let error = Endpoint::new(bad).expect_err(bad).to_string();
            assert!(error.contains(&format!("`{bad}`")), "{error}");
        }
        assert_eq!(Endpoint::new("https://h:1").is_ok(), cfg!(feature = "tls"));
    }
    #[test]
    fn a_password_in_an_address_is_not_repeated() {
        for bad in ["http://u:secret@h:1", "u:secret@h", "http://u:s@secret@h", "http://secret@"] {
            let error = Endpoint::new(bad).expect_err(bad);
            assert!(!error.to_string().contains("secret"), "{error}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
        let error = Endpoint::new("http://h\n:1").expect_err("a line break").to_string();
        assert!(!error.contains('\n'), "{error}");
    }
}
