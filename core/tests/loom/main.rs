//! The protocol's own code under loom: every interleaving, and every value that a relaxed load may
//! see.
//!
//! `bash ci/loom.sh` runs the models; `bash ci/loom.sh --mutate` breaks the code in many places,
//! one at a time, and wants a model to fail each time. `LOOM_MAX_PREEMPTIONS=7` in the environment
//! takes the place of every bound.
//!
//! # What stands in for the world
//!
//! `kernel.rs` has byte locks and a futex. It has **no tick**: nobody is woken because time has
//! passed, except that a death makes one sleeper look again. So a wake that the protocol owes and
//! does not give leaves somebody asleep, loom reports a deadlock, and the model fails; in the real
//! world it would cost one interval. `section.rs` is the data that the lock protects: a plain cell,
//! so that two owners at once, or an owner that does not see the section before it, are a data
//! race. `mortal.rs` lets an actor die at each of its steps in turn.
//!
//! # Blind spots
//!
//! * A load never sees a store that runs later (no load buffering), and the stores of one location
//!   have one order, that of their execution. What a compiler or a core may do beyond that is for
//!   the assembly probes in `cross-tests`.
//! * All scopes are one. That `dmb sy` stands where the full system is asked for, only the probes
//!   tell.
//! * A failed compare-and-swap sees the newest value, and never fails without a reason.
//! * A killed process stops between two instructions; an actor here stops at a fence, between two
//!   calls, or around its sleep. Between the stores of one record it does not: before the last of
//!   them, all those states read the same.
//! * A proof of death by the kernel orders memory, here by its mutex. One that does not has a model
//!   of its own.
//! * The futex wakes in the order of arrival, and no sleep ends without a wake.
//! * The counter does not wrap here: its halves are `tests/generation.rs`'s.
//! * Three threads at most, some only to a bound of preemptions, which each model states.

#![cfg(loom)]
#![allow(missing_docs, reason = "not an interface")]

mod adoption;
mod death;
mod exclusion;
mod explore;
mod kernel;
mod mortal;
mod records;
mod section;
mod waiting;
mod world;
