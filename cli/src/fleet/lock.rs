//! Opens a fleet lock with a descriptor that is readable once the lock is lost.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use shmlock_fleet::FleetLock;

use super::failure::failure;
use super::options::{Cluster, Lease};
use crate::args::{Place, Sharing, Waiting};
use crate::exit::{Failure, SYSTEM};
use crate::signals::Interrupts;

/// Which lock, and on which terms.
pub(crate) struct Target<'a> {
    pub(crate) name: &'a str,
    pub(crate) description: &'a str,
    pub(crate) waiting: &'a Waiting,
    pub(crate) place: &'a Place,
    pub(crate) sharing: &'a Sharing,
    pub(crate) cluster: &'a Cluster,
    pub(crate) lease: &'a Lease,
    /// `true` if a command inherits the lifeline of the local lock.
    pub(crate) lifeline: bool,
}

/// A lock and its alarm.
pub(super) struct Opened {
    pub(super) lock: FleetLock,
    /// Readable once the lock is lost.
    pub(super) alarm: Arc<OwnedFd>,
}

/// Opens the lock. Its own deadline comes by `before` earlier than the drift of clocks asks for.
pub(super) fn open(target: &Target<'_>, before: Duration) -> Result<Opened, Failure> {
    let alarm = eventfd(0, EventfdFlags::CLOEXEC).map_err(|errno| {
        Failure::new(SYSTEM, format!("cannot make an eventfd: {errno}; close descriptors"))
    })?;
    let alarm = Arc::new(alarm);
    let bell = Arc::clone(&alarm);
    let path = target.place.path(target.name);
    let lock = target
        .cluster
        .builder(target.name)
        .ttl(target.lease.ttl())
        .margin(target.lease.drift() + before)
        .local(|local| target.sharing.apply(local, &path).lifeline(target.lifeline))
        .directory(&target.place.directory)
        .description(target.description)
        .exit_event(Interrupts::event())
        .on_loss(move |_| {
            let _ = rustix::io::write(&*bell, &1_u64.to_ne_bytes()); // an eventfd at 0 has room
        })
        .open()
        .map_err(failure)?;
    Ok(Opened { lock, alarm })
}
