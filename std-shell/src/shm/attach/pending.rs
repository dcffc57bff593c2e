//! Makes steps 1 to 4 of an opening, and undoes them if a later step fails.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::fstat;
use rustix::io::{pread, retry_on_intr};

use crate::error::Result;
use crate::identity::presence;
use crate::layout::header::BlockLayout;
use crate::shm::file::FileSpec;
use crate::shm::removal::{UnlinkPolicy, is_write_lock_visible, remove_if_last};
use crate::shm::stale_block;
use crate::sys::descriptor::{Descriptor, Role};
use crate::sys::file_id::FileId;
use crate::sys::fork::ProcessGeneration;

/// A begun opening: present through `A`. Its drop leaves the file as a closer does.
pub(super) struct PendingOpen<'p> {
    pub(super) place: &'p FileSpec,
    pub(super) birth: ProcessGeneration,
    pub(super) policy: UnlinkPolicy,
    /// This opening created the file.
    created: bool,
    pub(super) a: Descriptor,
    /// `None` once the attachment has it: then the drop closes only the descriptor of `A`.
    pub(super) b: Option<Descriptor>,
}

impl<'p> PendingOpen<'p> {
    /// Makes steps 1 to 4. `None`: begin again.
    pub(super) fn try_new(
        place: &'p FileSpec,
        birth: ProcessGeneration,
        policy: UnlinkPolicy,
    ) -> Result<Option<Self>> {
        let (a, created) = match place.open()? {
            Some(fd) => (fd, false),
            None => match place.create()? {
                Some(fd) => (fd, true),
                // At once: should the time be over, an empty file that we have made would stay.
                None => match place.open()? {
                    Some(fd) => (fd, false),
                    None => return Ok(None),
                },
            },
        };
        let failed = |errno| place.system("inspect", errno);
        let (a, stat) = Descriptor::with_stat(a).map_err(failed)?;
        if !created {
            place.judge(a.as_fd(), &stat)?;
        }
        let a = a.with_role(Role::Identity).map_err(failed)?;
        let b = Self::open_second(place, &a).inspect_err(|_| {
            if created && birth.is_here() && presence::withdraw(a.as_fd()).is_ok() {
                remove_if_last(place, &a, birth, || policy.allows_unlink(a.as_fd()));
            }
        })?;
        let Some(b) = b else { return Ok(None) };
        if created {
            return Ok(Some(Self { place, birth, policy, created, a, b: Some(b) }));
        }
        let removes_stale = policy == UnlinkPolicy::Always || place.shape != BlockLayout::NONE;
        if removes_stale && stale_block::clear_away(place, policy, birth, &a, &b) {
            return Ok(None);
        }
        match presence::announce(a.as_fd()) {
            Ok(true) => {}
            Err(errno) if a.is_itself() => return Err(place.no_byte_locks(errno)),
            Ok(false) | Err(_) => return Ok(None),
        }
        let pending = Self { place, birth, policy, created, a, b: Some(b) };
        let a = pending.a.as_fd();
        let Ok(stat) = fstat(a) else { return Ok(None) };
        if FileId::of(&stat) != pending.a.identity() || stat.st_nlink == 0 {
            return Ok(None);
        }
        let content =
            place.check_size(a, &stat).and_then(|()| place.check_magic(a)).and_then(|magic| {
                if place.is_memory_proven(&stat, magic) { Ok(true) } else { place.allocate(a) }
            });
        Ok(pending.unless_exchanged(content)?.unwrap_or(false).then_some(pending))
    }

    /// Opens `B`, step 2. `None`: the name leads to another file, or to none.
    fn open_second(place: &FileSpec, a: &Descriptor) -> Result<Option<Descriptor>> {
        let Some(fd) = place.open()? else { return Ok(None) };
        let b = Descriptor::new(fd).map_err(|errno| place.system("inspect", errno))?;
        if b.identity() != a.identity() {
            return Ok(None);
        }
        b.with_role(Role::Probe).map(Some).map_err(|errno| place.system("inspect", errno))
    }

    /// Returns the result of a step. `None` for an error while a descriptor is not itself: the
    /// error may be of another file, so begin again.
    pub(super) fn unless_exchanged<T>(&self, result: Result<T>) -> Result<Option<T>> {
        match result {
            Err(_) if !self.is_itself() => Ok(None),
            result => result.map(Some),
        }
    }

    /// Returns `true` if both descriptors are themselves.
    pub(super) fn is_itself(&self) -> bool {
        self.a.is_itself() && self.b.as_ref().is_some_and(Descriptor::is_itself)
    }
}

impl Drop for PendingOpen<'_> {
    fn drop(&mut self) {
        let Some(b) = self.b.take() else { return };
        // In a forked child the presence is the parent's.
        let is_ours = self.birth.is_here() && self.a.is_itself();
        if !(is_ours && presence::withdraw(self.a.as_fd()).is_ok()) {
            return;
        }
        // Before step 7 it is not known that byte locks are real, nor perhaps that the file is a
        // lock.
        let may_remove = || {
            let is_ours = || self.place.is_a_lock(b.as_fd()) || is_ungrown(b.as_fd());
            self.created || is_ours() && is_write_lock_visible(b.as_fd())
        };
        remove_if_last(self.place, &self.a, self.birth, || {
            self.policy.allows_unlink(self.a.as_fd()) && may_remove()
        });
    }
}

/// Returns `true` for a file that another process has created and not grown yet.
fn is_ungrown(fd: BorrowedFd<'_>) -> bool {
    matches!(retry_on_intr(|| pread(fd, &mut [0; 4], 0)), Ok(0))
}
