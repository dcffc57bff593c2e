//! What locks and named exit events a directory has, and taking away what their users left.
//!
//! A process that ends without closing its handles leaves the file. The next who closes the lock
//! removes it; where nobody comes any more, it stays. Removing it here goes by the closer's rules
//! (`shm.rs`, "Leaving", step 2), with two more: we were never on the region, so we have not seen
//! yet that byte locks are what they seem; and a crash mark may go, too, if that was asked for. The
//! file of an exit event goes whatever stands in its word.

use std::os::fd::AsFd;

use rustix::fs::unlink;
use rustix::io::{pread, retry_on_intr};
use shmlock_core::token::TokenRange;
use shmlock_core::{FenceScope, Word};

use crate::error::Result;
use crate::holder::Holder;
use crate::identity::presence;
use crate::layout::lock_bytes::PRESENCE;
use crate::shm::attach;
use crate::shm::file::{FileSpec, has_one_name, named_by};
use crate::sys::descriptor::{Descriptor, Role};
use crate::sys::fork::ProcessGeneration;
use crate::sys::fork_gate::{self, NoForkGuard};
use crate::sys::ofd::{self, Kind};

/// What to do with the mark that an owner has died.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiedFlag {
    /// It stays, and the file with it: the next owner is to be told.
    #[default]
    Keep,
    /// It goes with the file: the next owner finds a new lock, and is not told.
    Remove,
}

/// What [`Builder::clean`](crate::Builder::clean) or [`ExitEvent::clean`](crate::ExitEvent::clean)
/// found, and did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CleanOutcome {
    /// There is no such lock or event.
    Absent,
    /// Somebody has it open, or a program that was started while somebody opened it has yet to call
    /// exec. It was left alone.
    InUse,
    /// An owner died, and nobody has declared the data consistent since. It was left alone.
    OwnerDied(Box<DeadOwner>),
    /// It is held by a token that an embedder gave out: whether that one lives cannot be known
    /// here. It was left alone.
    HeldByStaticToken,
    /// The file has a second name, or the name got another file meanwhile. It was left alone.
    LinkedElsewhere,
    /// Nobody had it open, and it was free. The file is gone.
    Removed,
    /// Nobody had it open, and an owner had died. File and mark are gone.
    RemovedAfterCrash(Box<DeadOwner>),
}

/// An owner died: what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadOwner {
    /// Who died holding the lock. `None` if somebody has replaced it since, without declaring the
    /// data consistent.
    pub dead: Option<Holder>,
}

/// Removes the lock's file if nobody has it open, see [`Builder::clean`](crate::Builder::clean).
pub(crate) fn clean(place: &FileSpec, fence: FenceScope, mark: DiedFlag) -> Result<CleanOutcome> {
    clean_by(place, |descriptor, birth| clean_alone(place, descriptor, birth, fence, mark))
}

/// Removes the event's file if nobody has it open, see
/// [`ExitEvent::clean`](crate::ExitEvent::clean).
pub(crate) fn clean_event(place: &FileSpec) -> Result<CleanOutcome> {
    clean_by(place, |descriptor, birth| remove(place, descriptor, birth, None))
}

/// Has `clean_alone` judge and remove the file while nobody is here.
fn clean_by(
    place: &FileSpec,
    clean_alone: impl FnOnce(&Descriptor, ProcessGeneration) -> Result<CleanOutcome>,
) -> Result<CleanOutcome> {
    let Some(fd) = place.open()? else { return Ok(CleanOutcome::Absent) };
    let failed = |errno| place.system("inspect", errno);
    let descriptor = Descriptor::new(fd).map_err(failed)?;
    place.check_kind(descriptor.as_fd())?;
    let descriptor = descriptor.with_role(Role::Probe).map_err(failed)?;
    let fd = descriptor.as_fd();
    place.check_size(fd)?;
    place.check_magic(fd)?;
    fork_gate::keep();
    let _stretch = NoForkGuard::begin();
    let birth = ProcessGeneration::here();
    let alone =
        ofd::try_lock(fd, Kind::Write, PRESENCE).map_err(|errno| place.no_byte_locks(errno))?;
    if !alone {
        return Ok(CleanOutcome::InUse);
    }
    if !descriptor.is_itself() {
        // Granted by a stranger's description, perhaps; see `removal.rs`.
        if birth.is_here() {
            let _ = presence::announce(fd);
        }
        return Ok(CleanOutcome::LinkedElsewhere);
    }
    // From here on nobody can arrive, until the description is closed.
    // So that it lasts until then even if other code of this process closes the number.
    let pin = descriptor.pin(birth).map_err(|errno| place.system("map", errno));
    let cleaning = pin.and_then(|_pin| {
        let seen = check_that_locks_are_seen(place, &descriptor)?;
        if seen { clean_alone(&descriptor, birth) } else { Ok(CleanOutcome::LinkedElsewhere) }
    });
    if !birth.is_here() {
        return Ok(CleanOutcome::InUse); // a child that a signal handler has forked: its parent, which has the byte, goes on
    }
    // Closing does the same, unless a process that was forked meanwhile has a copy of the
    // descriptor.
    if descriptor.is_itself() {
        let _ = presence::withdraw(fd);
    }
    cleaning
}

