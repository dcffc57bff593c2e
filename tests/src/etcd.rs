//! Runs members of etcd, each with an address and a data directory of its own.
//!
//! For the tests of the fleet lock, the library's and the program's, and for its measurements.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use crate::network::Network;
use crate::{bound, output, skipped, start};

/// One member. Dropped, it is killed; so it is when the thread ends that has started it.
pub struct Member {
    name: String,
    address: String,
    port: u16,
    directory: PathBuf,
    /// All members, for a start.
    peers: String,
    options: Vec<String>,
    /// The network to the other members, and the place in it.
    network: Option<(Arc<Network>, usize)>,
    child: Option<Child>,
}

/// Returns `true` if the program is installed; else reports the test as skipped.
#[must_use]
pub fn has_etcd() -> bool {
    let found = output(Command::new("etcd").arg("--version")).is_ok();
    if !found {
        skipped("there is no program `etcd`: bash ci/fleet.sh installs it");
    }
    found
}

/// Returns an address of the loopback network that belongs to this process: so its ports are free.
#[must_use]
pub fn own_address() -> String {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    format!("127.{}.{b}.{c}", 128 | a)
}

/// Returns a port that no other caller of this process gets, with two after it.
#[must_use]
pub fn own_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    NEXT.fetch_add(3, Ordering::Relaxed)
}

/// Starts a cluster of so many members in `directory`, and returns once each is ready.
///
/// # Panics
/// If a member does not start.
#[must_use]
pub fn cluster(directory: &Path, count: usize, options: &[&str]) -> Vec<Member> {
    start_all(directory, count, options, None)
}

/// Starts a cluster as [`cluster`] does, whose members reach each other through the network.
///
/// # Panics
/// If a member does not start.
#[must_use]
pub fn cluster_over(
    network: &Arc<Network>,
    directory: &Path,
    count: usize,
    options: &[&str],
) -> Vec<Member> {
    start_all(directory, count, options, Some(network))
}

