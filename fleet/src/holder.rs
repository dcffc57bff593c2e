//! Defines the owner record of a contender, in the value of its key.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A contender for the lock, by its owner record: the holder or a waiter.
///
/// For people only: nothing is decided by it. A foreign or hostile key gives empty fields.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct FleetHolder {
    /// The name of its machine.
    pub host: String,
    /// Its process id on that machine, in its own pid namespace.
    pub pid: u32,
    /// Its description, see [`FleetBuilder::description`](crate::FleetBuilder::description).
    pub description: String,
    /// Its arrival in the queue, by its machine's time of day: whole seconds. A holder that found
    /// the lock free has held it since then. `None` if it is not known.
    pub since: Option<SystemTime>,
    /// Its fencing token.
    pub fencing_token: u64,
}

/// The owner record: the value of a contender's key.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    host: String,
    pid: u32,
    description: String,
    /// Seconds since the epoch; 0 if it is not known.
    since: u64,
}

impl Record {
    /// Describes this process, at this moment.
    #[expect(clippy::disallowed_methods, reason = "for people on other machines")]
    pub(crate) fn own(description: &str) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self { host, pid: std::process::id(), description: description.to_owned(), since }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default() // four plain fields always have a form
    }
}

impl FleetHolder {
    /// Reads a key's value. Bytes of another form give an empty record, not an error.
    pub(crate) fn of(value: &[u8], token: i64) -> Self {
        let Record { host, pid, description, since } =
            serde_json::from_slice(value).unwrap_or_default();
        let known = (since != 0).then(|| UNIX_EPOCH.checked_add(Duration::from_secs(since)));
        let fencing_token = u64::try_from(token).unwrap_or_default();
        Self { host, pid, description, since: known.flatten(), fencing_token }
    }
}

impl fmt::Display for FleetHolder {
    /// Writes one line, escaped: a key's value may be hostile.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.host.as_str(), self.pid) {
            ("", 0) => f.write_str("a contender without an owner record")?,
            (host, pid) => write!(f, "process {pid} on {}", host.escape_debug())?,
        }
        if !self.description.is_empty() {
            write!(f, " ({})", self.description.escape_debug())?;
        }
        write!(f, ", fencing token {}", self.fencing_token)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{FleetHolder, Record};

    #[test]
    fn a_record_is_read_back() {
        let holder = FleetHolder::of(&Record::own("deploy").to_bytes(), 12);
        assert_eq!((holder.pid, holder.fencing_token), (std::process::id(), 12));
        let since = holder.since.expect("this machine has a time of day");
        assert!(since > UNIX_EPOCH + Duration::from_secs(1_700_000_000), "{since:?} was before");
        assert!(holder.to_string().ends_with("(deploy), fencing token 12"), "{holder}");
    }

    #[test]
    fn hostile_bytes_are_no_error() {
        for bytes in [&b"\xff\x00"[..], b"", b"[]", b"{\"pid\":-1}", b"7"] {
            let holder = FleetHolder::of(bytes, 1);
            assert_eq!((holder.pid, holder.since), (0, None));
        }
        let late = FleetHolder::of(br#"{"pid":7,"since":18446744073709551615}"#, 1);
        assert_eq!((late.pid, late.since), (7, None), "no such time");
        let escape = FleetHolder::of(br#"{"pid":7,"host":"\u001b[2J","description":"a\nb"}"#, 1);
        assert!(!escape.to_string().contains(['\u{1b}', '\n']), "{escape}");
    }
}
