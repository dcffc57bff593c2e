//! Tests the lock over machines, with real members of etcd, real processes and a fenced store as
//! judge.
//!
//! A machine is a directory of its own for the local lock's file. A test is skipped where there is
//! no program `etcd`: `ci/fleet.sh` installs it. Answers, watches and the readiness message of etcd
//! synchronise the processes; a sleep is a disturbance, and nothing is waited for by it.

mod answers;
mod clocks;
mod clusters;
mod driver;
mod errors;
mod exclusion;
mod inspection;
mod losses;
mod members;
mod partitions;
mod patience;
mod process;
mod proxy;
mod requests;
mod scene;
mod servers;
mod space;
mod store;
#[cfg(feature = "tls")]
mod tls;
mod torture;
