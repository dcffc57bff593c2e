//! Locks over machines: `--fleet` of `run`, `hold`, `status` and `list`, on etcd.
//!
//! `options` is the command line, `failure` the words and the exit status of an error, `acquire`
//! the way to a held lock, `run` and `hold` what those verbs do with it. `tree` ends the processes
//! of a command.

mod acquire;
mod failure;
mod options;
mod run;
mod tree;

pub(crate) use self::options::Options;
pub(crate) use self::run::{Job, run};
