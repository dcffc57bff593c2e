//! Tortures some locks: for so many seconds, processes use them by a random plan, and are killed,
//! stopped, disturbed and starved meanwhile. An oracle outside the locks' memory keeps the account,
//! which must balance in the end.
//!
//! ```text
//! torture [SECONDS [SEED]]          60 seconds and a random seed if not said otherwise
//! torture plan SEED SEAT NUMBER     the plan of a process: the NUMBERth on that seat
//! ```
//!
//! The plans follow from the seed; the order in which instructions meet does not. A run with the
//! same seed performs the same operations at other moments, so a fault may or may not return.
//!
//! To read it: `visit.rs` (the operations), `plan.rs` (their choice), `operations.rs` (their
//! execution), `oracle.rs` (what must be true), `master.rs` and `disturb.rs` (what the workers
//! suffer), `closing.rs` (what must be true at the end).

mod closing;
mod contender;
mod disturb;
mod fault;
mod fixed;
mod hindered;
mod journal;
mod life;
mod master;
mod meeting;
mod memory;
mod operations;
mod oracle;
mod plan;
mod pressure;
mod process_tree;
mod release;
mod report;
mod role;
mod session;
mod system;
mod tally;
mod token_exhaustion;
mod visit;
mod watch;
mod worker;
mod workers;

use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use master::Master;
use plan::Plan;
use session::Session;

/// The kills that a minute must have. A machine that is too busy for so many takes longer.
const KILLS_A_MINUTE: u64 = 1000;

/// The operations that `plan` prints; few processes live longer.
const OPERATIONS_SHOWN: usize = 100;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["worker", path, prefix, seat] => {
            let session = Session::open(path, prefix);
            life::run(&session, seat.parse().expect("a seat"))
        }
        ["burn"] => pressure::burn(),
        ["hog"] => pressure::hog(),
        ["plan", seed, seat, nth] => match (seed.parse(), seat.parse(), nth.parse()) {
            (Ok(seed), Ok(seat), Ok(nth)) => show(seed, seat, nth),
            _ => usage(),
        },
        [] => torture(60, fastrand::u64(..)),
        [seconds] => {
            seconds.parse().map_or_else(|_| usage(), |seconds| torture(seconds, fastrand::u64(..)))
        }
        [seconds, seed] => match (seconds.parse(), seed.parse()) {
            (Ok(seconds), Ok(seed)) => torture(seconds, seed),
            _ => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: torture [SECONDS [SEED]]\n       torture plan SEED SEAT NUMBER");
    ExitCode::from(2)
}

fn show(seed: u64, seat: usize, nth: u64) -> ExitCode {
    for operation in Plan::new(seed, seat, nth).take(OPERATIONS_SHOWN) {
        println!("{operation:?}");
    }
    ExitCode::SUCCESS
}

fn torture(seconds: u64, seed: u64) -> ExitCode {
    println!("torture {seconds} {seed}");
    system::adopt_orphans();
    let session = Session::new(&format!("torture-{}-", std::process::id()));
    session.memory.seed.store(seed, Relaxed);
    let descriptors = system::descriptors();
    let start = Instant::now();
    let mut master = Master::new(&session, seed);
    let kills = KILLS_A_MINUTE * seconds / 60;
    master.run(Duration::from_secs(seconds), kills);
    report::figures(&session, &master, start.elapsed());
    report::faults(&session);
    let mut faults = closing::faults(&session, descriptors);
    if master.workers.killed < kills {
        faults.push(format!("only {} kills: too few to show anything", master.workers.killed));
    }
    let count = session.memory.faults.load(Relaxed);
    if count == 0 {
        for fault in &faults {
            eprintln!("FAULT {fault}");
        }
    } else {
        // All workers were killed at once: what they left says nothing.
        session.files().iter().for_each(|path| drop(std::fs::remove_file(path)));
        faults.clear();
    }
    let all = count + faults.len() as u64;
    println!("faults {all}");
    if all == 0 {
        return ExitCode::SUCCESS;
    }
    eprintln!("the same plans at other moments: torture {seconds} {seed}");
    ExitCode::FAILURE
}
