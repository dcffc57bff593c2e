//! Defines where the keys of a lock lie in etcd.

/// The beginning of every key of every lock.
pub(crate) const ROOT: &str = "shmlock/";

/// Returns the beginning of the keys of the lock of this name.
///
/// A name has no `/`, so no other lock's keys are under this prefix.
pub(crate) fn prefix_of(name: &str) -> String {
    format!("{ROOT}{name}/")
}

/// Returns the name of the lock to which a key belongs; `None` for a key of no lock.
///
/// Bytes that are not UTF-8 are replaced: no lock of this library has such a name.
pub(crate) fn name_of(key: &[u8]) -> Option<String> {
    let rest = key.strip_prefix(ROOT.as_bytes())?;
    let end = rest.iter().position(|&byte| byte == b'/')?;
    Some(String::from_utf8_lossy(&rest[..end]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::{name_of, prefix_of};

    #[test]
    fn a_key_has_the_name_of_its_prefix() {
        let key = format!("{}0123456789abcdef", prefix_of("deploy"));
        assert_eq!(name_of(key.as_bytes()).as_deref(), Some("deploy"));
        for foreign in ["", "shmlock", "shmlock/", "shmlock/deploy", "other/deploy/1"] {
            assert_eq!(name_of(foreign.as_bytes()), None, "{foreign}");
        }
        assert_eq!(name_of(b"shmlock/\xff/x").as_deref(), Some("\u{fffd}"));
    }
}
