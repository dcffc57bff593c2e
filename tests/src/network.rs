//! Carries the bytes of TCP connections through gates that hold them back.
//!
//! A held gate is a partition without a reset: no byte passes, no end of a connection either, and a
//! new connection is accepted and stays silent. What was held passes once the gate opens, as TCP
//! would send it again. It needs no rights and no packet filter. In one respect it differs from
//! lost packets: `connect(2)` succeeds.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// One direction between two places.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    is_open: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_held: bool,
    delay: Duration,
    /// The delay of the next piece alone.
    once: Option<Duration>,
}

impl Gate {
    /// Holds back all that comes.
    pub fn hold(&self) {
        self.state().is_held = true;
    }

    /// Forwards the held bytes, and the next ones without a delay.
    pub fn open(&self) {
        *self.state() = State::default();
        self.0.is_open.notify_all();
    }

    /// Lets everything pass, each piece so late.
    pub fn delay(&self, delay: Duration) {
        *self.state() = State { delay, ..State::default() };
        self.0.is_open.notify_all();
    }

    /// Lets the next piece pass so late, and what comes after it at once.
    pub fn delay_once(&self, delay: Duration) {
        self.state().once = Some(delay);
    }

    /// Returns once a piece that has arrived may go on.
    fn pass(&self) {
        let delay = {
            let mut state = self.state();
            state.once.take().unwrap_or(state.delay)
        };
        if !delay.is_zero() {
            thread::sleep(delay); // the disturbance itself
        }
        let mut state = self.state();
        while state.is_held {
            state = self.0.is_open.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves `listener` by connections to `target`. `gates` names the gates of a connection, to the
/// target and back, by its two addresses: that from which it comes, and that to which it goes.
///
/// # Panics
/// In a thread of its own, if the listener fails.
pub fn carry(
    listener: TcpListener,
    target: SocketAddr,
    gates: impl Fn(SocketAddr, SocketAddr) -> (Gate, Gate) + Send + Sync + 'static,
) {
    let gates = Arc::new(gates);
    thread::spawn(move || {
        for near in listener.incoming() {
            let near = near.expect("a connection");
            let (Ok(peer), Ok(own)) = (near.peer_addr(), near.local_addr()) else {
                continue; // it has ended already
            };
            let gates = Arc::clone(&gates);
            thread::spawn(move || {
                let (there, back) = gates(peer, own);
                there.pass();
                // No server: the connection ends, as one that is refused.
                let Ok(far) = TcpStream::connect(target) else { return };
                let _ = (near.set_nodelay(true), far.set_nodelay(true));
                let (Ok(near2), Ok(far2)) = (near.try_clone(), far.try_clone()) else { return };
                thread::spawn(move || pump(far2, near2, &back));
                pump(near, far, &there);
            });
        }
    });
}

/// Carries one direction of a connection to its end.
fn pump(mut from: TcpStream, mut to: TcpStream, gate: &Gate) {
    let mut bytes = vec![0; 16 << 10];
    loop {
        let length = from.read(&mut bytes);
        gate.pass();
        match length {
            Ok(length @ 1..) => {
                if to.write_all(&bytes[..length]).is_err() {
                    let _ = from.shutdown(Shutdown::Both);
                    return;
                }
            }
            Ok(0) => return drop(to.shutdown(Shutdown::Write)),
            Err(_) => return drop(to.shutdown(Shutdown::Both)),
        }
    }
}

/// The way from a client to one member of a cluster. Dropped, it is open for good.
#[derive(Debug)]
pub struct Way {
    endpoint: String,
    /// What the client sends.
    pub requests: Gate,
    /// What the member sends.
    pub answers: Gate,
}

impl Way {
    /// Makes a way to a member.
    ///
    /// # Panics
    /// If there is no socket for it.
    #[must_use]
    pub fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let endpoint = format!("http://{}", listener.local_addr().expect("its address"));
        let way = Self { endpoint, requests: Gate::default(), answers: Gate::default() };
        let gates = (way.requests.clone(), way.answers.clone());
        carry(listener, target, move |_, _| gates.clone());
        way
    }

    /// Returns the address for the client, as a URL.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Holds both directions.
    pub fn hold(&self) {
        self.requests.hold();
        self.answers.hold();
    }

    /// Opens both directions.
    pub fn open(&self) {
        self.requests.open();
        self.answers.open();
    }

    /// Delays both directions.
    pub fn delay(&self, delay: Duration) {
        self.requests.delay(delay);
        self.answers.delay(delay);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.open();
    }
}

/// The network between the members of a cluster. Dropped, it is open for good.
///
/// A connection belongs to the member whose process made it: `/proc/PID/fd` tells.
#[derive(Debug)]
pub struct Network {
    /// From each to each.
    gates: Vec<Vec<Gate>>,
    /// The process of each; 0 if it does not run.
    pids: Vec<AtomicU32>,
}

impl Network {
    /// Makes the network of so many members.
    #[must_use]
    pub fn new(members: usize) -> Arc<Self> {
        let row = || (0..members).map(|_| Gate::default()).collect();
        let gates = (0..members).map(|_| row()).collect();
        Arc::new(Self { gates, pids: (0..members).map(|_| AtomicU32::new(0)).collect() })
    }

    /// Holds what `from` sends to `to`.
    pub fn hold(&self, from: usize, to: usize) {
        self.gates[from][to].hold();
    }

    /// Holds all between one member and the others.
    pub fn isolate(&self, member: usize) {
        for other in (0..self.gates.len()).filter(|&other| other != member) {
            self.hold(member, other);
            self.hold(other, member);
        }
    }

    /// Opens all.
    pub fn heal(&self) {
        self.gates.iter().flatten().for_each(Gate::open);
    }

    /// Delays all.
    pub fn delay(&self, delay: Duration) {
        self.gates.iter().flatten().for_each(|gate| gate.delay(delay));
    }

    /// Says which process a member is.
    pub(crate) fn runs_as(&self, member: usize, pid: u32) {
        self.pids[member].store(pid, Relaxed); // partner: `member_with`, which waits for it
    }

    /// Carries the connections of the others to this member.
    pub(crate) fn serve(self: &Arc<Self>, member: usize, at: &str, target: SocketAddr) {
        let network = Arc::downgrade(self);
        carry(TcpListener::bind(at).expect("a socket"), target, move |peer, own| {
            // Not found: the connection has ended, or its process is not known yet.
            while let (Some(network), Some(inode)) = (network.upgrade(), inode_of(peer, own)) {
                if let Some(from) = network.member_with(&format!("socket:[{inode}]")) {
                    let gates = &network.gates;
                    return (gates[from][member].clone(), gates[member][from].clone());
                }
                thread::yield_now();
            }
            Default::default()
        });
    }

    /// Returns the member whose process has this socket.
    fn member_with(&self, socket: &str) -> Option<usize> {
        self.pids.iter().position(|pid| {
            let files = std::fs::read_dir(format!("/proc/{}/fd", pid.load(Relaxed)));
            files.is_ok_and(|files| {
                let mut links = files.flatten().filter_map(|file| file.path().read_link().ok());
                links.any(|link| link.as_os_str() == socket)
            })
        })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.heal();
    }
}

/// Returns the inode of the socket that connects these addresses: `proc_pid_net(5)`. The kernel
/// gives one local address to several connections, if they go to different places.
fn inode_of(local: SocketAddr, remote: SocketAddr) -> Option<String> {
    let [local, remote] = [shown(local)?, shown(remote)?];
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let mut rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = rows.find(|row| row.get(1..3) == Some(&[&*local, &*remote]))?;
    // The process has closed the socket: 0.
    row.get(9).filter(|&&inode| inode != "0").map(|&inode| inode.to_owned())
}

/// Returns an address as the kernel's table has it.
fn shown(address: SocketAddr) -> Option<String> {
    let SocketAddr::V4(v4) = address else { return None };
    Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(v4.ip().octets()), v4.port()))
}

