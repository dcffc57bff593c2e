//! Runs members of etcd, each with an address and a data directory of its own.
//!
//! For the tests of the fleet lock, the library's and the program's.

use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use crate::{skipped, start};

/// One member. Dropped, it is killed.
pub struct Member {
    name: String,
    address: String,
    port: u16,
    directory: PathBuf,
    child: Option<Child>,
}

/// Returns `true` if the program is installed; else reports the test as skipped.
#[must_use]
pub fn has_etcd() -> bool {
    let found = Command::new("etcd").arg("--version").stdout(Stdio::null()).status().is_ok();
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
    let mut members: Vec<Member> = (0..count)
        .map(|index| Member {
            name: format!("m{index}"),
            address: own_address(),
            port: own_port(),
            directory: directory.join(format!("etcd-{index}")),
            child: None,
        })
        .collect();
    let peers: Vec<String> =
        members.iter().map(|one| format!("{}={}", one.name, one.peer())).collect();
    let peers = peers.join(",");
    let ready: Vec<Ready> =
        members.iter_mut().map(|member| member.spawn(&peers, options)).collect();
    for (member, ready) in members.iter_mut().zip(ready) {
        ready.wait(member);
    }
    members
}

/// The socket on which a member says that it is ready, as to systemd: `sd_notify(3)`.
struct Ready(UnixDatagram);

impl Ready {
    fn wait(self, member: &Member) {
        let mut message = [0; 256];
        loop {
            let length = self.0.recv(&mut message).expect("a message");
            if message[..length].starts_with(b"READY=1") {
                return;
            }
            assert!(length > 0, "{} does not begin", member.name);
        }
    }
}

impl Member {
    /// Returns the address for clients, as a URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}:{}", self.address, self.port)
    }

    fn peer(&self) -> String {
        format!("http://{}:{}", self.address, self.port + 1)
    }

    fn spawn(&mut self, peers: &str, options: &[&str]) -> Ready {
        std::fs::create_dir_all(&self.directory).expect("a directory");
        let socket = self.directory.join("ready");
        let _ = std::fs::remove_file(&socket);
        let ready = UnixDatagram::bind(&socket).expect("a socket");
        let log = std::fs::File::create(self.directory.join("log")).expect("a log");
        let mut command = Command::new("etcd");
        command
            .env("NOTIFY_SOCKET", &socket)
            .args(["--name", &self.name, "--initial-cluster", peers])
            .arg("--data-dir")
            .arg(self.directory.join("data"))
            .args(["--listen-client-urls", &self.endpoint()])
            .args(["--advertise-client-urls", &self.endpoint()])
            .args(["--listen-peer-urls", &self.peer()])
            .args(["--initial-advertise-peer-urls", &self.peer()])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.child = Some(start(&mut command).expect("etcd starts"));
        Ready(ready)
    }

    /// Starts a killed member of a cluster of one again, from its disk.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self) {
        let peers = format!("{}={}", self.name, self.peer());
        self.spawn(&peers, &[]).wait(self);
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
        let mut command = Command::new("etcdctl");
        command
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.endpoint()])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = start(&mut command).expect("etcdctl runs");
        let mut pipe = child.stdin.take().expect("a pipe");
        // etcdctl closes its input early where it needs none.
        let _ = pipe.write_all(input.as_bytes());
        drop(pipe);
        let output = child.wait_with_output().expect("its end");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}