fn start_all(
    directory: &Path,
    count: usize,
    options: &[&str],
    network: Option<&Arc<Network>>,
) -> Vec<Member> {
    let mut members: Vec<Member> = (0..count)
        .map(|index| Member {
            name: format!("m{index}"),
            address: own_address(),
            port: own_port(),
            directory: directory.join(format!("etcd-{index}")),
            peers: String::new(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            network: network.map(|network| (Arc::clone(network), index)),
            child: None,
        })
        .collect();
    let peers: Vec<String> =
        members.iter().map(|one| format!("{}={}", one.name, one.peer())).collect();
    for member in &mut members {
        member.peers = peers.join(",");
        member.serve_peers();
    }
    restart_all(&mut members);
    members
}

/// Starts killed members again, each from its disk, and returns once all are ready.
///
/// # Panics
/// If a member does not start.
pub fn restart_all(members: &mut [Member]) {
    let ready: Vec<Ready> = members.iter_mut().map(Member::launch).collect();
    for (member, ready) in members.iter_mut().zip(ready) {
        ready.wait(member);
    }
}

/// The socket on which a member says that it is ready, as to systemd: `sd_notify(3)`.
struct Ready(UnixDatagram);

impl Ready {
    fn wait(self, member: &Member) {
        let mut message = [0; 256];
        while !message.starts_with(b"READY=1") {
            let received = self.0.recv(&mut message);
            let failed =
                |error| panic!("etcd does not serve ({error}): {}", member.log().display());
            received.unwrap_or_else(failed);
        }
    }
}

impl Member {
    /// Returns the address for clients, as a URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}:{}", self.address, self.port)
    }

    /// Returns the address for clients.
    ///
    /// # Panics
    /// Never: it is one.
    #[must_use]
    pub fn socket(&self) -> SocketAddr {
        format!("{}:{}", self.address, self.port).parse().expect("an address")
    }

    /// Returns the URL at which the others find this member.
    fn peer(&self) -> String {
        let port = self.port + if self.network.is_some() { 2 } else { 1 };
        format!("http://{}:{port}", self.address)
    }

    /// Returns the address at which it listens for the others.
    fn peer_socket(&self) -> String {
        format!("{}:{}", self.address, self.port + 1)
    }

    fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    fn serve_peers(&self) {
        if let Some((network, index)) = &self.network {
            let at = format!("{}:{}", self.address, self.port + 2);
            network.serve(*index, &at, self.peer_socket().parse().expect("an address"));
        }
    }

    fn launch(&mut self) -> Ready {
        std::fs::create_dir_all(&self.directory).expect("a directory");
        let socket = self.directory.join("ready");
        let _ = std::fs::remove_file(&socket);
        let ready = UnixDatagram::bind(&socket).expect("a socket");
        ready.set_read_timeout(Some(bound())).expect("a socket");
        let log = File::options().create(true).append(true).open(self.log());
        // It dies with the calling thread: setpriv(1) sets the signal (prctl(2), PR_SET_PDEATHSIG)
        // and becomes the program.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--", "etcd"])
            .env("NOTIFY_SOCKET", &socket)
            .args(["--name", &self.name, "--initial-cluster", &self.peers])
            .arg("--data-dir")
            .arg(self.directory.join("data"))
            .args(["--listen-client-urls", &self.endpoint()])
            .args(["--advertise-client-urls", &self.endpoint()])
            .args(["--listen-peer-urls", &format!("http://{}", self.peer_socket())])
            .args(["--initial-advertise-peer-urls", &self.peer()])
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("a log"));
        let child = start(&mut command).expect("etcd starts");
        if let Some((network, index)) = &self.network {
            network.runs_as(*index, child.id());
        }
        self.child = Some(child);
        Ready(ready)
    }

    /// Starts a killed member again, from its disk, and returns once it is ready.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self) {
        self.launch().wait(self);
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// If it does not run.
    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).expect("a signal");
    }

    /// Returns `true` if this member says that it leads.
    ///
    /// # Panics
    /// If it does not answer.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        let status = self.ctl(&["endpoint", "status", "--write-out=fields"]);
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(&format!("\"{name}\"")));
            line.and_then(|line| line.split(" : ").nth(1)).expect("a field").to_owned()
        };
        field("MemberID") == field("Leader")
    }

    /// Returns `true` if a reading that a majority confirms has an answer here within two seconds.
    ///
    /// # Panics
    /// If there is no `etcdctl`.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        let mut command = self.ctl_command(&["--command-timeout=2s", "endpoint", "health"]);
        output(&mut command).expect("etcdctl runs").status.success()
    }

    /// Kills the member and returns once it is dead.
    ///
    /// # Panics
    /// If the system refuses.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("a signal");
            child.wait().expect("its end");
        }
    }

    /// Runs `etcdctl` with this member, and returns its output.
    ///
    /// # Panics
    /// If it fails.
    #[allow(clippy::must_use_candidate, reason = "run for its effect as well")]
    pub fn ctl(&self, arguments: &[&str]) -> String {
        self.ctl_with(arguments, "")
    }

    /// Puts a value that is too long for an argument.
    ///
    /// # Panics
    /// If it fails.
    pub fn put(&self, key: &str, value: &str) {
        self.ctl_with(&["put", key], value);
    }

    /// Runs `etcdctl`'s commands in one transaction.
    ///
    /// # Panics
    /// If it fails.
    pub fn transact(&self, commands: &str) {
        let answer = self.ctl_with(&["txn"], &format!("\n{commands}\n\n\n"));
        assert!(answer.starts_with("SUCCESS"), "{answer}");
    }

    fn ctl_with(&self, arguments: &[&str], input: &str) -> String {
        let mut command = self.ctl_command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = start(&mut command).expect("etcdctl runs");
        let mut pipe = child.stdin.take().expect("a pipe");
        // etcdctl closes its input early where it needs none.
        let _ = pipe.write_all(input.as_bytes());
        drop(pipe);
        let output = child.wait_with_output().expect("its end");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Returns the command that asks this member. It has its answer when the member has the
    /// processors for it: etcdctl alone gives up after five seconds. The watchdog bounds it.
    #[must_use]
    pub fn ctl_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--endpoints", &self.endpoint()]);
        command.arg(format!("--command-timeout={}s", bound().as_secs())).args(arguments);
        command
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}
