//! Removes the file of a lock or named exit event that its users left.
//!
//! A process that ends without closing its handles leaves the file. The next closer of the lock
//! removes it; without one, the file stays. The removal here follows the closer's rules
//! (`shm/attach/mod.rs`, "Closing", step 2) and two more. The region was never mapped, so byte
//! locks must first be shown to work. A DIED flag goes with the file if the caller asks for it. The
//! file of an exit event is removed whatever its word.

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

/// The treatment of a lock whose DIED flag is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DiedFlag {
    /// Keeps the flag and the file, so that the next owner is told of the death.
    #[default]
    Keep,
    /// Removes the flag with the file: the next owner gets a new lock and is not told.
    Remove,
}

/// The result of [`Builder::clean`](crate::Builder::clean) or
/// [`ExitEvent::clean`](crate::ExitEvent::clean).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CleanOutcome {
    /// There is no such lock or event.
    Absent,
    /// A process has it open, or was started while another opened it and has not called exec yet.
    /// The file is unchanged.
    InUse,
    /// An owner died, and no later owner has declared the data consistent. The file is unchanged.
    OwnerDied(Box<DeadOwner>),
    /// A static token holds it, which an embedder has assigned: its liveness cannot be known here.
    /// The file is unchanged.
    HeldByStaticToken,
    /// The file has a second name, or the name got another file meanwhile. Nothing was removed.
    LinkedElsewhere,
    /// No process had it open, and it was free. The file was removed.
    Removed,
    /// No process had it open, and an owner had died. The file and its DIED flag were removed.
    RemovedAfterCrash(Box<DeadOwner>),
}

/// The dead owner of a lock that no process has open.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DeadOwner {
    /// The owner that died. `None` if a later owner recovered the lock without declaring the data
    /// consistent.
    pub dead: Option<Holder>,
}

/// Removes the lock's file if no process has it open, see
/// [`Builder::clean`](crate::Builder::clean).
pub(crate) fn clean(file: &FileSpec, fence: FenceScope, flag: DiedFlag) -> Result<CleanOutcome> {
    clean_by(file, |descriptor, generation| clean_alone(file, descriptor, generation, fence, flag))
}

/// Removes the event's file if no process has it open, see
/// [`ExitEvent::clean`](crate::ExitEvent::clean).
pub(crate) fn clean_event(file: &FileSpec) -> Result<CleanOutcome> {
    clean_by(file, |descriptor, generation| remove(file, descriptor, generation, None))
}

/// Calls `clean_alone` while no other process has the file open, and none can open it.
fn clean_by(
    file: &FileSpec,
    clean_alone: impl FnOnce(&Descriptor, ProcessGeneration) -> Result<CleanOutcome>,
) -> Result<CleanOutcome> {
    let Some(fd) = file.open()? else { return Ok(CleanOutcome::Absent) };
    let failed = |errno| file.system("inspect", errno);
    let (descriptor, stat) = Descriptor::with_stat(fd).map_err(failed)?;
    file.check_kind(&stat)?;
    let descriptor = descriptor.with_role(Role::Probe).map_err(failed)?;
    let fd = descriptor.as_fd();
    file.check_size(fd, &stat)?;
    file.check_magic(fd)?;
    fork_gate::register();
    let _no_fork = NoForkGuard::begin();
    let generation = ProcessGeneration::here();
    let alone =
        ofd::try_lock(fd, Kind::Write, PRESENCE).map_err(|errno| file.no_byte_locks(errno))?;
    if !alone {
        return Ok(CleanOutcome::InUse);
    }
    if !descriptor.is_itself() {
        // A stranger's description may have granted it, see `shm/removal.rs`.
        if generation.is_here() {
            let _ = presence::announce(fd);
        }
        return Ok(CleanOutcome::LinkedElsewhere);
    }
    // No process can arrive until the description is closed. The pin keeps it open even if other
    // code of this process closes the descriptor.
    let pin = descriptor.pin(generation).map_err(|errno| file.system("map", errno));
    let outcome = pin.and_then(|_pin| {
        let seen = check_lock_is_seen(file, &descriptor)?;
        if seen { clean_alone(&descriptor, generation) } else { Ok(CleanOutcome::LinkedElsewhere) }
    });
    if !generation.is_here() {
        // A signal handler has forked, and this is the child. The parent has the byte and goes on.
        return Ok(CleanOutcome::InUse);
    }
    // Closing withdraws it as well, unless a process forked meanwhile has a copy of the descriptor.
    if descriptor.is_itself() {
        let _ = presence::withdraw(fd);
    }
    outcome
}

