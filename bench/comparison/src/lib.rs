//! How fast is shmlock beside every other lock that processes can share? And what does its poll
//! interval cost?
//!
//! Real processes, found again by arguments; all contenders take turns in every round, beginning
//! with another one each time; the counter under the lock is checked after every run. Read ratios,
//! not absolutes, and those of a quiet machine.
//!
//! ```text
//! cargo run --release -p shmlock-comparison              # under 4 minutes on two cores
//! cargo run --release -p shmlock-comparison -- --quick   # under 40 seconds: shows that it works
//! cargo run --release -p shmlock-comparison --bin poll_sweep
//! ```
//!
//! | file | its question |
//! |---|---|
//! | `compare`, `sweep` | what do the two programs of this crate measure? |
//! | `options` | what is one of them asked to do? |
//! | `campaign` | whose turn is it? |
//! | `contenders` | who takes part? |
//! | `figures` | which questions are asked of each? |
//! | `team`, `board` | who starts the processes, what do they share? |
//! | `worker`, `hand`, `wait`, `work` | what do they do? |
//! | `place`, `memory` | where are the files, and what is in them? |
//! | `clock`, `machine`, `watchdog` | what time is it, who else is here, what if something hangs? |
//! | `histogram`, `statistics`, `results` | what do many values say? |
//! | `table`, `json`, `plots`, `progress` | who reads it, and how? |

mod board;
mod campaign;
mod clock;
mod compare;
mod contenders;
mod figures;
mod hand;
mod histogram;
mod json;
mod machine;
mod memory;
mod options;
mod place;
mod plots;
mod progress;
mod results;
mod statistics;
mod sweep;
mod table;
mod team;
mod wait;
mod watchdog;
mod work;
mod worker;

pub use compare::compare;
pub use sweep::sweep;
