//! Hands the bytes of a client on to a member and back, and counts them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use shmlock_bench_support::Result;
use shmlock_tests::etcd::own_address;

/// What has passed so far: bytes of TCP's payload in both directions, and connections.
#[derive(Clone, Copy)]
pub(crate) struct Passed {
    pub(crate) bytes: u64,
    pub(crate) connections: u64,
}

/// An address that stands for the member's. Its threads last as long as this process.
pub(crate) struct Proxy {
    endpoint: String,
    counts: Arc<Counts>,
}

/// Relaxed everywhere: each is a sum that is read by itself.
#[derive(Default)]
struct Counts {
    bytes: AtomicU64,
    connections: AtomicU64,
}

impl Proxy {
    pub(crate) fn start(member: &str) -> Result<Self> {
        let listener = TcpListener::bind((own_address(), 0))?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let counts = Arc::new(Counts::default());
        let (member, shared) = (member.trim_start_matches("http://").to_owned(), counts.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(std::io::Result::ok) {
                let Ok(server) = TcpStream::connect(&member) else { continue };
                shared.connections.fetch_add(1, Relaxed);
                let directions =
                    [(client.try_clone(), server.try_clone()), (Ok(server), Ok(client))];
                for (from, to) in directions {
                    let (Ok(from), Ok(to)) = (from, to) else { continue };
                    let counts = Arc::clone(&shared);
                    std::thread::spawn(move || hand_on(from, to, &counts));
                }
            }
        });
        Ok(Self { endpoint, counts })
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(crate) fn passed(&self) -> Passed {
        let [bytes, connections] =
            [&self.counts.bytes, &self.counts.connections].map(|count| count.load(Relaxed));
        Passed { bytes, connections }
    }
}

/// Copies one direction until its end.
fn hand_on(mut from: TcpStream, mut to: TcpStream, counts: &Counts) {
    let _ = to.set_nodelay(true);
    let mut buffer = [0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
        counts.bytes.fetch_add(length as u64, Relaxed);
    }
    let _ = to.shutdown(Shutdown::Write); // the other direction may go on
}
