//! Implements the fenced store. It keeps one number, and refuses tokens smaller than the greatest
//! that it has seen, for readings and for writings.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The store, served to the actors by threads of the test.
pub(crate) struct Store {
    address: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
pub(crate) struct State {
    greatest: u64,
    /// The number that it keeps.
    pub(crate) value: u64,
    /// The tokens of the accepted writes.
    pub(crate) accepted: Vec<u64>,
    /// The tokens of the refused ones.
    pub(crate) refused: Vec<u64>,
}

impl Store {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let address = listener.local_addr().expect("its address").to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, state) = (stream.expect("a connection"), Arc::clone(&shared));
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        Self { address, state }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns `true` if the token is none of a former holder.
    fn admits(&mut self, token: u64) -> bool {
        let is_admitted = token >= self.greatest;
        if is_admitted {
            self.greatest = token;
        } else {
            self.refused.push(token);
        }
        is_admitted
    }

    fn write(&mut self, token: u64, value: u64) -> bool {
        let is_admitted = self.admits(token);
        if is_admitted {
            self.value = value;
            self.accepted.push(token);
        }
        is_admitted
    }

    /// Checks that every accepted token is greater than the one before.
    pub(crate) fn assert_tokens_rise(&self) {
        assert!(self.accepted.is_sorted_by(|a, b| a < b), "tokens: {:?}", self.accepted);
    }
}

/// Serves one connection until its end.
fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut answers = stream.try_clone().expect("a second handle");
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return }; // the actor was killed
        let words: Vec<&str> = line.split(' ').collect();
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let number = |word: &str| word.parse().expect("a number");
        let answer = match words[..] {
            // A reading is fenced as well: else a former holder could write what it computed from
            // it before the new holder's first write.
            ["read", token] => {
                let is_admitted = state.admits(number(token));
                if is_admitted { state.value.to_string() } else { "refused".into() }
            }
            ["write", token, value] => {
                let is_accepted = state.write(number(token), number(value));
                if is_accepted { "accepted".into() } else { "refused".into() }
            }
            _ => panic!("unknown request: {line}"),
        };
        drop(state);
        if writeln!(answers, "{answer}").is_err() {
            return;
        }
    }
}
