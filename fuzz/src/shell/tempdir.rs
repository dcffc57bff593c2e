//! A directory of this process alone.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;

thread_local! {
    /// Made once for all stories: making and removing a directory costs more than most of them.
    static PATH: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
}

/// The directory in which a story plays. Below `TMPDIR`, so that whoever starts the process can
/// take it away with whatever a crash left in it.
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
}

impl TempDir {
    /// With nothing in it.
    #[must_use]
    pub fn clean() -> Self {
        let path = PATH.with_borrow_mut(|path| path.get_or_insert_with(make).clone());
        let tempdir = Self { path };
        assert!(tempdir.names().is_empty(), "the story before has left something");
        tempdir
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.path).expect("our own directory");
        entries
            .map(|entry| entry.expect("our own").file_name().into_string().expect("from a string"))
            .collect()
    }
}

fn make() -> PathBuf {
    let path = std::env::temp_dir().join(format!("shmlock-fuzz-{}", process::id()));
    fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    path
}
