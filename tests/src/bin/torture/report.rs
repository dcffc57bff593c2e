//! Prints the figures of a run and its faults.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::master::Master;
use crate::memory::{Doing, SLOTS};
use crate::role::Role;
use crate::session::Session;
use crate::tally::{Count, Tally};

/// Prints the figures of a run.
pub(crate) fn figures(session: &Session, master: &Master<'_>, took: Duration) {
    let memory = &session.memory;
    println!("seed {}, {:.1} s", memory.seed.load(Relaxed), took.as_secs_f64());
    for (what, text) in Count::ALL {
        line(text, memory.seats.iter().map(|seat| seat.tally.of(what)).sum::<u64>());
    }
    let acquired: Vec<_> =
        mortals().map(|seat| memory.seats[seat].tally.of(Count::Acquired)).collect();
    let (least, most) = (acquired.iter().min().unwrap_or(&0), acquired.iter().max().unwrap_or(&0));
    println!("{least:>12}  to {most} acquisitions on a mortal's seat");
    println!("the master:");
    line("processes started for a seat", master.workers.started);
    line("kills", master.workers.killed);
    line("ended by SIGTERM", master.workers.terminated);
    line("orphans reaped", master.workers.orphans);
    line("stops", master.done.stops);
    line("stutters", master.done.stutters);
    line("signals", master.done.signals);
    line("shuffles of processors", master.done.shuffles);
    line("changes of the processors' load", master.done.turns);
    println!("contenders that were killed:");
    for (doing, text) in Doing::DEADLY {
        line(text, dead_while(session, doing));
    }
    line("lost their identity on purpose", doomed(session));
    println!("locks:");
    for (name, ledger) in session.names.iter().zip(&memory.ledgers) {
        println!(
            "{:>12}  critical sections, {} files; deaths reported: {} inside, {} outside, {} again \
             ({name})",
            ledger.count.load(Relaxed),
            ledger.files.load(Relaxed),
            ledger.told_inside.load(Relaxed),
            ledger.told_window.load(Relaxed),
            ledger.told_again.load(Relaxed),
        );
    }
    println!("longest wait {:.3} s, stops included", seconds(session, Tally::longest));
    println!(
        "latest return after a timeout {:.3} s late, where no waiter was stopped",
        seconds(session, Tally::latest)
    );
}

/// Prints the faults of the workers, what they did last, and how to print the plan again.
pub(crate) fn faults(session: &Session) {
    let memory = &session.memory;
    let mut seats = BTreeSet::new();
    for report in &memory.reports {
        let Some(text) = report.text(&session.names) else { continue };
        eprintln!("FAULT {text}");
        let life = memory.known(report.life.load(Relaxed));
        seats.extend(
            life.and_then(|life| usize::try_from(life.seat.load(Relaxed)).ok())
                .filter(|&seat| seat < SLOTS),
        );
    }
    for seat in seats {
        let last = memory.seats[seat].nth.load(Relaxed).saturating_sub(1);
        eprintln!("the last events on seat {seat}, which follows plan {last}:");
        memory.seats[seat].ring.print(&session.names);
        eprintln!("  its operations: torture plan {} {seat} {last}", memory.seed.load(Relaxed));
    }
}

fn mortals() -> impl Iterator<Item = usize> {
    Session::seats().filter(|&seat| Role::of(seat) == Role::Mortal)
}

fn dead_while(session: &Session, doing: Doing) -> u64 {
    let lives = session.memory.numbers().map(|number| session.memory.life(number));
    lives.filter(|life| life.doomed.load(Relaxed) == 0 && life.is_doing(doing)).count() as u64
}

fn doomed(session: &Session) -> u64 {
    let lives = session.memory.numbers().map(|number| session.memory.life(number));
    lives.filter(|life| life.doomed.load(Relaxed) != 0).count() as u64
}

#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
fn seconds(session: &Session, what: impl Fn(&Tally) -> u64) -> f64 {
    session.memory.seats.iter().map(|seat| what(&seat.tally)).max().unwrap_or(0) as f64 / 1e9
}

fn line(text: &str, number: u64) {
    println!("{number:>12}  {text}");
}
