//! Reads the commands and writes the answers.

#![allow(unsafe_code, reason = "dup2 onto the standard streams")]

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write, stdin, stdout};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

/// One connection to the test.
pub(crate) struct Line {
    input: Box<dyn BufRead>,
    output: Box<dyn Write>,
}

impl Line {
    pub(crate) fn of_standard_streams() -> Self {
        Self { input: Box::new(BufReader::new(stdin())), output: Box::new(stdout()) }
    }

    /// Connects to the test, and sends it this thread's id.
    pub(crate) fn to_socket(name: &str) -> Self {
        let address = SocketAddr::from_abstract_name(name).expect("a short name");
        let stream = UnixStream::connect_addr(&address).expect("the test listens");
        let copy = stream.try_clone().expect("a descriptor");
        let mut line = Self { input: Box::new(BufReader::new(stream)), output: Box::new(copy) };
        line.say(&format!("ok {}", thread_id()));
        line
    }

    /// Waits for the next command; returns `None` at the end of the input.
    pub(crate) fn hear(&mut self) -> Option<String> {
        let mut command = String::new();
        match self.input.read_line(&mut command) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(command),
        }
    }

    pub(crate) fn say(&mut self, answer: &str) {
        // A test that has ended reads nothing; then the next `hear` ends this process.
        let _ = writeln!(self.output, "{answer}").and_then(|()| self.output.flush());
    }
}

fn thread_id() -> i32 {
    // SAFETY: gettid(2) has no preconditions.
    unsafe { libc::gettid() }
}

/// Replaces the standard streams in a forked child: they are the parent's connection.
pub(crate) fn let_go_of_standard_streams() {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null").expect("/dev/null");
    for stream in [0, 1] {
        // SAFETY: dup2(2) of an open descriptor onto one that this process uses no more.
        unsafe { libc::dup2(null.as_raw_fd(), stream) };
    }
}