/// Whether the write lock just taken is one that others run into. `false`: the name has another
/// file by now.
fn check_that_locks_are_seen(place: &FileSpec, descriptor: &Descriptor) -> Result<bool> {
    let Some(other) = place.open()? else { return Ok(false) };
    let other = Descriptor::new(other).map_err(|errno| place.system("inspect", errno))?;
    if !named_by(other.as_fd(), &place.path) || !named_by(descriptor.as_fd(), &place.path) {
        return Ok(false);
    }
    attach::check_byte_locks(place, other.as_fd(), PRESENCE).map(|()| true)
}

fn clean_alone(
    place: &FileSpec,
    descriptor: &Descriptor,
    birth: ProcessGeneration,
    fence: FenceScope,
    mark: DiedFlag,
) -> Result<CleanOutcome> {
    let fd = descriptor.as_fd();
    let mut bytes = [0; 4];
    // Shorter: a half-made lock, which nobody has used yet.
    retry_on_intr(|| pread(fd, &mut bytes, 0)).map_err(|errno| place.system("read", errno))?;
    let word = Word::from_bits(u32::from_le_bytes(bytes));
    let owner = word.owner();
    if owner.is_some_and(|owner| owner.range() == TokenRange::Static) {
        return Ok(CleanOutcome::HeldByStaticToken);
    }
    // Nobody is here: whoever stands in the word is dead.
    let marked = (owner.is_some() || word.owner_died())
        .then(|| place.holder(descriptor.as_fd(), fence).map(|dead| Box::new(DeadOwner { dead })))
        .transpose()?;
    match marked {
        Some(marked) if mark == DiedFlag::Keep => Ok(CleanOutcome::OwnerDied(marked)),
        marked => remove(place, descriptor, birth, marked),
    }
}

/// Removes the file, with its mark if it has one.
fn remove(
    place: &FileSpec,
    descriptor: &Descriptor,
    birth: ProcessGeneration,
    marked: Option<Box<DeadOwner>>,
) -> Result<CleanOutcome> {
    let fd = descriptor.as_fd();
    if !(has_one_name(fd) && named_by(fd, &place.path) && descriptor.is_itself()) {
        return Ok(CleanOutcome::LinkedElsewhere);
    }
    if !birth.is_here() {
        return Ok(CleanOutcome::InUse); // see `clean_by`
    }
    retry_on_intr(|| unlink(&place.path)).map_err(|errno| place.system("remove", errno))?;
    Ok(marked.map_or(CleanOutcome::Removed, CleanOutcome::RemovedAfterCrash))
}

#[cfg(test)]
mod tests {
    #![allow(unsafe_code, reason = "fork, and what a child does after it")]

    use std::os::fd::AsFd;
    use std::{env, fs, mem, process};

    use super::{CleanOutcome, clean_by, remove};
    use crate::ShmLock;
    use crate::layout::lock_bytes::PRESENCE;
    use crate::name::{Name, SUFFIX};
    use crate::shm::file::FileSpec;
    use crate::sys::ofd;

    /// As a signal handler does that forks while this process cleans.
    #[test]
    fn a_forked_child_leaves_the_cleaning_to_its_parent() {
        let directory = env::temp_dir().join(format!("shmlock-remains-{}", process::id()));
        fs::create_dir(&directory).expect("a new directory");
        let place = FileSpec::new(&Name::new("l").expect("a name"), SUFFIX, &directory, 0o600)
            .expect("absolute");
        let dead = ShmLock::builder("l").directory(&directory).open().expect("a lock");
        mem::forget(dead.lock().expect("free"));
        drop(dead);
        let mut forked = 0;
        let cleaning = clean_by(&place, |descriptor, birth| {
            // SAFETY: the child makes system calls only, frees memory, and then ends.
            forked = unsafe { libc::fork() };
            if forked == 0 {
                return remove(&place, descriptor, birth, None);
            }
            let mut status = 0;
            // SAFETY: a valid pointer, and a child of ours.
            assert_eq!(unsafe { libc::waitpid(forked, &raw mut status, 0) }, forked);
            let other =
                place.open().expect("it can be opened").expect("the child has removed the file");
            assert!(
                ofd::is_locked(other.as_fd(), PRESENCE).expect("seen"),
                "the child has let openers in"
            );
            assert!(status == 0, "the child ended by {status:#x}");
            remove(&place, descriptor, birth, None)
        });
        if forked == 0 {
            let code = i32::from(!matches!(cleaning, Ok(CleanOutcome::InUse)));
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(code) };
        }
        assert_eq!(cleaning.expect("cleaned"), CleanOutcome::Removed);
        fs::remove_dir(&directory).expect("empty");
    }
}
