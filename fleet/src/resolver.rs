//! Finds the addresses of an endpoint's host.

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// How many addresses of a host are tried: an answer has room for no more.
const ADDRESSES: usize = 16;

/// Resolves hosts that are given by their address or by a name.
///
/// A name is looked up in a thread of its own, because nothing interrupts `getaddrinfo(3)`. ureq's
/// resolver would start such a thread for every request, even for an address, which needs no
/// look-up. It also panics where the system refuses a thread, and a lease is then not renewed any
/// more.
#[derive(Debug)]
pub(crate) struct Addresses;

impl Resolver for Addresses {
    fn resolve(
        &self,
        uri: &Uri,
        _: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut found = self.empty();
        match address_of(uri) {
            Some(address) => found.push(address),
            None => look_up(uri, timeout)?.take(ADDRESSES).for_each(|address| found.push(address)),
        }
        if found.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(found) }
    }
}

/// Looks a name up.
fn look_up(
    uri: &Uri,
    timeout: NextTimeout,
) -> Result<impl Iterator<Item = SocketAddr> + use<>, ureq::Error> {
    let parts = uri.scheme().zip(uri.authority());
    let name = parts.and_then(|(scheme, host)| DefaultResolver::host_and_port(scheme, host));
    let name = name.ok_or_else(|| ureq::Error::BadUri(uri.to_string()))?;
    let (tell, told) = sync_channel(1);
    std::thread::Builder::new().name("shmlock-fleet-n".into()).spawn(move || {
        let _ = tell.send(name.to_socket_addrs()); // the request may have ended
    })?;
    match told.recv_timeout(*timeout.after) {
        // Without a descriptor, getaddrinfo(3) finds no name and gives no reason: a file that
        // cannot be opened either has the reason.
        Ok(Err(error)) => Err(File::open("/dev/null").err().unwrap_or(error).into()),
        Ok(Ok(found)) => Ok(found),
        Err(RecvTimeoutError::Timeout) => Err(ureq::Error::Timeout(timeout.reason)),
        Err(RecvTimeoutError::Disconnected) => {
            Err(io::Error::other("the thread of a look-up has ended").into())
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
