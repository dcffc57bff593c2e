//! Explores a model.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::time::Instant;

/// The interleavings to explore.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    /// All of them.
    Unbounded,
    /// All with at most this many preemptions: switches away from a thread that could run on.
    Preemptions(usize),
}

/// Runs the model in every interleaving up to the bound.
pub(crate) fn explore(bound: Bound, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = match bound {
        Bound::Unbounded => None,
        Bound::Preemptions(most) => builder.preemption_bound.or(Some(most)),
    };
    builder.max_branches = 100_000; // stops only a model that does not end
    let (runs, begin) = (Arc::new(AtomicU32::new(0)), Instant::now());
    let count = Arc::clone(&runs);
    builder.check(move || {
        count.fetch_add(1, Relaxed);
        model();
    });
    println!("{} executions, {:.1?}", runs.load(Relaxed), begin.elapsed());
}

/// Explores the model of an actor that dies at its first step, then at its second, and so on until
/// it always lives. The model gets the number of steps, and returns `true` if the actor lived.
pub(crate) fn explore_deaths(
    bound: Bound,
    model: impl Fn(u32) -> bool + Copy + Send + Sync + 'static,
) {
    for steps in 0.. {
        let died = Arc::new(AtomicBool::new(false));
        let note = Arc::clone(&died);
        explore(bound, move || {
            if !model(steps) {
                note.store(true, Relaxed);
            }
        });
        if !died.load(Relaxed) {
            assert!(steps > 0, "no actor died");
            break;
        }
    }
}
