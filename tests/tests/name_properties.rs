//! Checks that every string either names exactly one file directly in the directory, or is refused
//! by an error that names it.

use std::path::Path;

use proptest::prelude::*;
use shmlock::{Error, ExitEvent, InvalidNameReason, NAME_MAX, Result, ShmLock};
use shmlock_tests::hostile::{Folder, Solo};
use shmlock_tests::rounds;

/// The longest file name of Linux file systems, in bytes.
const FILE_NAME_MAX: usize = 255;

/// Generates strings of all kinds, often edge cases: dots, separators, and the greatest length.
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

/// Returns the problem of a name, in the order that the documentation lists.
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

/// Returns `true` if the name was refused; asserts that the error names it and gives its reason.
fn check_refusal<T>(name: &str, opened: &Result<T>) -> bool {
    let Err(error) = opened else { return false };
    let Error::InvalidName { name: named, reason } = error else { panic!("{name:?}: {error:?}") };
    assert_eq!((named.as_str(), Some(*reason)), (name, problem(name)));
    let text = error.to_string();
    assert!(!text.contains(char::is_control), "{text:?} reaches a terminal");
    let shown: String = name.chars().take(40).collect();
    assert!(text.contains(&format!("{shown:?}")), "{text}");
    true
}

/// Asserts that the folder has one file, of this name, which is a single file name.
fn assert_only_file(folder: &Folder, file: &str) {
    assert_eq!(folder.names(), [file]);
    assert!(file.len() <= FILE_NAME_MAX && !file.contains('/'));
    assert_eq!(
        folder.path().join(file).parent(),
        Some(folder.path()),
        "not directly in the directory"
    );
}

#[test]
fn every_name_is_one_file_directly_in_the_directory_or_is_refused() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let config = ProptestConfig {
        cases: u32::try_from(rounds(2_000)).expect("few"),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(name in any_name())| {
        let (lock, accepted) = (folder.lock(&name).open(), problem(&name).is_none());
        prop_assert_eq!(check_refusal(&name, &lock), !accepted);
        if let Ok(lock) = &lock {
            assert_only_file(&folder, &format!("{name}.shmlock"));
            prop_assert_eq!(lock.name(), &name);
            prop_assert_eq!(lock.path().parent(), Some(folder.path()));
        }
        drop(lock);
        let event = ExitEvent::named_in(&name, folder.path(), 0o600);
        prop_assert_eq!(check_refusal(&name, &event), !accepted);
        if event.is_ok() {
            assert_only_file(&folder, &format!("{name}.shmlock-event"));
        }
        drop(event);
        prop_assert!(folder.names().is_empty());
    });
}

#[test]
fn a_name_is_checked_before_its_directory_is_opened() {
    let nowhere = Path::new("/nowhere at all");
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(name in any_name())| {
        prop_assume!(problem(&name).is_some());
        prop_assert!(check_refusal(&name, &ShmLock::builder(&name).directory(nowhere).open()));
        prop_assert!(check_refusal(&name, &ExitEvent::named_in(&name, nowhere, 0o600)));
    });
}
