//! Runs arbitrary text as a name and as a description.

use std::path::Path;

use shmlock::{Error, ExitEvent, InvalidNameReason, NAME_MAX, ShmLock};

use crate::shell::{TempDir, is_one_clean_line};

/// Opens a lock and an event of this name. Each is refused for a true reason, or creates one file
/// in the directory and removes it.
pub fn play(name: &str, description: &str) {
    let tempdir = TempDir::clean();
    let opened = ShmLock::builder(name).description(description).directory(tempdir.path()).open();
    match opened {
        Ok(lock) => {
            assert!(problem(name).is_none() && description.len() <= 63);
            assert_eq!(tempdir.names(), [format!("{name}.shmlock")]);
            assert_eq!((lock.path().parent(), lock.name()), (Some(tempdir.path()), name));
            check_description(&lock, description);
        }
        Err(error) => refused(&error, name, description),
    }
    assert!(tempdir.names().is_empty(), "a file is left");
    match ExitEvent::named_in(name, tempdir.path(), 0o600) {
        Ok(_event) => assert_eq!(tempdir.names(), [format!("{name}.shmlock-event")]),
        Err(error) => refused(&error, name, ""),
    }
    assert!(tempdir.names().is_empty(), "a file is left");
    let nowhere = ShmLock::builder("l")
        .directory(Path::new("/nowhere").join(name.replace(['/', '\0'], "-")))
        .open();
    is_one_clean_line(&nowhere.expect_err("there is no such directory").to_string());
}

/// Checks that the owner record has the description.
fn check_description(lock: &ShmLock, description: &str) {
    let _guard = lock.lock().expect("free");
    let holder = lock.holder().expect("ours").expect("held");
    assert_eq!(holder.description(), description);
    is_one_clean_line(&holder.to_string());
    let longer = format!("{description}{description}-");
    match lock.set_description(&longer) {
        Ok(()) => assert_eq!(lock.description(), longer),
        Err(Error::DescriptionTooLong { len }) => assert!(len == longer.len() && len > 63),
        Err(error) => panic!("{error:?}"),
    }
}

fn refused(error: &Error, name: &str, description: &str) {
    is_one_clean_line(&error.to_string());
    match error {
        Error::InvalidName { name: named, reason } => {
            assert_eq!((named.as_str(), Some(*reason)), (name, problem(name)));
        }
        Error::DescriptionTooLong { len } => assert!(*len == description.len() && *len > 63),
        error => panic!("{error:?}"),
    }
}

/// Returns the reason why a name is invalid.
fn problem(name: &str) -> Option<InvalidNameReason> {
    Some(match name {
        "" => InvalidNameReason::Empty,
        "." | ".." => InvalidNameReason::Dots,
        _ if name.contains('/') => InvalidNameReason::Slash,
        _ if name.contains('\0') => InvalidNameReason::Nul,
        _ if name.len() > NAME_MAX => InvalidNameReason::TooLong { len: name.len() },
        _ => return None,
    })
}
