//! Executes the plan of a worker process, until the plan or the run is over, or the process is
//! killed.

use std::fs::File;
use std::io::Read;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use rustix::thread::futex;
use shmlock::{ExitEvent, ShmLock};

use crate::contender::{Contender, NO_LOCK};
use crate::fault::Fault;
use crate::journal::What;
use crate::memory::{Doing, LOCKS};
use crate::operations::hold;
use crate::plan::Plan;
use crate::role::Role;
use crate::session::Session;
use crate::tally::Count;
use crate::visit::{Blocks, Give, Hold, Make, Operation, Visit, Way};

/// Longer than any run: processes that outlive even the master end by this.
pub(crate) const LONGEST_RUN: u32 = 3 * 60 * 60;

pub(crate) struct Worker<'m> {
    pub(crate) session: &'m Session,
    pub(crate) me: Contender<'m>,
    pub(crate) handles: [Option<ShmLock>; LOCKS],
    pub(crate) exit_event: Option<ExitEvent>,
}

impl Worker<'_> {
    pub(crate) fn follow(&mut self, plan: Plan) {
        for operation in plan {
            if self.session.memory.is_over() {
                return;
            }
            self.perform(&operation);
        }
    }

    fn perform(&mut self, operation: &Operation) {
        match operation {
            Operation::Visit(visit) => self.visit(visit),
            Operation::Close(at) => self.close(*at),
            Operation::Look(at, make) => self.look(*at, make),
            Operation::HandOver(visit) => self.hand_over(visit),
            Operation::Crowd(visit, rounds) => self.crowd(visit, *rounds),
            Operation::Fork { visits, drops, waits } => self.fork(visits, *drops, *waits),
            Operation::Hinder(how, visits) => self.hinder(*how, visits),
            Operation::Leak(visit, times) => (0..*times).for_each(|_| self.leak(visit)),
            Operation::Meet { visit, recalls } => self.meet(visit, *recalls),
            Operation::DropHeld(visit) => self.drop_held(visit),
            Operation::SetExitEvent(time) => self.set_exit_event(*time),
            Operation::End(end) => self.end(end),
        }
    }

    /// Opens the lock unless it is open; returns `true` if it is open then.
    pub(crate) fn open(&mut self, at: usize, make: &Make) -> bool {
        if self.handles[at].is_none() {
            if make.event && self.exit_event.is_none() {
                self.exit_event = self.open_exit_event();
            }
            self.handles[at] =
                self.me.open(&self.session.names[at], at, make, self.exit_event.as_ref());
        }
        self.handles[at].is_some()
    }

    /// Opens a new handle, which the worker does not keep.
    pub(crate) fn open_anew(&mut self, at: usize, make: &Make) -> Option<ShmLock> {
        self.close(at);
        self.open(at, make);
        self.handles[at].take()
    }

    pub(crate) fn close(&mut self, at: usize) {
        if let Some(lock) = self.handles[at].take() {
            self.me.close(at, lock);
        }
    }

    pub(crate) fn close_all(&mut self) {
        (0..LOCKS).for_each(|at| self.close(at));
        self.me.does(Doing::Closing);
        self.exit_event = None;
        self.me.does(Doing::Nothing);
    }

    /// Opens the event that ends waits, which all workers of this role share.
    pub(crate) fn open_exit_event(&self) -> Option<ExitEvent> {
        self.me.does(Doing::Opening);
        let exit_event = ExitEvent::named(&self.session.exit_event(Role::of(self.me.at)));
        self.me.does(Doing::Nothing);
        exit_event.inspect_err(|error| self.me.refused(NO_LOCK, error)).ok()
    }

    pub(crate) fn visit(&mut self, visit: &Visit) {
        let at = visit.lock;
        if !self.open(at, &visit.make) {
            return;
        }
        let inner = visit.inner.filter(|&inner| self.open(inner, &visit.make));
        if let Some(lock) = &self.handles[at] {
            self.me.visit(lock, visit, || {
                let Some((inner, lock)) =
                    inner.and_then(|inner| Some((inner, self.handles[inner].as_ref()?)))
                else {
                    return;
                };
                let visit = Visit {
                    lock: inner,
                    inner: None,
                    twice: false,
                    hold: Hold::Nothing,
                    ..visit.clone()
                };
                self.me.visit(lock, &visit, || {});
            });
        }
        for at in [Some(at), inner].into_iter().flatten().filter(|_| !visit.keep) {
            self.close(at);
        }
    }

    /// Inspects the lock, by a handle and by its bytes.
    fn look(&mut self, at: usize, make: &Make) {
        self.me.note(What::Looking, at);
        let had = self.handles[at].is_some();
        if !self.open(at, make) {
            return;
        }
        if let Some(lock) = &self.handles[at] {
            match lock.holder() {
                Ok(holder) => drop(holder.map(|holder| self.me.check_holder(at, &holder))),
                Err(error) => self.me.refused(at, &error),
            }
            match lock.status() {
                Ok(health) if health.orphaned => self.me.accuse(Fault::Orphaned, at, 1),
                Ok(_) => {}
                Err(error) => self.me.refused(at, &error),
            }
        }
        self.look_at_the_bytes(at);
        self.me.count(Count::Looked);
        if !had {
            self.close(at);
        }
    }

    /// Reads the file as a process that may only read it.
    fn look_at_the_bytes(&self, at: usize) {
        let mut bytes = Vec::new();
        let read =
            File::open(self.session.path_of(at)).and_then(|mut file| file.read_to_end(&mut bytes));
        let size = bytes.len();
        let whole = size == 192
            && matches!(&bytes[8..12], [0, 0, 0, 0] | b"SHL\x01")
            && bytes[128..].iter().all(|&byte| byte == 0);
        if read.is_err() || !whole {
            self.me.accuse(Fault::StrangeFile, at, size as u64);
        }
    }

    fn set_exit_event(&mut self, time: Duration) {
        if self.exit_event.is_none() {
            self.exit_event = self.open_exit_event();
        }
        let Some(exit_event) = &self.exit_event else { return };
        self.me.note(What::SettingExitEvent, NO_LOCK);
        if let Err(error) = exit_event.set() {
            self.me.refused(NO_LOCK, &error);
        }
        thread::sleep(time);
        if let Err(error) = exit_event.clear() {
            self.me.refused(NO_LOCK, &error);
        }
    }

    /// Leaks the guard and drops its handle: the lock has lost its owner, and the process lives.
    fn leak(&mut self, visit: &Visit) {
        let Some(lock) = self.open_anew(visit.lock, &visit.make) else { return };
        let Some(guard) = self.me.take(&lock, visit.lock, visit.way) else {
            return self.me.close(visit.lock, lock);
        };
        let never_left = self.me.inside(&lock, visit, || {});
        self.me.judge_end(&never_left);
        self.me.note(What::Leaking, visit.lock);
        self.me.set_doomed();
        std::mem::forget(guard);
        self.me.close(visit.lock, lock);
        self.me.count(Count::Leaked);
        self.me.start_new_life();
        self.me.seat().life.store(self.me.number(), Relaxed);
        self.rename_handles();
    }

    /// Updates the descriptions of the handles after a new life has begun.
    fn rename_handles(&self) {
        for (at, lock) in self.handles.iter().enumerate() {
            if let Some(Err(error)) = lock.as_ref().map(|lock| self.me.describe(lock)) {
                self.me.refused(at, &error);
            }
        }
    }

    fn drop_held(&mut self, visit: &Visit) {
        let Some(lock) = self.open_anew(visit.lock, &visit.make) else { return };
        if self.me.acquire(&lock, visit.lock, visit.way) {
            let section = self.me.inside(&lock, visit, || {});
            self.me.leave(section);
            self.me.note(What::DroppingHeld, visit.lock);
            self.me.close(visit.lock, lock);
            self.me.released(visit.lock);
        } else {
            self.me.close(visit.lock, lock);
        }
    }

    /// Waits until the workers that were killed, or ended as planned, are gone. A dying worker has
    /// its handles: the last closer would take it for a user, and leave the file behind.
    pub(crate) fn wait_for_the_dying(&self) {
        self.me.seat().at_end.store(1, Relaxed);
        let close = &self.session.memory.close;
        while close.load(Relaxed) == 0 {
            let _ = futex::wait(close, futex::Flags::empty(), 0, None); // a signal ends it, too
        }
    }

    /// Acquires each lock once more after the run: what the dead left is found, repaired and
    /// removed.
    pub(crate) fn visit_all_once_more(&mut self) {
        self.close_all();
        for &at in Role::of(self.me.at).locks() {
            let make = Make {
                interval: Duration::from_millis(5),
                sleeps: false,
                event: false,
                blocks: Blocks::Never,
                barges: false,
            };
            let visit = Visit {
                lock: at,
                make,
                way: Way::Wait,
                hold: Hold::Nothing,
                give: Give::Drop,
                depth: 0,
                twice: false,
                describe: false,
                declare: true,
                inner: None,
                keep: false,
            };
            while !self.open(at, &visit.make) && self.session.memory.faults.load(Relaxed) == 0 {
                // No free token: other workers close soon.
                hold(Hold::Sleep(Duration::from_millis(1)));
            }
            self.visit(&visit);
        }
        drop(self.open_exit_event());
    }
}
