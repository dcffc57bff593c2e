//! Measures shmlock beside every other lock that processes can share, and the cost of its poll
//! interval.
//!
//! The workers are processes. In every round all contenders take turns, each round in another
//! order, and the counter under the lock is checked after every run. Compare ratios, not absolute
//! values, and only those of a quiet machine.
//!
//! ```text
//! cargo run --release -p shmlock-comparison              # a quarter of an hour on two cores
//! cargo run --release -p shmlock-comparison -- --quick   # a minute: a smoke test
//! cargo run --release -p shmlock-comparison --bin poll_sweep
//! ```
//!
//! | file | contents |
//! |---|---|
//! | `compare`, `sweep` | the two programs of this crate |
//! | `options` | their command line |
//! | `campaign` | the rounds |
//! | `contenders` | the locks |
//! | `figures` | the measurements of a lock |
//! | `team`, `board` | the worker processes, and their shared memory |
//! | `crowd`, `tasks`, `limits` | many waiters, what they use, and whether the system has room |
//! | `worker`, `hand_off`, `openings`, `wait`, `work` | the duties of a worker |
//! | `place`, `memory` | the contenders' files, and their mapping |
//! | `clock`, `machine`, `watchdog` | the time, the load, the bound on a measurement |
//! | `statistics`, `results` | the evaluation |
//! | `table`, `overview`, `json`, `plots`, `progress` | the output |

mod board;
mod campaign;
mod clock;
mod compare;
mod contenders;
mod crowd;
mod figures;
mod hand_off;
mod json;
mod limits;
mod machine;
mod memory;
mod openings;
mod options;
mod overview;
mod place;
mod plots;
mod prepared;
mod progress;
mod results;
mod section;
mod statistics;
mod sweep;
mod table;
mod tasks;
mod team;
mod wait;
mod watchdog;
mod work;
mod worker;

pub use compare::compare;
pub use sweep::sweep;
