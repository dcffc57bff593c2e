//! Talks to the fenced store.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

/// The connection to the fenced store.
pub(crate) struct Store(BufReader<TcpStream>);

impl Store {
    pub(crate) fn connect(address: &str) -> Self {
        Self(BufReader::new(TcpStream::connect(address).expect("the store listens")))
    }

    pub(crate) fn ask(&mut self, question: &str) -> String {
        writeln!(self.0.get_mut(), "{question}").expect("the store reads");
        let mut answer = String::new();
        self.0.read_line(&mut answer).expect("the store answers");
        answer.trim().to_owned()
    }

    /// Tells the store of an event that it counts.
    pub(crate) fn note(&mut self, event: &str) {
        self.ask(&format!("note {event}"));
    }

    /// Adds one in two requests. Returns `false` if the store refuses either.
    pub(crate) fn add(&mut self, token: u64) -> bool {
        let value = match &*self.ask(&format!("read {token}")) {
            "refused" => return false,
            value => value.parse::<u64>().expect("a number"),
        };
        self.ask(&format!("write {token} {}", value + 1)) == "accepted"
    }
}
