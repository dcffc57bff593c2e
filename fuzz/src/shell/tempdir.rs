//! Provides the directory of this process.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;

thread_local! {
    /// Created once for all scenarios, because that takes longer than most of them.
    static PATH: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
}

/// The directory of a scenario. It lies below `TMPDIR`, so that the caller of the process can
/// remove it after a crash.
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
}

impl TempDir {
    /// Returns the empty directory.
    #[must_use]
    pub fn clean() -> Self {
        let path = PATH.with_borrow_mut(|path| path.get_or_insert_with(make).clone());
        let tempdir = Self { path };
        assert!(tempdir.names().is_empty(), "the previous scenario has left a file");
        tempdir
    }

    /// Returns its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the names of its files.
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
