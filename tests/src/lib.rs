//! What the tests of behaviour are made of: processes that do as they are told, an account that
//! shows who was where, and a bound on everything.
//!
//! ```text
//! #[test]
//! fn a_second_process_waits_for_the_first() {
//!     let fixture = Fixture::new();                       // a name of its own, a watchdog, a look for left-overs
//!     let name = fixture.name("a");
//!     let (mut first, mut second) = (actor!("{name}"), actor!("{name}")); // two processes open it as `l`
//!     first.ask("lock l");                            // one line asked, one line answered
//!     second.tell("lock l");                          // told; the answer comes later
//!     first.sees_a_waiter();
//!     first.ask("release l");
//!     second.done();
//! }
//! ```
//!
//! Everything is synchronised by pipes, sockets and the lock's own state. No test sleeps.

mod account;
mod actor;
mod capability;
mod fixture;
pub mod hostile;
mod kill;
mod limits;
mod peer;
pub mod proc;
mod runner;
mod shared;
mod skip;
mod start;
pub mod step;
mod test_waker;
mod traces;
mod voice;
mod watchdog;

pub use account::Account;
pub use actor::Actor;
pub use capability::{Capability, can};
pub use fixture::{Fixture, quietly};
pub use limits::{bound, rounds, until};
pub use peer::Peer;
pub use runner::command;
pub use shared::{Shared, Words};
pub use skip::skipped;
pub use start::{output, start, start_as_it_is};
pub use test_waker::{TestWaker, poll};
pub use voice::Voice;

/// Starts an [`Actor`]; given a name and options of `open`, as a format string, it opens that lock
/// as `l`.
///
/// For integration tests only: cargo tells them where the binary is.
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
