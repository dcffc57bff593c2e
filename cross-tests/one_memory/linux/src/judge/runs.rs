//! Implements the runs without deaths, and checks what must hold at their ends.

use std::thread;
use std::time::Instant;

use crate::arena::Arena;
use crate::options::Options;

/// The critical sections of each party without which a run proves nothing.
const ENOUGH: u32 = 100;

/// Lets all parties count together for a time. No count may be lost.
pub(crate) fn exact(options: &Options) {
    let mut arena = Arena::new(options);
    arena.until_all_count(ENOUGH); // from here on, all run
    let begun = Instant::now();
    while begun.elapsed() < options.time {
        arena.until_all_count(1);
        thread::sleep(options.time / 100); // the judge takes no time from the parties
    }
    arena.stop();
    let audit = arena.memory.ledger.audit();
    for party in arena.parties() {
        let (count, report) = (audit.counts[party.index()], arena.memory.orders.report(party));
        assert_eq!(count, report, "{party:?} remembers another count: {audit:#?}");
    }
    assert_eq!(audit.total, audit.sum(), "counts are lost: {audit:#?}");
    assert_eq!((audit.violations, audit.errors), (0, 0), "{audit:#?}");
    println!("    {} critical sections, exact: {:?}", audit.total, audit.counts);
}

/// Lets all parties count together without a lock that works. Counts must be lost.
pub(crate) fn control(options: &Options) {
    let mut arena = Arena::new(options);
    arena.until("counts are lost", |arena| arena.memory.ledger.has_lost());
    arena.stop();
    let audit = arena.memory.ledger.audit();
    // Each party is the only writer of its own count.
    assert_ne!(audit.total, audit.sum(), "no count is lost: {audit:#?}");
    println!(
        "    {} of {} counts lost, {} violations seen, {} calls of the lock failed",
        audit.sum().wrapping_sub(audit.total),
        audit.sum(),
        audit.violations,
        audit.errors
    );
}
