//! Tells which user numbers mean a user in our user namespace, `user_namespaces(7)`.

use std::fs;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

/// Where the kernel says which number it shows for users that have none in our user namespace,
/// `user_namespaces(7)`.
///
/// Such a file is as good as any stranger's, even if we ourselves have no number.
const OVERFLOW_SETTING: &str = "/proc/sys/kernel/overflowuid";

/// The kernel's default, for where `/proc` cannot be read.
const OVERFLOW_DEFAULT: u32 = 65534;

/// Which numbers mean a user, in our user namespace.
const MAP: &str = "/proc/self/uid_map";

/// The number, once it was read; [`UNREAD`] before. Several threads may read it, to the same
/// effect.
static OVERFLOW: AtomicU32 = AtomicU32::new(UNREAD);

/// No user has this number, and the kernel's setting is at most 65535.
const UNREAD: u32 = u32::MAX;

/// Whether users that have no number here are shown as this one.
pub(crate) fn is_overflow_user(uid: u32) -> bool {
    // Partner: the store below, by any thread. Relaxed: one number, which says nothing of other
    // memory.
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

/// Whether the number means a user here. `None` without `/proc`.
pub(crate) fn is_mapped(uid: u32) -> Option<bool> {
    is_in_map(&fs::read_to_string(MAP).ok()?, uid)
}

/// Looks into a map: lines of the first number inside, the first outside, and how many there are.
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
    fn a_map_says_which_numbers_mean_a_user() {
        const NOBODY: u32 = 65534;
        let of = |map| is_in_map(map, NOBODY);
        assert_eq!(of("         0          0 4294967295\n"), Some(true));
        assert_eq!(of("0 0 65534\n65534 65534 4294901761\n"), Some(true));
        assert_eq!(of("65534 1000 1\n"), Some(true));
        assert_eq!(of("0 1000 1\n1 100000 65533\n"), Some(false));
        assert_eq!(of(""), Some(false), "nobody has a number yet");
        assert_eq!(of("what is this\n"), None);
        assert_eq!(is_in_map("0 1000 1\n", 0), Some(true));
    }
}
