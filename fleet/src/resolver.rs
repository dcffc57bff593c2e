//! Finds the addresses of an endpoint's host.

use std::net::{IpAddr, SocketAddr};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// The resolver of ureq, but for hosts that are given by their address.
///
/// A name is looked up in a thread of its own, because nothing interrupts `getaddrinfo(3)`. ureq
/// would start such a thread for every request, even over a connection that is open, and even for
/// an address, which needs no look-up.
#[derive(Debug, Default)]
pub(crate) struct Addresses(DefaultResolver);

impl Resolver for Addresses {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        match address_of(uri) {
            Some(address) => {
                let mut found = self.empty();
                found.push(address);
                Ok(found)
            }
            None => self.0.resolve(uri, config, timeout),
        }
    }
}

/// Returns the address if the host is given by one.
fn address_of(uri: &Uri) -> Option<SocketAddr> {
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    let default_port = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    Some(SocketAddr::new(host.parse::<IpAddr>().ok()?, uri.port_u16().unwrap_or(default_port)))
}

#[cfg(test)]
mod tests {
    use super::address_of;

    #[test]
    fn an_address_needs_no_look_up_and_a_name_does() {
        let of =
            |uri: &str| address_of(&uri.parse().expect("a URI")).map(|address| address.to_string());
        assert_eq!(of("http://10.0.0.7:2379/v3").as_deref(), Some("10.0.0.7:2379"));
        assert_eq!(of("https://[fd00::7]:2379").as_deref(), Some("[fd00::7]:2379"));
        assert_eq!(of("http://10.0.0.7").as_deref(), Some("10.0.0.7:80"));
        assert_eq!(of("https://10.0.0.7/").as_deref(), Some("10.0.0.7:443"));
        assert_eq!(of("http://etcd.example:2379"), None);
        assert_eq!(of("http://10.0.0:2379"), None, "no address: getaddrinfo reads it its own way");
    }
}
