//! Runs the protocol's own code under loom: every interleaving, and every value that a relaxed load
//! may see.
//!
//! `bash ci/loom.sh` runs the models. `bash ci/loom.sh --mutate` breaks the code in many places,
//! one at a time, and requires that a model fails each time. `LOOM_MAX_PREEMPTIONS=7` in the
//! environment replaces every bound.
//!
//! # Stand-ins
//!
//! `kernel.rs` has byte locks and a futex. It has **no clock**: no interval ends, except that a
//! death makes one sleeping waiter try again. A wake that the protocol owes and does not give
//! leaves a waiter asleep; loom reports a deadlock, and the model fails. (In the real world it
//! costs one interval.) `critical_section.rs` has the protected data, a plain cell: two owners at
//! once, or an owner that does not see the previous critical section, are a data race. `mortal.rs`
//! lets an actor die at each of its steps in turn.
//!
//! # Blind spots
//!
//! * A load never sees a store that runs later (no load buffering), and the stores of one location
//!   have one order, that of their execution. What a compiler or a core may do beyond that is for
//!   the assembly probes in `cross-tests`.
//! * All scopes are one. Only the probes test that the full system gets `dmb sy`.
//! * A failed compare-and-swap sees the newest value, and never fails spuriously.
//! * A killed process stops between two instructions; an actor stops at a fence, between two calls,
//!   or around its sleep. It does not stop between the stores of one record: before the last of
//!   them, all those states read the same.
//! * A proof of death by the kernel orders memory, here by its mutex. A proof that does not has a
//!   model of its own.
//! * The futex wakes in the order of arrival, and no sleep ends without a wake.
//! * The generation does not wrap here: `tests/generation.rs` tests its halves.
//! * `ticket.rs` has a blind spot of its own: a fence between two stores.
//! * Three threads at most, some only to a bound of preemptions, which each model states.

#![cfg(loom)]
#![allow(missing_docs, reason = "not an interface")]

mod boots;
mod critical_section;
mod death;
mod exclusion;
mod explore;
mod kernel;
mod mortal;
mod records;
mod ticket;
mod token_reuse;
mod waiting;
mod world;
