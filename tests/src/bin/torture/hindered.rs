//! Makes visits in a child that the kernel hinders.

use std::thread;

use shmlock_tests::hostile::{Denied, before_each, deny};

use crate::contender::{NO_LOCK, Nature};
use crate::journal::What;
use crate::memory::Doing;
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
            Ok(Side::Child) => self.be_hindered(how, visits),
            Ok(Side::Parent(_)) => {}
            Err(error) => eprintln!("torture: no child: {error}"),
        }
    }

    fn be_hindered(&mut self, how: Hindrance, visits: &[Visit]) -> ! {
        let nature = match how {
            Hindrance::Refused => Nature::Doubting,
            Hindrance::Slow(_) => self.me.nature,
        };
        self.begin_as_child(nature, true);
        for visit in visits {
            self.open(visit.lock, &visit.make);
        }
        if begin(how) {
            for visit in visits.iter().take_while(|_| !self.session.memory.is_over()) {
                // Without a free token there is no handle, and a doubting child could open none.
                if self.handles[visit.lock].is_some() {
                    self.visit(visit);
                }
            }
        }
        if let Hindrance::Slow(_) = how {
            self.close_all();
        }
        self.me.does(Doing::Ended);
        system::end_at_once() // a doubting child with its handles open: it can unlock no byte
    }
}

/// Hinders this thread from now on; returns `false` if the kernel cannot.
fn begin(how: Hindrance) -> bool {
    // It can still ask for the locks of others: a dead owner's byte looks free.
    let locking = Denied::fcntl(libc::F_OFD_SETLK, libc::EAGAIN);
    match how {
        Hindrance::Refused => deny(&[locking]),
        Hindrance::Slow(time) => {
            before_each(&[locking.call], move || thread::sleep(time)).is_some()
        }
    }
}
