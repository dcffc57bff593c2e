//! Makes visits in a child that the kernel hinders.

use std::thread;
use std::time::Duration;

use shmlock_tests::hostile::{Denied, before_each, deny};

use crate::contender::{NO_LOCK, Nature};
use crate::journal::What;
use crate::memory::{Doing, LOCKS};
use crate::system::{self, Side};
use crate::tally::Count;
use crate::visit::{Hindrance, Visit};
use crate::worker::Worker;

impl Worker<'_> {
    /// Forks a child that makes these visits, hindered.
    pub(crate) fn hinder(&mut self, how: Hindrance, visits: &[Visit]) {
        self.me.note(What::Forking, NO_LOCK);
        self.me.count(Count::Hindered);
        match system::fork() {
            Ok(Side::Child) => match how {
                Hindrance::Refused => self.be_refused(visits),
                Hindrance::Slow(time) => self.be_slow(time, visits),
            },
            Ok(Side::Parent(_)) => {}
            Err(error) => eprintln!("torture: no child: {error}"),
        }
    }

    /// Opens the locks, and then can lock no byte. It can still ask for the locks of others: a dead
    /// owner's byte looks free.
    fn be_refused(&mut self, visits: &[Visit]) -> ! {
        self.begin_as_child(Nature::Doubting, true);
        let mut is_open = [false; LOCKS];
        for visit in visits {
            is_open[visit.lock] = self.open(visit.lock, &visit.make);
        }
        if deny(&[Denied::fcntl(libc::F_OFD_SETLK, libc::EAGAIN)]) {
            // Without a free token there was no handle, and this child could open none.
            self.visit_each(visits.iter().filter(|visit| is_open[visit.lock]));
        }
        self.me.does(Doing::Ended);
        system::end_at_once() // with its handles open, because it can unlock no byte either
    }

    /// Takes its time before each call about a file or a byte lock.
    fn be_slow(&mut self, time: Duration, visits: &[Visit]) -> ! {
        self.begin_as_child(self.me.nature, true);
        let calls = [Denied::fcntl(libc::F_OFD_SETLK, 0).call, libc::SYS_openat];
        if before_each(&calls, move || thread::sleep(time)).is_some() {
            self.visit_each(visits.iter());
        }
        self.close_all();
        self.me.does(Doing::Ended);
        system::end_at_once()
    }

    fn visit_each<'v>(&mut self, visits: impl Iterator<Item = &'v Visit>) {
        for visit in visits.take_while(|_| !self.session.memory.is_over()) {
            self.visit(visit);
        }
    }
}
