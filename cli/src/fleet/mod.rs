//! Locks over machines: `--fleet` of `run`, `hold`, `status` and `list`, on etcd.
//!
//! `options` is the command line, `failure` the words and the exit status of an error, `lock` and
//! `acquire` the way to a held lock, `run` and `hold` what those verbs do with it, `show` what
//! `status` and `list` print. `tree` ends the processes of a command.

mod acquire;
mod failure;
mod hold;
mod lock;
mod options;
mod run;
mod show;
mod tree;

pub(crate) use self::hold::hold;
pub(crate) use self::lock::Target;
pub(crate) use self::options::{Access, Cluster, Grace, Lease};
pub(crate) use self::run::{Job, run};
pub(crate) use self::show::{list, status};
