//! Runs members of etcd, each with an address and a data directory of its own.

use std::fs::File;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use shmlock_bench_support::Result;

/// How long a member may take until it serves.
const PATIENCE: Duration = Duration::from_secs(30);

/// The first port of a cluster. The address belongs to this process, so its ports are free.
const PORT: u16 = 20_000;

/// A cluster. Dropped, it is killed and its data removed.
pub(crate) struct Cluster {
    members: Vec<Member>,
    directory: PathBuf,
}

struct Member {
    index: u16,
    directory: PathBuf,
    child: Option<Child>,
}

/// Returns the command that starts a program which dies with the calling thread: `setpriv(1)` sets
/// the signal (`prctl(2)`, `PR_SET_PDEATHSIG`) and becomes the program.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).stdin(Stdio::null());
    command
}

/// Returns the address of the loopback network that belongs to this process.
pub(crate) fn own_address() -> String {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    format!("127.{}.{b}.{c}", 128 | a)
}

impl Cluster {
    /// Starts so many members with their data under `directory`, and waits until each serves.
    pub(crate) fn start(directory: &Path, members: u16) -> Result<Self> {
        let directory = directory.join(format!("shmlock-fleet-bench-{}", std::process::id()));
        let mut cluster = Self {
            members: (0..members)
                .map(|index| Member {
                    index,
                    directory: directory.join(index.to_string()),
                    child: None,
                })
                .collect(),
            directory,
        };
        cluster.start_members()?;
        Ok(cluster)
    }

    fn start_members(&mut self) -> Result<()> {
        let peers: Vec<String> =
            self.members.iter().map(|one| format!("m{}={}", one.index, one.peer())).collect();
        let peers = peers.join(",");
        let sockets =
            self.members.iter_mut().map(|one| one.start(&peers)).collect::<Result<Vec<_>>>()?;
        for (socket, member) in sockets.iter().zip(&self.members) {
            let mut message = [0; 256];
            let failed = |error| {
                format!("etcd does not serve ({error}); see {}/log", member.directory.display())
            };
            while !message.starts_with(b"READY=1") {
                socket.recv(&mut message).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Returns the endpoints of the members.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(Member::endpoint).collect()
    }

    /// Kills all members.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.members.iter_mut().try_for_each(Member::kill)
    }

    /// Starts the killed members again, from their data.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.start_members()
    }
}

impl Member {
    fn endpoint(&self) -> String {
        format!("http://{}:{}", own_address(), PORT + 2 * self.index)
    }

    fn peer(&self) -> String {
        format!("http://{}:{}", own_address(), PORT + 2 * self.index + 1)
    }

    /// Starts the member. Returns the socket on which it says that it is ready, as to systemd:
    /// `sd_notify(3)`.
    fn start(&mut self, peers: &str) -> Result<UnixDatagram> {
        std::fs::create_dir_all(&self.directory)?;
        let path = self.directory.join("ready");
        let _ = std::fs::remove_file(&path); // of an earlier start
        let socket = UnixDatagram::bind(&path)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let log = File::create(self.directory.join("log"))?;
        let child = command("etcd")
            .env("NOTIFY_SOCKET", &path)
            .args(["--name", &format!("m{}", self.index), "--initial-cluster", peers])
            .arg("--data-dir")
            .arg(self.directory.join("data"))
            .args(["--listen-client-urls", &self.endpoint()])
            .args(["--advertise-client-urls", &self.endpoint()])
            .args(["--listen-peer-urls", &self.peer()])
            .args(["--initial-advertise-peer-urls", &self.peer()])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.child = Some(child.map_err(|error| format!("cannot start etcd: {error}"))?);
        Ok(socket)
    }

    fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.kill(); // it dies with this process in any case
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
