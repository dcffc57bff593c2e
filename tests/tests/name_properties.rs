//! Every string is the name of exactly one file right in the directory, or is refused by an error
//! that names it.

use std::path::Path;

use proptest::prelude::*;
use shmlock::{Error, ExitEvent, InvalidNameReason, NAME_MAX, Result, ShmLock};
use shmlock_tests::hostile::{Folder, Solo};
use shmlock_tests::rounds;

/// What Linux file systems take as a file name.
const FILE_NAME_MAX: usize = 255;

/// Strings of all kinds, and often those on which opinions differ: dots, separators, the length
/// that just fits.
fn any_name() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec![
        ".",
        "/",
        "\0",
        "\\",
        "\n",
        "~",
        "é",
        "€",
        "\u{1F512}",
        "\u{202E}",
        ".shmlock",
    ]);
    let mixed = prop::collection::vec(
        prop_oneof![odd.prop_map(str::to_owned), any::<char>().prop_map(String::from)],
        0..6,
    );
    let long =
        ("[a-zé€]", NAME_MAX / 4..=NAME_MAX + 8).prop_map(|(unit, times)| unit.repeat(times));
    prop_oneof![any::<String>(), mixed.prop_map(|parts| parts.concat()), "[.]{0,4}", long]
}

/// What is wrong with a name, told apart in the order in which the documentation lists it.
fn problem(name: &str) -> Option<InvalidNameReason> {
    match name {
        "" => Some(InvalidNameReason::Empty),
        "." | ".." => Some(InvalidNameReason::Dots),
        _ if name.contains('/') => Some(InvalidNameReason::Slash),
        _ if name.contains('\0') => Some(InvalidNameReason::Nul),
        _ if name.len() > NAME_MAX => Some(InvalidNameReason::TooLong { len: name.len() }),
        _ => None,
    }
}

/// Whether the name was refused, which the error says of it, and with its reason.
fn is_refused<T>(name: &str, opened: &Result<T>) -> bool {
    let Err(error) = opened else { return false };
    let Error::InvalidName { name: named, reason } = error else { panic!("{name:?}: {error:?}") };
    assert_eq!((named.as_str(), Some(*reason)), (name, problem(name)));
    let text = error.to_string();
    assert!(!text.contains(char::is_control), "{text:?} reaches a terminal");
    let shown: String = name.chars().take(40).collect();
    assert!(text.contains(&format!("{shown:?}")), "{text}");
    true
}

/// The one file in the folder has this name, which is one file name and nothing more.
fn is_the_only_file(folder: &Folder, file: &str) {
    assert_eq!(folder.names(), [file]);
    assert!(file.len() <= FILE_NAME_MAX && !file.contains('/'));
    assert_eq!(folder.path().join(file).parent(), Some(folder.path()), "right in the directory");
}

#[test]
fn every_name_is_one_file_right_in_the_directory_or_refused_by_name() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let config = ProptestConfig {
        cases: u32::try_from(rounds(2_000)).expect("few"),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(name in any_name())| {
        let (lock, accepted) = (folder.lock(&name).open(), problem(&name).is_none());
        prop_assert_eq!(is_refused(&name, &lock), !accepted);
        if let Ok(lock) = &lock {
            is_the_only_file(&folder, &format!("{name}.shmlock"));
            prop_assert_eq!(lock.name(), &name);
            prop_assert_eq!(lock.path().parent(), Some(folder.path()));
        }
        drop(lock);
        let event = ExitEvent::named_in(&name, folder.path(), 0o600);
        prop_assert_eq!(is_refused(&name, &event), !accepted);
        if event.is_ok() {
            is_the_only_file(&folder, &format!("{name}.shmlock-event"));
        }
        drop(event);
        prop_assert!(folder.names().is_empty());
    });
}

#[test]
fn a_name_is_judged_before_its_directory_is_looked_at() {
    let nowhere = Path::new("/nowhere at all");
    proptest!(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }, |(name in any_name())| {
        prop_assume!(problem(&name).is_some());
        prop_assert!(is_refused(&name, &ShmLock::builder(&name).directory(nowhere).open()));
        prop_assert!(is_refused(&name, &ExitEvent::named_in(&name, nowhere, 0o600)));
    });
}
