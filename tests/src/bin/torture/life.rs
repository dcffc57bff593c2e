//! Runs one worker process, from its start to its end.

use std::array;
use std::process::exit;
use std::sync::atomic::Ordering::Relaxed;

use shmlock::ExitHandlers;
use shmlock_tests::hostile::{Denied, If, deny};

use crate::contender::{Contender, NO_LOCK, Nature};
use crate::fault::Fault;
use crate::journal::What;
use crate::memory::Doing;
use crate::plan::Plan;
use crate::role::Role;
use crate::session::Session;
use crate::tally::Count;
use crate::worker::{LONGEST_RUN, Worker};
use crate::{fixed, system, token_exhaustion};

/// Runs one process on this seat, and exits.
pub(crate) fn run(session: &Session, seat: usize) -> ! {
    system::end_with_parent();
    system::end_in_time(LONGEST_RUN);
    system::leave_no_core();
    system::catch_signals();
    if Role::of(seat) == Role::Wakeful {
        go_without_watch();
    }
    let nth = session.memory.seats[seat].nth.fetch_add(1, Relaxed);
    let plan = Plan::new(session.memory.seed.load(Relaxed), seat, nth);
    let nature = if plan.poisoning { Nature::Poisoning } else { Nature::Plain };
    let me = Contender::new(&session.memory, seat, What::Born, nature);
    me.seat().life.store(me.number(), Relaxed);
    if plan.handlers {
        ExitHandlers::all().install().expect("there is room for handlers");
    }
    let mut worker = Worker { session, me, handles: array::from_fn(|_| None), exit_event: None };
    let descriptors = system::descriptors();
    match Role::of(seat) {
        Role::Mortal | Role::Wakeful => worker.follow(plan),
        Role::Fixed => fixed::follow(&mut worker, plan),
        Role::TokenExhaustion => token_exhaustion::watch(&mut worker),
    }
    if session.memory.is_over() {
        worker.wait_for_the_dying();
        worker.me.nature = Nature::Plain;
        worker.visit_all_once_more();
    }
    worker.close_all();
    let left = system::descriptors();
    if left != descriptors {
        worker.me.accuse(Fault::Descriptors, NO_LOCK, left as u64);
    }
    worker.me.count(Count::Ended);
    worker.me.does(Doing::Ended);
    exit(0)
}

/// Has the kernel refuse a table of descriptors to any thread. So no thread watches, and a waiter
/// that is not woken sleeps for a poll interval, which no run outlasts. A kernel without filters
/// says so, and the watch stays.
fn go_without_watch() {
    let refused = |call| Denied { call, when: If::Called, errno: libc::EPERM };
    let _ = deny(&[refused(libc::SYS_close_range), refused(libc::SYS_unshare)]);
}