/// Checks that another description sees the write lock on PRESENCE. Returns `false` if the name
/// has another file by now.
fn check_lock_is_seen(file: &FileSpec, descriptor: &Descriptor) -> Result<bool> {
    let Some(other) = file.open()? else { return Ok(false) };
    let other = Descriptor::new(other).map_err(|errno| file.system("inspect", errno))?;
    if !named_by(other.as_fd(), &file.path) || !named_by(descriptor.as_fd(), &file.path) {
        return Ok(false);
    }
    attach::check_byte_locks(file, other.as_fd(), PRESENCE).map(|()| true)
}

/// Removes the lock's file if the word and the caller's `flag` allow it.
fn clean_alone(
    file: &FileSpec,
    descriptor: &Descriptor,
    generation: ProcessGeneration,
    fence: FenceScope,
    flag: DiedFlag,
) -> Result<CleanOutcome> {
    let fd = descriptor.as_fd();
    let mut bytes = [0; 4];
    // A shorter file is an incomplete lock, which no handle has used yet.
    retry_on_intr(|| pread(fd, &mut bytes, 0)).map_err(|errno| file.system("read", errno))?;
    let word = Word::from_bits(u32::from_le_bytes(bytes));
    let owner = word.owner();
    if owner.is_some_and(|owner| owner.range() == TokenRange::Static) {
        return Ok(CleanOutcome::HeldByStaticToken);
    }
    // No process has the lock open, so an owner in the word is dead.
    let dead = (owner.is_some() || word.owner_died())
        .then(|| file.holder(descriptor.as_fd(), fence).map(|dead| Box::new(DeadOwner { dead })))
        .transpose()?;
    match dead {
        Some(dead) if flag == DiedFlag::Keep => Ok(CleanOutcome::OwnerDied(dead)),
        dead => remove(file, descriptor, generation, dead),
    }
}

/// Removes the file. `dead` is the dead owner, if DIED is set or the word names an owner.
fn remove(
    file: &FileSpec,
    descriptor: &Descriptor,
    generation: ProcessGeneration,
    dead: Option<Box<DeadOwner>>,
) -> Result<CleanOutcome> {
    let fd = descriptor.as_fd();
    if !(has_one_name(fd) && named_by(fd, &file.path) && descriptor.is_itself()) {
        return Ok(CleanOutcome::LinkedElsewhere);
    }
    if !generation.is_here() {
        return Ok(CleanOutcome::InUse); // see `clean_by`
    }
    retry_on_intr(|| unlink(&file.path)).map_err(|errno| file.system("remove", errno))?;
    Ok(dead.map_or(CleanOutcome::Removed, CleanOutcome::RemovedAfterCrash))
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

    /// A signal handler may fork while this process cleans.
    #[test]
    fn a_forked_child_removes_no_file_that_its_parent_cleans() {
        let directory = env::temp_dir().join(format!("shmlock-clean-{}", process::id()));
        fs::create_dir(&directory).expect("a new directory");
        let file = FileSpec::new(&Name::new("l").expect("a name"), SUFFIX, &directory, 0o600)
            .expect("absolute");
        let dead = ShmLock::builder("l").directory(&directory).open().expect("a lock");
        mem::forget(dead.lock().expect("free"));
        drop(dead);
        let mut forked = 0;
        let outcome = clean_by(&file, |descriptor, generation| {
            // SAFETY: the child only makes system calls, frees memory and ends.
            forked = unsafe { libc::fork() };
            if forked == 0 {
                return remove(&file, descriptor, generation, None);
            }
            let mut status = 0;
            // SAFETY: a valid pointer, and a child of ours.
            assert_eq!(unsafe { libc::waitpid(forked, &raw mut status, 0) }, forked);
            let other =
                file.open().expect("it can be opened").expect("the child has removed the file");
            assert!(
                ofd::is_locked(other.as_fd(), PRESENCE).expect("seen"),
                "the child has admitted openers"
            );
            assert!(status == 0, "the child ended by {status:#x}");
            remove(&file, descriptor, generation, None)
        });
        if forked == 0 {
            let code = i32::from(!matches!(outcome, Ok(CleanOutcome::InUse)));
            // SAFETY: ends the child and runs nothing of the parent.
            unsafe { libc::_exit(code) };
        }
        assert_eq!(outcome.expect("cleaned"), CleanOutcome::Removed);
        fs::remove_dir(&directory).expect("empty");
    }
}
