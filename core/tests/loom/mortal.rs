//! Ends an actor at a chosen step.

use core::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use shmlock_core::Fence;
use shmlock_core::fence::InnerShareable;

/// The fences of an actor that dies: each fence is a step, and so is each [`step`](Self::step).
#[derive(Clone, Copy)]
pub(crate) struct Mortal<'a> {
    steps_left: &'a Cell<u32>,
}

struct Death;

impl Mortal<'_> {
    /// Dies here, if no steps are left.
    pub(crate) fn step(self) {
        match self.steps_left.get().checked_sub(1) {
            Some(left) => self.steps_left.set(left),
            None => resume_unwind(Box::new(Death)),
        }
    }
}

impl Fence for Mortal<'_> {
    fn acquire(self) {
        self.step();
        InnerShareable.acquire();
    }

    fn release(self) {
        self.step();
        InnerShareable.release();
    }
}

/// Runs for this many steps; returns `true` if that was enough.
pub(crate) fn live(steps: u32, life: impl FnOnce(Mortal<'_>)) -> bool {
    let steps_left = Cell::new(steps);
    match catch_unwind(AssertUnwindSafe(|| life(Mortal { steps_left: &steps_left }))) {
        Ok(()) => true,
        Err(cause) if cause.is::<Death>() => false,
        Err(cause) => resume_unwind(cause),
    }
}
