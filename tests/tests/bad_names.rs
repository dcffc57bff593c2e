//! Checks invalid names and settings: each is refused with an error of its own before any file is
//! touched.

use std::time::Duration;

use shmlock::{Builder, Error, ExitEvent, InvalidNameReason, NAME_MAX};
use shmlock_tests::hostile::{Folder, Solo, assert_says};

/// Lists names that cannot be file names, the reason for each, and words of its message.
fn bad_names() -> Vec<(String, InvalidNameReason, &'static str)> {
    let long = "n".repeat(300);
    vec![
        (String::new(), InvalidNameReason::Empty, "at least one character"),
        ("/".into(), InvalidNameReason::Slash, "Builder::directory"),
        ("/etc/passwd".into(), InvalidNameReason::Slash, "Builder::directory"),
        ("../up".into(), InvalidNameReason::Slash, "Builder::directory"),
        ("a\0b".into(), InvalidNameReason::Nul, "NUL"),
        (".".into(), InvalidNameReason::Dots, "choose another"),
        ("..".into(), InvalidNameReason::Dots, "choose another"),
        (long.clone(), InvalidNameReason::TooLong { len: 300 }, "300 bytes"),
        ("n".repeat(NAME_MAX + 1), InvalidNameReason::TooLong { len: NAME_MAX + 1 }, "at most 241"),
        (
            "ä".repeat(NAME_MAX / 2 + 1),
            InvalidNameReason::TooLong { len: NAME_MAX + 1 },
            "at most 241",
        ),
    ]
}

#[test]
fn a_name_that_cannot_be_a_file_name_is_refused_with_its_reason() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    for (name, problem, remedy) in bad_names() {
        let error = folder.refuses(&folder.lock(&name));
        let Error::InvalidName { name: named, reason } = &error else {
            panic!("{name:?}: {error}")
        };
        assert_eq!((named, *reason), (&name, problem));
        let shown: String = name.escape_debug().take(10).collect();
        assert_says(&error, &[&shown, "cannot be the name of a lock", remedy]);
        assert!(error.to_string().len() < 250, "a long name is shown in part: {error}");
        let event = folder
            .unchanged(|| ExitEvent::named_in(&name, folder.path(), 0o600))
            .expect_err("no event either");
        assert_eq!(event.to_string(), error.to_string());
    }
}

#[test]
fn the_longest_allowed_name_names_locks_and_events() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    for name in ["n".repeat(NAME_MAX), "ä".repeat(NAME_MAX / 2) + "n"] {
        assert_eq!(name.len(), NAME_MAX);
        let lock = folder.lock(&name).open().expect("the name fits");
        let event = ExitEvent::named_in(&name, folder.path(), 0o600)
            .expect("the name fits with the longer suffix");
        assert!(lock.try_lock().expect("a lock").is_some());
        event.set().expect("an event");
        assert_eq!(lock.name(), name);
        assert_eq!(folder.names().len(), 2);
        drop((lock, event));
        assert!(folder.names().is_empty());
    }
}

#[test]
fn an_unusual_name_is_used_unchanged() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    for name in [
        "...",
        ".hidden",
        "a b",
        "-rf",
        "%s%n",
        "*",
        "ä→\u{1f512}",
        "line\nbreak",
        "\u{1b}[2J",
        "a.shmlock",
        "\\",
    ] {
        let lock = folder.lock(name).open().expect(name);
        assert!(lock.try_lock().expect("a lock").is_some());
        assert_eq!(folder.names(), [format!("{name}.shmlock")]);
        drop(lock);
        assert!(folder.names().is_empty());
    }
}

#[test]
fn an_unusual_name_cannot_write_to_the_terminal_through_an_error() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let name = "line\nbreak\u{1b}[2J";
    let _other = folder.put(name, b"something else");
    assert_says(&folder.refuses(&folder.lock(name)), &["14 bytes"]);
    let gone = folder.lock(name).directory(folder.path().join("not\nthere"));
    assert_says(&folder.refuses(&gone), &["No such file or directory"]);
}

#[test]
fn a_poll_interval_of_zero_is_refused() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let error = folder.refuses(&folder.lock("l").poll_interval(Duration::ZERO));
    assert!(matches!(error, Error::ZeroPollInterval), "{error}");
    assert_says(&error, &["poll interval of zero", "use at least"]);
    assert!(folder.lock("l").poll_interval(Duration::from_nanos(1)).open().is_ok());
}

#[test]
fn a_description_has_at_most_63_bytes() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let too_long = |error: &Error| {
        assert!(matches!(error, Error::DescriptionTooLong { len: 64 }), "{error}");
        assert_says(error, &["64 bytes", "shorten it to 63"]);
    };
    let longest = "d".repeat(63);
    for text in ["d".repeat(64), "ä".repeat(32)] {
        too_long(&folder.refuses(&folder.lock("l").description(&text)));
        let lock = folder.lock("l").description(&longest).open().expect("63 bytes fit");
        let _guard = lock.lock().expect("a lock");
        too_long(&lock.set_description(&text).expect_err("64 bytes do not"));
        assert_eq!(lock.description(), longest);
        assert_eq!(lock.holder().expect("a lock").expect("held").description(), longest);
    }
}

#[test]
fn a_mode_must_grant_reading_and_writing_together() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let with = |mode| -> Builder { folder.lock("l").mode(mode) };
    for mode in [
        0,
        0o060,
        0o400,
        0o200,
        0o640,
        0o644,
        0o620,
        0o602,
        0o700,
        0o670,
        0o4600,
        0o1666,
        0o10600,
        u32::MAX,
    ] {
        let error = folder.refuses(&with(mode));
        assert!(
            matches!(error, Error::InvalidMode { mode: named } if named == mode),
            "{mode:o}: {error}"
        );
        assert_says(&error, &[&format!("{mode:#o}"), "give the owner 0o600"]);
        let event = folder.unchanged(|| ExitEvent::named_in("l", folder.path(), mode));
        assert!(matches!(event, Err(Error::InvalidMode { .. })), "an event of mode {mode:o}");
    }
    for mode in [0o600, 0o660, 0o606, 0o666] {
        assert!(with(mode).open().is_ok(), "{mode:o}");
    }
}
