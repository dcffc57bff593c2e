//! Searches every order of the protocol's steps, in bounds.
//!
//! # The product's code and the model's
//!
//! The decisions are the product's own, and the model has no second form of them: every function
//! of [`protocol`](crate::protocol), [`LeaseState`](crate::lease_state::LeaseState) for each
//! question whether a lease is lost, and the margin of
//! [`default_margin`](crate::settings::default_margin). `ci/fleet_mutants.sh model` breaks each of
//! them in the product's files, and the searches of [`holds`] find the broken promise.
//!
//! The order of the requests around them is written a second time, in [`steps`]: `contend.rs`,
//! `keeper.rs` and `session.rs` are not run. So are the instant that counts as the sending of a
//! request, and what a request asks for. What a server does is written in [`server`], and what
//! contenders notice of it in [`effects`]. The [`mutants`] break these parts, and some decisions
//! from outside.
//!
//! # What happens in a search
//!
//! * **Messages** are lost, and answers are delayed, without a bound. With `strays`, a request
//!   arrives twice, or after its sender has given up; one such request is under way at once.
//! * **Clocks** of the contenders run at other rates than the servers'.
//! * **Contenders** come again any number of times, stop for any time, withdraw, and die. The next
//!   process of the machine comes while the dead one's key still stands.
//! * **Leases** end in time or late. An **election** prolongs them, after which a former leader may
//!   answer keep-alives. A restart of all servers is an election whose requests are all lost.
//! * **Watches** tell, fall silent, or break: a waiter may read the queue at any time.
//! * **An administrator** deletes keys.
//!
//! No search has a last instant or a number of faults: [`canonical`] makes the states finite, and
//! [`moves`] says why its moves are enough. The bounds are the contenders at once, the keys at
//! once, the ticks of a TTL, and the kinds of events, as each [`Scope`] says. The promises are
//! those of [`Breach`](scope::Breach).
//!
//! # What is left out
//!
//! * A time finer than a tick. Between two ticks, events have an order and no distance.
//! * The threads of one process share what [`Hold`](crate::hold::Hold) guards: the model has each
//!   access as one step.
//! * All kinds of events together, and three contenders that renew: each scope has some of them.
//! * What changes no outcome: [`judge`](crate::protocol::judge) also looks at the TTL, but the key
//!   of a lease that has ended is gone as well; and a deadline that moved back would be safe.
//! * Progress against an adversary. It is checked for one way to go on, the prompt one.
//! * A second cluster behind some of the endpoints, and the comparison that finds it: there is one
//!   cluster.
//! * Errors that end a call (a wrong password, say): such a contender withdraws.

mod canonical;
mod effects;
mod flaw;
mod holds;
mod large;
mod moves;
mod mutants;
mod progress;
mod scope;
mod search;
mod server;
mod steps;
mod world;

use scope::{SLOW, Scope};
use search::{Report, search};

/// Two contenders with the slowest clock, and nothing but messages, clocks and withdrawals.
const TWO: Scope = Scope {
    contenders: 2,
    keys: 2,
    ttl: 2,
    rates: &[SLOW],
    renewals: true,
    elections: false,
    strays: false,
    deletions: false,
    deaths: false,
    silence: false,
    tries: false,
    slow_requests: false,
    writes: false,
    exclusion: true,
    progress: true,
    flaw: None,
};

/// Three contenders whose leases are not renewed, so that the search is about the queue.
const THREE: Scope = Scope { contenders: 3, keys: 3, renewals: false, ..TWO };

/// Searches, and prints the figures. Panics with the way to a breach.
#[track_caller]
fn keeps_its_promises(scope: &Scope) -> Report {
    let begin = std::time::Instant::now();
    match search(scope) {
        Ok(report) => {
            let Report { states, moves, rounds } = report;
            let seconds = begin.elapsed().as_secs_f64();
            println!("{states} states, {moves} moves, {rounds} rounds at most: {seconds:.1} s");
            report
        }
        Err((breach, way)) => panic!("{breach:?} after {way:#?}"),
    }
}
