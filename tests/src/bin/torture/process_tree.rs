//! Executes operations of more than one thread or process, and ends processes.

use std::array;
use std::os::unix::process::CommandExt;
use std::process::{Command, abort, exit};
use std::thread;

use shmlock::{Error, ShmLock};

use crate::contender::{Contender, NO_LOCK, Nature};
use crate::fault::Fault;
use crate::journal::What;
use crate::memory::Doing;
use crate::system::{self, Side};
use crate::tally::Count;
use crate::visit::{Blocks, End, Make, Visit, Way};
use crate::worker::{LONGEST_RUN, Worker};

impl Worker<'_> {
    /// Acquires and works in this thread; leaves and releases in another one.
    pub(crate) fn hand_over(&mut self, visit: &Visit) {
        let at = visit.lock;
        // A handle that blocks signals while held must be released by the thread that acquired.
        let make = Make { blocks: Blocks::Never, ..visit.make.clone() };
        let Some(lock) = self.open_anew(at, &make) else { return };
        if !self.me.acquire(&lock, at, visit.way) {
            return self.me.close(at, lock);
        }
        let section = self.me.inside(&lock, visit, || {});
        let (memory, seat, nature) = (&*self.session.memory, self.me.at, self.me.nature);
        let lock = thread::scope(|scope| {
            let other = scope.spawn(move || {
                let me = Contender::new(memory, seat, What::ThreadBorn, nature);
                me.leave(section);
                if let Err(error) = lock.release() {
                    me.refused(at, &error);
                }
                me.does(Doing::Ended);
                lock
            });
            other.join().expect("no thread panics")
        });
        self.me.released(at);
        self.me.count(Count::HandedOver);
        self.me.note(What::HandedOver, at);
        self.me.close(at, lock);
    }

    /// Contends by two threads, each with a handle of its own.
    pub(crate) fn crowd(&mut self, visit: &Visit, rounds: u8) {
        let at = visit.lock;
        if !self.open(at, &visit.make) {
            return;
        }
        let Some(lock) = self.handles[at].take() else { return };
        let clone = self.me.opened(at, lock.try_clone());
        let (memory, seat, nature) = (&*self.session.memory, self.me.at, self.me.nature);
        thread::scope(|scope| {
            let other = scope.spawn(move || {
                let me = Contender::new(memory, seat, What::ThreadBorn, nature);
                if let Some(lock) = clone {
                    me.describe(&lock).unwrap_or_else(|error| me.refused(at, &error));
                    (0..rounds).for_each(|_| me.visit(&lock, visit, || {}));
                    me.close(at, lock);
                }
                me.does(Doing::Ended);
            });
            (0..rounds).for_each(|_| self.me.visit(&lock, visit, || {}));
            other.join().expect("no thread panics");
        });
        self.me.count(Count::Threads);
        self.handles[at] = Some(lock);
    }

    /// Forks a child, which may outlive this process.
    pub(crate) fn fork(&mut self, visits: &[Visit], drops: bool, waits: bool) {
        self.me.note(What::Forking, NO_LOCK);
        self.me.count(Count::Forked);
        match system::fork() {
            Ok(Side::Child) => self.be_a_child(visits, drops),
            Ok(Side::Parent(child)) if waits => drop(system::wait_for(child)),
            Ok(Side::Parent(_)) => {}
            Err(error) => eprintln!("torture: no child: {error}"),
        }
    }

    fn be_a_child(&mut self, visits: &[Visit], drops: bool) -> ! {
        self.begin_as_child(self.me.nature, drops);
        for visit in visits.iter().take_while(|_| !self.session.memory.is_over()) {
            self.visit(visit);
        }
        self.close_all();
        self.me.does(Doing::Ended);
        system::end_at_once()
    }

    /// Begins a life in a forked child, which may use nothing that it inherited.
    pub(crate) fn begin_as_child(&mut self, nature: Nature, drops: bool) {
        system::end_in_time(LONGEST_RUN);
        self.me = Contender::new(&self.session.memory, self.me.at, What::ChildBorn, nature);
        for (at, lock) in self.handles.iter().enumerate() {
            let is_refused = lock.as_ref().is_none_or(is_refused);
            if !is_refused {
                self.me.accuse(Fault::Inherited, at, 0);
            }
        }
        let exit_event = self.exit_event.take();
        let handles = std::mem::replace(&mut self.handles, array::from_fn(|_| None));
        if drops {
            drop((exit_event, handles));
        } else {
            std::mem::forget((exit_event, handles));
        }
    }

    /// Ends this process.
    pub(crate) fn end(&mut self, end: &End) {
        self.me.note(What::Ending, NO_LOCK);
        match end {
            End::Return => {}
            End::Exit(visit) => self.end_inside(visit.as_ref(), || exit(0)),
            End::AtOnce(visit) => self.end_inside(visit.as_ref(), || system::end_at_once()),
            End::Abort(visit) => self.end_inside(visit.as_ref(), || abort()),
            End::Exec(visit) => {
                let (path, prefix, seat) = (&self.session.path, &self.session.prefix, self.me.at);
                let mut command = Command::new("/proc/self/exe");
                command.args(["worker", path, prefix, &seat.to_string()]);
                self.me.count(Count::Execed);
                system::ignore_signals();
                self.end_inside(visit.as_ref(), || panic!("exec: {}", command.exec()));
            }
        }
    }

    /// Ends in the middle of a critical section if a visit is given and its lock is free; else
    /// outside, with all handles open.
    fn end_inside(&mut self, visit: Option<&Visit>, end: impl FnOnce()) {
        let visit = visit.filter(|visit| self.open(visit.lock, &visit.make));
        let held = visit.and_then(|visit| {
            let lock = self.handles[visit.lock].as_ref()?;
            Some((visit, lock, self.me.take(lock, visit.lock, Way::Try)?))
        });
        let Some((visit, lock, _guard)) = held else {
            self.me.count(Count::Ended);
            self.me.does(Doing::Ended);
            return end();
        };
        let _never_left =
            self.me.inside(lock, &Visit { depth: 0, twice: false, ..visit.clone() }, || {
                self.me.set_doomed();
                end();
            });
    }
}

/// Returns `true` if an inherited handle refuses every call.
fn is_refused(lock: &ShmLock) -> bool {
    fn refused<T>(answer: &shmlock::Result<T>) -> bool {
        matches!(answer, Err(Error::ForkedHandle { .. }))
    }
    refused(&lock.lock())
        && refused(&lock.try_lock())
        && refused(&lock.acquire())
        && refused(&lock.release())
        && refused(&lock.force_release())
        && refused(&lock.holder())
        && refused(&lock.status())
        && refused(&lock.is_locked())
        && refused(&lock.try_clone())
        && refused(&lock.declare_consistent())
        && refused(&lock.set_description("not mine"))
        && !lock.is_held()
        && lock.fencing_token().is_none()
        && lock.recovered().is_none()
}
