//! Where do the contenders keep their files? In one directory of `/dev/shm` for each contender and
//! run.
//!
//! All of them on the same file system, and nothing of it is left at the end, whatever the end is:
//! Ctrl-C, a hang and an error included. Only who kills this program by SIGKILL has to tidy up by
//! hand.

use std::fs::{self, File, OpenOptions};
use std::mem::forget;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use shmlock_bench_support::Result;

use crate::contenders::{Contender, Kind, Task};

const SHM: &str = "/dev/shm";
const PREFIX: &str = "shmlock-comparison";

/// Held while a place is made, and for ever once all are being removed.
static MAY_MAKE: Mutex<()> = Mutex::new(());

/// A place for one contender in one run.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    name: String,
}

impl Place {
    /// A new one; in a worker, the one of this name.
    pub(crate) fn named(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    /// What is one word for all of it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The directory for files.
    pub(crate) fn directory(&self) -> PathBuf {
        Path::new(SHM).join(&self.name)
    }

    /// A file in the directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    /// Opens a file in the directory.
    pub(crate) fn open(&self, name: &str) -> Result<File> {
        Ok(OpenOptions::new().read(true).write(true).open(self.file(name))?)
    }

    /// The C library's choice for a named semaphore.
    pub(crate) fn semaphore(&self) -> PathBuf {
        Path::new(SHM).join(format!("sem.{}", self.name))
    }

    /// How many files there are now.
    pub(crate) fn files(&self) -> Result<usize> {
        Ok(fs::read_dir(self.directory())?.count() + usize::from(self.semaphore().exists()))
    }
}

/// A place that is prepared, and gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Prepared {
    kind: Kind,
    place: Place,
}

impl Prepared {
    /// Makes and prepares a place for this contender.
    pub(crate) fn new(kind: Kind) -> Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed); // a number of its own is all we need
        let place = Place::named(&format!("{PREFIX}-{}-{number}", process::id()));
        let may_make = MAY_MAKE.lock().unwrap_or_else(PoisonError::into_inner);
        fs::create_dir(place.directory())?;
        let prepared = Self { kind, place };
        prepared.kind.dispatch(Prepare(&prepared.place))?;
        drop(may_make);
        Ok(prepared)
    }

    /// Where.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        self.kind.dispatch(Remove(&self.place));
        let _ = fs::remove_dir_all(self.place.directory()); // a drop has nobody to tell
    }
}

struct Prepare<'a>(&'a Place);

impl Task for Prepare<'_> {
    type Output = Result<()>;

    fn run<C: Contender>(self) -> Result<()> {
        C::prepare(self.0)
    }
}

struct Remove<'a>(&'a Place);

impl Task for Remove<'_> {
    type Output = ();

    fn run<C: Contender>(self) {
        C::remove(self.0);
    }
}

/// Removes every place of this process, for an end that runs no drops. No thread can make another
/// one afterwards.
pub(crate) fn remove_all() {
    forget(MAY_MAKE.lock().unwrap_or_else(PoisonError::into_inner)); // whoever asks for it waits until the end
    let ours = format!("{PREFIX}-{}-", process::id());
    for entry in fs::read_dir(SHM).into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        if name.strip_prefix("sem.").unwrap_or(&name).starts_with(&ours) {
            // More than once if a worker makes a file meanwhile. It makes one only.
            let remove =
                || fs::remove_file(entry.path()).or_else(|_| fs::remove_dir_all(entry.path()));
            let _ = (0..10).any(|_| remove().is_ok());
        }
    }
}
