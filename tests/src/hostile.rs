//! Does to a lock, its file, its directory or its process what no cooperating program does. For the
//! tests of bad input, bad environments and former flaws.

mod alone;
mod bytes;
mod counting;
mod folder;
mod namespaces;
mod process_tree;
mod sandbox;
mod seccomp;

use std::ops::Deref;
use std::thread;

use shmlock::{Errno, Error};

use crate::fixture::{Fixture, Slot};
use crate::skip::skipped;

pub use alone::alone;
pub use bytes::{Intruder, Mode, PRESENCE, TOKENS, WATCHERS, byte_of};
pub use counting::{Count, Recorded, before_each, interrupt_once, record_calls, refuse_and_count};
pub use folder::{Folder, State};
pub use namespaces::{Apart, be_user_apart, fork_apart, fork_as, shift_clocks};
pub use process_tree::{Child, Line, end_process, fork, raw_clone};
pub use sandbox::{
    Mounted, be_user, leave_descriptors, limit_file_size, make_node, mount_again, mount_ramfs,
    mount_tmpfs,
};
pub use seccomp::{DEADLY, Denied, If, deny};

/// A fixture during which no other fixture of this process runs.
///
/// Between fork and exec, a program that another test starts has a copy of every descriptor of the
/// process. A byte lock whose last descriptor this test closes at that moment lives longer than the
/// test expects.
#[derive(Debug)]
pub struct Solo {
    fixture: Fixture,
}

impl Solo {
    /// Waits until no other fixture runs, and begins.
    #[must_use]
    pub fn new() -> Self {
        Self { fixture: Fixture::on(Slot::alone()) }
    }
}

impl Default for Solo {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Solo {
    type Target = Fixture;

    fn deref(&self) -> &Fixture {
        &self.fixture
    }
}

/// Returns `true` if this process is root; otherwise reports that the test is skipped.
#[must_use]
pub fn as_root(what_for: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skipped(&format!("{what_for} needs root"));
    }
    root
}

/// Runs `act` in a thread of its own: what it does to that thread ends with the thread.
///
/// # Panics
/// If `act` does.
pub fn aside<R: Send>(act: impl FnOnce() -> R + Send) -> R {
    let name = thread::current().name().unwrap_or("a test").to_owned();
    thread::scope(|scope| {
        let aside = thread::Builder::new().name(name).spawn_scoped(scope, act).expect("a thread");
        aside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Runs `act` with a folder on a tmpfs of its own with these options. Where mounting is not
/// allowed, reports that the test is skipped.
pub fn on_tmpfs(options: &str, act: impl FnOnce(&Folder, &Mounted) + Send) {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    aside(|| {
        if let Some(mounted) = mount_tmpfs(folder.path(), options) {
            act(&folder, &mounted);
        }
    });
}

/// Checks that the error's text is one line without control characters and contains all of `parts`.
///
/// # Panics
/// If it does not.
pub fn assert_says(error: &Error, parts: &[&str]) {
    let text = error.to_string();
    assert!(!text.is_empty() && !text.contains(char::is_control), "not one clean line: {text:?}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

/// Checks that the error is a failed system call's with this errno, and that its text says what to
/// do, see [`assert_says`].
///
/// # Panics
/// If it is not.
pub fn assert_failed(error: &Error, errno: Errno, parts: &[&str]) {
    assert!(
        matches!(error, Error::System { .. }) && error.errno() == Some(errno),
        "expected {errno:?}: {error:?}"
    );
    assert_says(error, parts);
}
