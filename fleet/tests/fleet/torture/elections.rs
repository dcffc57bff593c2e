//! Watches the members' terms, to know when there were elections.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How often each member is asked, and how long it may take.
const INTERVAL: Duration = Duration::from_millis(100);

/// The moments at which a higher term was seen. Dropped, the watch ends.
pub(crate) struct Elections(Arc<Mutex<Vec<Instant>>>);

impl Elections {
    pub(crate) fn watch(members: Vec<SocketAddr>) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::downgrade(&seen);
        std::thread::spawn(move || watch(&members, &shared));
        Self(seen)
    }

    pub(crate) fn all(&self) -> MutexGuard<'_, Vec<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn watch(members: &[SocketAddr], seen: &Weak<Mutex<Vec<Instant>>>) {
    let mut highest = 0;
    while let Some(seen) = seen.upgrade() {
        for term in members.iter().filter_map(|&member| term(member)) {
            if term > highest {
                highest = term;
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
            }
        }
        drop(seen);
        std::thread::sleep(INTERVAL);
    }
}

/// Asks a member for its term; `None` if it does not answer.
fn term(member: SocketAddr) -> Option<u64> {
    let mut stream = TcpStream::connect_timeout(&member, INTERVAL).ok()?;
    stream.set_read_timeout(Some(INTERVAL)).ok()?;
    write!(
        stream,
        "POST /v3/maintenance/status HTTP/1.1\r\nHost: m\r\nContent-Length: 2\r\n\
         Connection: close\r\n\r\n{{}}"
    )
    .ok()?;
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer); // what has arrived may be enough
    let after = answer.split("\"raft_term\":\"").nth(1)?;
    after.split('"').next()?.parse().ok()
}
