//! Tells which user ids stand for a user in this user namespace, `user_namespaces(7)`.

use std::fs;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

/// The setting for the overflow uid, which the kernel shows for users without an id in this user
/// namespace.
///
/// A file with that owner is as foreign as any other, even if this process has no id either.
const OVERFLOW_SETTING: &str = "/proc/sys/kernel/overflowuid";

/// The kernel's default, if `/proc` cannot be read.
const OVERFLOW_DEFAULT: u32 = 65534;

/// The ids that are mapped in this user namespace.
const MAP: &str = "/proc/self/uid_map";

/// The overflow uid, once it was read; [`UNREAD`] before. Several threads may read it, to the same
/// effect.
static OVERFLOW: AtomicU32 = AtomicU32::new(UNREAD);

/// The id of no user; the kernel's setting is at most 65535.
const UNREAD: u32 = u32::MAX;

/// Returns `true` if the kernel shows users without an id here as this one.
pub(crate) fn is_overflow_user(uid: u32) -> bool {
    // Partner: the store below, by any thread. Relaxed: the number stands for itself.
    let known = OVERFLOW.load(Relaxed);
    if known != UNREAD {
        return uid == known;
    }
    let read = fs::read_to_string(OVERFLOW_SETTING).ok().and_then(|text| text.trim().parse().ok());
    if let Some(number) = read {
        OVERFLOW.store(number, Relaxed); // partner: the load above
    }
    uid == read.unwrap_or(OVERFLOW_DEFAULT)
}

/// Returns `true` if the id is mapped here; `None` without `/proc`.
pub(crate) fn is_mapped(uid: u32) -> Option<bool> {
    is_in_map(&fs::read_to_string(MAP).ok()?, uid)
}

/// Reads a map: each line has the first id inside, the first id outside, and a count.
fn is_in_map(map: &str, id: u32) -> Option<bool> {
    let mut found = false;
    for line in map.lines() {
        let mut numbers = line.split_whitespace().map(|number| number.parse::<u64>().ok());
        let (first, _outside, count) = (numbers.next()??, numbers.next()??, numbers.next()??);
        found |= (first..first.saturating_add(count)).contains(&id.into());
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::is_in_map;

    #[test]
    fn a_map_tells_which_ids_stand_for_a_user() {
        const NOBODY: u32 = 65534;
        let of = |map| is_in_map(map, NOBODY);
        assert_eq!(of("         0          0 4294967295\n"), Some(true));
        assert_eq!(of("0 0 65534\n65534 65534 4294901761\n"), Some(true));
        assert_eq!(of("65534 1000 1\n"), Some(true));
        assert_eq!(of("0 1000 1\n1 100000 65533\n"), Some(false));
        assert_eq!(of(""), Some(false), "no user has an id yet");
        assert_eq!(of("what is this\n"), None);
        assert_eq!(is_in_map("0 1000 1\n", 0), Some(true));
    }
}
