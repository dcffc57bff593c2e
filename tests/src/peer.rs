//! Branches an actor: a forked child or a thread, with a connection to the test of its own.

use std::net::Shutdown;
use std::ops::{Deref, DerefMut};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use crate::kill::send_signal;
use crate::voice::Voice;

impl Voice {
    /// Makes it fork. The child keeps everything that the parent has, and gets a connection to the
    /// test of its own.
    ///
    /// # Panics
    /// If it cannot.
    pub fn fork(&mut self) -> Peer {
        self.branch("fork", "")
    }

    /// Makes it start a thread, which has nothing open and gets a connection to the test of its
    /// own.
    ///
    /// # Panics
    /// If it cannot.
    pub fn thread(&mut self) -> Peer {
        self.branch("thread", "")
    }

    /// Makes it start a [`thread`](Self::thread), and moves the handle `id` to it.
    ///
    /// # Panics
    /// If it cannot.
    pub fn thread_with(&mut self, id: &str) -> Peer {
        self.branch("thread", id)
    }

    fn branch(&mut self, verb: &str, with: &str) -> Peer {
        static SOCKETS: AtomicU32 = AtomicU32::new(0);
        let socket =
            format!("shmlock-tests-{}-{}", process::id(), SOCKETS.fetch_add(1, Ordering::Relaxed));
        // In the abstract namespace, so that no file is left behind, unix(7).
        let address = SocketAddr::from_abstract_name(&socket).expect("a short name");
        let listener = UnixListener::bind_addr(&address).expect("a name of our own");
        self.ask(format!("{verb} {socket} {with}"));
        let (stream, _) = listener.accept().expect("it connects");
        let copy = |stream: &UnixStream| stream.try_clone().expect("a descriptor");
        let mut voice = Voice::new(copy(&stream), copy(&stream));
        let number = voice.done().parse().expect("its number");
        Peer { voice, number, stream }
    }
}

/// A forked child or a thread of an [`Actor`](crate::Actor). Dropping it waits until it has ended.
pub struct Peer {
    voice: Voice,
    number: u32,
    stream: UnixStream,
}

impl Peer {
    /// Returns its thread id; of a forked child this is also its process id.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Sends the forked child a signal.
    pub fn signal(&self, signal: i32) {
        send_signal(self.number, signal);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
        if !thread::panicking() {
            while self.voice.last_words().is_some() {}
        }
    }
}

impl Deref for Peer {
    type Target = Voice;

    fn deref(&self) -> &Voice {
        &self.voice
    }
}

impl DerefMut for Peer {
    fn deref_mut(&mut self) -> &mut Voice {
        &mut self.voice
    }
}
