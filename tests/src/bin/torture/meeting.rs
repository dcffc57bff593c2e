//! Brings the waiters together that nothing but a release may wake, and lets wakes be used up in
//! vain.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::contender::NO_LOCK;
use crate::journal::What;
use crate::operations::hold;
use crate::role::Role;
use crate::session::Session;
use crate::tally::Count;
use crate::visit::{Hold, Visit, Way};
use crate::worker::Worker;

impl Worker<'_> {
    /// Waits for the others of this role, and acquires together with them.
    pub(crate) fn meet(&mut self, visit: &Visit, recalls: bool) {
        if recalls && !self.prepare_recall(visit) {
            return;
        }
        let memory = &self.session.memory;
        let mine = self.me.seat().meetings.fetch_add(1, Relaxed) + 1;
        let role = Role::of(self.me.at);
        let others = || {
            Session::seats()
                .filter(|&seat| Role::of(seat) == role)
                .map(|seat| &memory.seats[seat].meetings)
        };
        while others().any(|meetings| meetings.load(Relaxed) < mine) {
            if memory.is_over() {
                return;
            }
            hold(Hold::Sleep(Duration::from_micros(50)));
        }
        if recalls {
            self.visit(&Visit { keep: true, ..visit.clone() });
            self.recall(visit);
        } else {
            self.visit(visit);
        }
    }

    /// Opens the handles for a recall in advance, so that nothing delays the recall.
    fn prepare_recall(&mut self, visit: &Visit) -> bool {
        self.close(visit.lock);
        if self.exit_event.is_none() {
            self.exit_event = self.open_exit_event();
        }
        self.open(visit.lock, &visit.make) && self.exit_event.is_some()
    }

    /// Acquires again right after a release, and sets the exit event meanwhile. The waiter that the
    /// release has woken finds the lock held, and gives up. The wake that it has used up is then
    /// owed to the waiters that still sleep.
    fn recall(&mut self, visit: &Visit) {
        if let (Some(lock), Some(exit_event)) = (&self.handles[visit.lock], &self.exit_event) {
            let again = Visit { way: Way::Try, hold: Hold::Nothing, depth: 0, ..visit.clone() };
            self.me.visit(lock, &again, || {
                self.me.count(Count::Recalled);
                self.me.note(What::SettingExitEvent, NO_LOCK);
                let is_set = exit_event.set();
                hold(visit.hold);
                for error in [is_set, exit_event.clear()].into_iter().filter_map(Result::err) {
                    self.me.refused(NO_LOCK, &error);
                }
            });
        }
    }
}
