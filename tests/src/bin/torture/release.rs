//! Releases a lock in each way, and checks that it is released once.

use shmlock::{Error, Guard};

use crate::contender::Contender;
use crate::fault::Fault;
use crate::journal::What;
use crate::memory::Doing;
use crate::tally::Count;
use crate::visit::{Give, Visit, Way};

impl Contender<'_> {
    pub(crate) fn give(&self, guard: Guard<'_>, visit: &Visit) {
        let lock = guard.lock();
        match visit.give {
            Give::Release => {
                if let Err(error) = guard.release() {
                    self.refused(visit.lock, &error);
                }
            }
            Give::Drop | Give::Force { .. } => drop(guard),
        }
        if lock.is_held() {
            self.accuse(Fault::WrongRelease, visit.lock, 1);
        }
    }

    /// Releases by force, so that the guard outlives its hold. Then acquires again if the lock is
    /// free, and ends the guard in the middle of that hold.
    pub(crate) fn force(&self, guard: Guard<'_>, visit: &Visit, drops: bool) {
        let (lock, at) = (guard.lock(), visit.lock);
        if !matches!(lock.force_release(), Ok(true)) || lock.is_held() {
            self.accuse(Fault::WrongRelease, at, 0);
        }
        self.released(at);
        let next = self.take(lock, at, Way::Try);
        let holds = next.is_some();
        let end = || {
            if drops {
                drop(guard);
            } else if !matches!(guard.release(), Err(Error::NotHeld { .. })) {
                self.accuse(Fault::WrongRelease, at, 2);
            }
            if lock.is_held() != holds {
                self.accuse(Fault::WrongRelease, at, 3);
            }
        };
        let Some(next) = next else { return end() };
        let visit = Visit { depth: 0, twice: false, give: Give::Drop, ..visit.clone() };
        let section = self.inside(lock, &visit, end);
        self.leave(section);
        self.give(next, &visit);
        self.released(at);
    }

    /// Notes that the lock has been released.
    pub(crate) fn released(&self, at: usize) {
        self.life().clear_may_hold(at);
        self.does(Doing::Nothing);
        self.count(Count::Acquired);
        self.note(What::Released, at);
    }
}
