//! Runs the members of etcd that the measurements use, and names the addresses of this process.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use shmlock_tests::etcd::{Member, cluster, restart_all};

/// A cluster. Dropped, it is killed and its data removed.
pub(crate) struct Cluster {
    members: Vec<Member>,
    directory: PathBuf,
}

/// Returns the command that starts a program which dies with the calling thread: `setpriv(1)` sets
/// the signal (`prctl(2)`, `PR_SET_PDEATHSIG`) and becomes the program.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).stdin(Stdio::null());
    command
}

impl Cluster {
    /// Starts so many members with their data under `directory`, and waits until each serves.
    pub(crate) fn start(directory: &Path, members: usize) -> Self {
        let directory = directory.join(format!("shmlock-fleet-bench-{}", std::process::id()));
        Self { members: cluster(&directory, members, &[]), directory }
    }

    /// Returns the endpoints of the members.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(Member::endpoint).collect()
    }

    /// Kills all members.
    pub(crate) fn kill(&mut self) {
        self.members.iter_mut().for_each(Member::kill);
    }

    /// Starts the killed members again, from their data.
    pub(crate) fn restart(&mut self) {
        restart_all(&mut self.members);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