#[cfg(test)]
mod tests {
    use std::fs::read_link;
    use std::net::{SocketAddr, TcpListener};
    use std::os::fd::{AsRawFd, OwnedFd};

    use rustix::net::{AddressFamily, SocketType, bind, connect, getsockname, socket, sockopt};

    use super::inode_of;

    /// Connects from this local address.
    fn connected(from: SocketAddr, to: SocketAddr) -> OwnedFd {
        let near = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        sockopt::set_socket_reuseaddr(&near, true).expect("an option");
        bind(&near, &from).expect("a local address");
        connect(&near, &to).expect("a connection");
        near
    }

    #[test]
    fn connections_from_one_address_are_told_apart() {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a listener"));
        let places = listeners.each_ref().map(|one| one.local_addr().expect("its address"));
        let first = connected("127.0.0.1:0".parse().expect("an address"), places[0]);
        let from: SocketAddr =
            getsockname(&first).expect("its address").try_into().expect("an address");
        let second = connected(from, places[1]);
        for (near, place) in [(first, places[0]), (second, places[1])] {
            let link = read_link(format!("/proc/self/fd/{}", near.as_raw_fd())).expect("a link");
            let inode = inode_of(from, place).expect("it is connected");
            assert_eq!(link.to_str(), Some(&*format!("socket:[{inode}]")));
        }
    }
}
