//! Waits for a lock that another handle holds, in a thread or in a task.
//!
//! `waiter.rs` is the state machine of a waiting thread, with a table of its phases. `spin.rs`,
//! `sleep.rs`, `patience.rs`, `deadline.rs`, `exit_event.rs` and `interrupt.rs` are its parts.
//! `fairness.rs` is what a handle knows between two waits. `tuning.rs` has the measured constants.
//! A task waits by `task_wait.rs`, for which `reactor.rs` sleeps. Both rely on `watch/` to notice a
//! death.

pub(crate) mod deadline;
pub(crate) mod exit_event;
pub(crate) mod fairness;
pub(crate) mod interrupt;
pub(crate) mod patience;
pub(crate) mod reactor;
mod sleep;
pub(crate) mod spin;
pub(crate) mod task_wait;
pub(crate) mod tuning;
pub(crate) mod waiter;

/// How a waiter sleeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitStrategy {
    /// In the kernel until a release, a death, or the removal of the file wakes it, futex(2). A
    /// process that waits for a lock that stands still wakes once a second.
    #[default]
    Futex,
    /// For one poll interval at a time, without a wake: it notices a release, a death and the
    /// removal of the file within that time. Starts no thread. For sandboxes that refuse futex(2).
    SleepPolling,
}
