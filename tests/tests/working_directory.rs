//! Checks relative directories: they are resolved at the opening, and a later change of the working
//! directory has no effect.

use std::env;
use std::fs;
use std::path::Path;

use shmlock::{Errno, Error, ExitEvent};
use shmlock_tests::alone;
use shmlock_tests::hostile::{Folder, Solo, assert_says};

const HERE: &str = "a lock";

/// Runs `act` in this directory, then returns to the root.
fn within<R>(directory: &Path, act: impl FnOnce() -> R) -> R {
    env::set_current_dir(directory).expect("it is there");
    let result = act();
    env::set_current_dir("/").expect("the root");
    result
}

#[test]
fn a_lock_in_a_relative_directory_stays_where_it_was_opened() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let parent = folder.path().parent().expect("in /dev/shm");
        let name = Path::new(folder.path().file_name().expect("a name"));
        for (directory, relative) in [(folder.path(), Path::new(".")), (parent, name)] {
            let lock =
                within(directory, || folder.lock("l").directory(relative).open().expect(HERE));
            assert!(lock.path().is_absolute());
            let event =
                within(directory, || ExitEvent::named_in("e", relative, 0o600).expect("an event"));
            let clone = lock.try_clone().expect("the same file, wherever we are");
            let guard = lock.lock().expect("free");
            assert!(clone.try_lock().expect(HERE).is_none());
            assert!(
                folder.lock("l").open().expect("the same lock").try_lock().expect(HERE).is_none()
            );
            drop(guard);
            drop((lock, clone, event));
            assert!(folder.names().is_empty(), "{:?}", folder.names());
        }
    });
}

#[test]
fn a_relative_directory_of_a_removed_working_directory_is_an_error() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let gone = folder.path().join("gone");
        fs::create_dir(&gone).expect("ours");
        within(&gone, || {
            fs::remove_dir(&gone).expect("ours");
            let lock = folder.lock("l").directory("there");
            for error in [lock.open().map(drop), lock.inspect().map(drop)] {
                let error = error.expect_err("there is no working directory");
                assert!(
                    matches!(error, Error::System { .. }) && error.errno() == Some(Errno::NOENT),
                    "{error:?}"
                );
                assert_says(&error, &["working directory", "there"]);
            }
        });
        let nowhere = folder.lock("l").directory("").open().expect_err("no directory at all");
        assert_eq!(nowhere.errno(), Some(Errno::NOENT));
    });
}
