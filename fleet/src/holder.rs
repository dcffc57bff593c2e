//! Describes a contender to people, in the value of its key.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A holder of the lock, as it described itself.
///
/// For people only: nothing is decided by it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct FleetHolder {
    /// The name of its machine.
    pub host: String,
    /// Its process id on that machine.
    pub pid: u32,
    /// Its description, see [`FleetBuilder::description`](crate::FleetBuilder::description).
    pub description: String,
    /// Its fencing token.
    pub fencing_token: u64,
}

/// The value of a contender's key.
#[derive(Serialize, Deserialize)]
pub(crate) struct Card {
    #[serde(default)]
    host: String,
    #[serde(default)]
    pid: u32,
    #[serde(default)]
    description: String,
}

impl Card {
    /// Describes this process.
    pub(crate) fn own(description: &str) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { host, pid: std::process::id(), description: description.to_owned() }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default() // three plain fields always have a form
    }
}

impl FleetHolder {
    /// Reads a key's value. Bytes of another form give an empty description, not an error.
    pub(crate) fn of(value: &[u8], token: i64) -> Self {
        let card = serde_json::from_slice(value).unwrap_or(Card {
            host: String::new(),
            pid: 0,
            description: String::new(),
        });
        let fencing_token = u64::try_from(token).unwrap_or_default();
        Self { host: card.host, pid: card.pid, description: card.description, fencing_token }
    }
}

impl fmt::Display for FleetHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.host.as_str(), self.pid) {
            ("", 0) => f.write_str("a contender that says nothing of itself")?,
            (host, pid) => write!(f, "process {pid} on {host}")?,
        }
        if !self.description.is_empty() {
            write!(f, " ({})", self.description)?;
        }
        write!(f, ", fencing token {}", self.fencing_token)
    }
}

#[cfg(test)]
mod tests {
    use super::{Card, FleetHolder};

    #[test]
    fn a_card_is_read_back_and_foreign_bytes_are_no_error() {
        let holder = FleetHolder::of(&Card::own("deploy").to_bytes(), 12);
        assert_eq!((holder.pid, holder.fencing_token), (std::process::id(), 12));
        assert!(holder.to_string().ends_with("(deploy), fencing token 12"), "{holder}");
        for bytes in [&b"\xff\x00"[..], b"", b"[]", b"{\"pid\":-1}"] {
            assert_eq!(FleetHolder::of(bytes, 1).pid, 0);
        }
    }
}
