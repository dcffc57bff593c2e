//! `--fleet`, with a real etcd. A machine is a directory of its own for the local locks.

mod access;
mod ending;
mod run;
mod scene;
mod show;
