//! Crates with a lock between processes.

use std::fs::File;

use fd_lock::RwLock;
use named_lock::NamedLock;
use shmlock_bench_support::Result;

use super::Contender;
use crate::place::Place;

/// `named-lock`: a name, by flock on a file of that name.
#[derive(Debug)]
pub(crate) struct Named(NamedLock);

impl Contender for Named {
    fn open(place: &Place) -> Result<Self> {
        Ok(Self(NamedLock::with_path(place.file("named-lock"))?))
    }

    fn locked<R>(&mut self, critical_section: impl FnOnce() -> R) -> Result<R> {
        let _guard = self.0.lock()?;
        Ok(critical_section())
    }
}

/// `fd-lock`: a readers–writer lock on an open file, by flock.
#[derive(Debug)]
pub(crate) struct Fd(RwLock<File>);

impl Contender for Fd {
    fn prepare(place: &Place) -> Result<()> {
        Ok(File::create_new(place.file("fd-lock")).map(drop)?)
    }

    fn open(place: &Place) -> Result<Self> {
        Ok(Self(RwLock::new(place.open("fd-lock")?)))
    }

    fn locked<R>(&mut self, critical_section: impl FnOnce() -> R) -> Result<R> {
        let _guard = self.0.write()?;
        Ok(critical_section())
    }
}
