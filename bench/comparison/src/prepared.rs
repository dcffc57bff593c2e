//! Makes the places of contenders, and removes them at every end: error, hang and Ctrl-C included,
//! SIGKILL excluded.

use std::fs;
use std::mem::forget;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use shmlock_bench_support::Result;

use crate::contenders::{Contender, Kind, Task};
use crate::place::{Place, SHM};

const PREFIX: &str = "shmlock-comparison";

/// Held while a place is made, and forever once all are being removed.
static MAY_MAKE: Mutex<()> = Mutex::new(());

/// A prepared place. The drop removes it.
#[derive(Debug)]
pub(crate) struct Prepared {
    kind: Kind,
    place: Place,
}

impl Prepared {
    /// Makes and prepares a place for this contender.
    pub(crate) fn new(kind: Kind) -> Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed); // only unique
        let place = Place::named(&format!("{PREFIX}-{}-{number}", process::id()));
        let may_make = MAY_MAKE.lock().unwrap_or_else(PoisonError::into_inner);
        fs::create_dir(place.directory())?;
        let prepared = Self { kind, place };
        prepared.kind.dispatch(Prepare(&prepared.place))?;
        drop(may_make);
        Ok(prepared)
    }

    /// Returns the place.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        self.kind.dispatch(Remove(&self.place));
        let _ = fs::remove_dir_all(self.place.directory()); // a drop reports no errors
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

/// Removes every place of this process, before an exit that runs no drops. No thread can make
/// another place afterwards.
pub(crate) fn remove_all() {
    // A thread that makes a place waits until the end.
    forget(MAY_MAKE.lock().unwrap_or_else(PoisonError::into_inner));
    let ours = format!("{PREFIX}-{}-", process::id());
    for entry in fs::read_dir(SHM).into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        if name.strip_prefix("sem.").unwrap_or(&name).starts_with(&ours) {
            // Again if a worker made a file meanwhile. A worker makes one at most.
            let remove =
                || fs::remove_file(entry.path()).or_else(|_| fs::remove_dir_all(entry.path()));
            let _ = (0..10).any(|_| remove().is_ok());
        }
    }
}
