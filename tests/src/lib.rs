//! The harness of the tests of behaviour: processes that follow commands, an account of the
//! critical sections, and a bound on everything.
//!
//! ```text
//! #[test]
//! fn a_second_process_waits_for_the_first() {
//!     let fixture = Fixture::new();                   // names, a watchdog, a check for left-overs
//!     let name = fixture.name("a");
//!     let mut first = actor!("{name}");               // a process that opens the lock as `l`
//!     let mut second = actor!("{name}");
//!     first.ask("lock l");                            // one command, one answer
//!     second.tell("lock l");                          // the answer is read later
//!     first.sees_a_waiter();
//!     first.ask("release l");
//!     second.done();
//! }
//! ```
//!
//! No test sleeps: pipes, sockets, `/proc` and the lock's own state synchronise the processes, and
//! [`until`] yields. The torture, which is no test of cargo's, sleeps on purpose: in critical
//! sections, between attempts, and between disturbances.

mod account;
mod actor;
pub mod allocations;
mod capability;
pub mod certificates;
pub mod etcd;
mod fixture;
pub mod hostile;
mod kill;
mod limits;
pub mod network;
mod peer;
pub mod proc;
mod runner;
mod shared;
mod skip;
mod start;
pub mod step;
mod test_waker;
pub mod tickets;
mod traces;
mod voice;
mod watchdog;

pub use account::Account;
pub use actor::Actor;
pub use capability::{Capability, can};
pub use fixture::{Fixture, quietly};
pub use limits::{ROUNDS_TIME, bound, rounds, rounds_in_time, until};
pub use peer::Peer;
pub use runner::command;
pub use shared::{Shared, Words};
pub use skip::skipped;
pub use start::{output, start, start_as_it_is};
pub use test_waker::{TestWaker, poll};
pub use voice::Voice;

/// Starts an [`Actor`]. Given a format string of a name and the options of `open`, the actor also
/// opens that lock as `l`.
///
/// For integration tests only: cargo gives them the path of the binary.
#[macro_export]
macro_rules! actor {
    () => {
        $crate::Actor::spawn(env!("CARGO_BIN_EXE_actor"))
    };
    ($($open:tt)+) => {{
        let mut actor = $crate::actor!();
        actor.ask(format_args!("open l {}", format_args!($($open)+)));
        actor
    }};
}
