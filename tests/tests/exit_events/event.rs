//! The event of these tests, and a child that sets it.

use std::path::{Path, PathBuf};

use shmlock::ExitEvent;
use shmlock_tests::hostile::{Child, Folder, fork};

use crate::HERE;

pub(crate) fn file(folder: &Folder) -> PathBuf {
    folder.path().join("e.shmlock-event")
}

pub(crate) fn open(folder: &Folder) -> ExitEvent {
    ExitEvent::named_in("e", folder.path(), 0o600).expect(HERE)
}

pub(crate) fn is_set(event: &ExitEvent) -> bool {
    event.is_set().expect(HERE)
}

/// Forks a child that opens the event in the directory and sets it. The child holds it open until
/// it is killed or told to end.
pub(crate) fn setter(directory: &Path, mode: u32, end: impl FnOnce(ExitEvent)) -> Child {
    let child = fork(|line| {
        let event = ExitEvent::named_in("e", directory, mode).expect("an event");
        event.set().expect("ours");
        line.ready();
        line.wait();
        end(event);
    });
    child.line().wait();
    child
}
