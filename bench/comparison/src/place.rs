//! Names a directory of `/dev/shm` for the files of one contender in one run, so that all
//! contenders use the same file system.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use shmlock_bench_support::Result;

/// The directory of all places.
pub(crate) const SHM: &str = "/dev/shm";

/// A place for one contender in one run.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    name: String,
}

impl Place {
    /// Returns the place of this name.
    pub(crate) fn named(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    /// Returns the name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the directory for files.
    pub(crate) fn directory(&self) -> PathBuf {
        Path::new(SHM).join(&self.name)
    }

    /// Returns the path of a file in the directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    /// Opens a file in the directory.
    pub(crate) fn open(&self, name: &str) -> Result<File> {
        Ok(OpenOptions::new().read(true).write(true).open(self.file(name))?)
    }

    /// Returns the C library's path for a named semaphore (`sem_overview(7)`).
    pub(crate) fn semaphore(&self) -> PathBuf {
        Path::new(SHM).join(format!("sem.{}", self.name))
    }

    /// Counts the files.
    pub(crate) fn files(&self) -> Result<usize> {
        Ok(fs::read_dir(self.directory())?.count() + usize::from(self.semaphore().exists()))
    }
}
