//! Judges the torture: a fenced store that plans, counts, and keeps the account.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::SHORT;

/// The judge, served to the workers by threads of the test.
#[derive(Clone)]
pub(crate) struct Judge {
    address: String,
    state: Arc<Mutex<State>>,
}

pub(crate) struct State {
    random: fastrand::Rng,
    /// The workers are to rest.
    pub(crate) is_over: bool,
    greatest: u64,
    /// The process that has entered and not left; 0 if there is none.
    pub(crate) holder: u32,
    /// The number that it keeps.
    pub(crate) value: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    /// The tokens of all acquisitions.
    tokens: HashSet<u64>,
    /// Holds whose token was refused before their own deadline: begin and refusal.
    pub(crate) early: Vec<(Instant, Instant)>,
    pub(crate) notes: BTreeMap<String, u64>,
    pub(crate) faults: Vec<String>,
}

impl Judge {
    pub(crate) fn new(seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let address = listener.local_addr().expect("its address").to_string();
        let judge = Self {
            address,
            state: Arc::new(Mutex::new(State {
                random: fastrand::Rng::with_seed(seed),
                is_over: false,
                greatest: 0,
                holder: 0,
                value: 0,
                accepted: 0,
                refused: 0,
                tokens: HashSet::new(),
                early: Vec::new(),
                notes: BTreeMap::new(),
                faults: Vec::new(),
            })),
        };
        let shared = judge.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, judge) = (stream.expect("a connection"), shared.clone());
                std::thread::spawn(move || judge.serve(stream));
            }
        });
        judge
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves one connection until its end.
    fn serve(&self, stream: TcpStream) {
        let mut answers = stream.try_clone().expect("a second handle");
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { return }; // the worker was killed
            let answer = self.state().answer(&line);
            if writeln!(answers, "{answer}").is_err() {
                return;
            }
        }
    }
}

impl State {
    /// Returns the number of acquisitions.
    pub(crate) fn acquisitions(&self) -> usize {
        self.tokens.len()
    }

    fn answer(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |word: &str| word.parse::<u64>().expect("a number");
        let verdict = |is_admitted| if is_admitted { "accepted" } else { "refused" }.to_owned();
        match words[..] {
            ["plan"] => self.plan(),
            ["enter", token, pid] => {
                self.holder = pid.parse().expect("a number");
                if !self.tokens.insert(number(token)) {
                    self.faults.push(format!("two acquisitions have token {token}"));
                }
                verdict(self.admits(number(token)))
            }
            ["read", token] if self.admits(number(token)) => self.value.to_string(),
            ["read", _] => "refused".into(),
            ["write", token, value] => {
                let is_admitted = self.admits(number(token));
                if is_admitted {
                    (self.value, self.accepted) = (number(value), self.accepted + 1);
                }
                verdict(is_admitted)
            }
            ["early", _, held] => {
                let now = Instant::now();
                let begin = now.checked_sub(Duration::from_millis(number(held))).unwrap_or(now);
                self.early.push((begin, now));
                String::new()
            }
            ["leave", pid] => {
                if self.holder == pid.parse::<u32>().expect("a number") {
                    self.holder = 0;
                }
                String::new()
            }
            ["note", ..] => {
                *self.notes.entry(line["note ".len()..].to_owned()).or_default() += 1;
                String::new()
            }
            _ => panic!("unknown request: {line}"),
        }
    }

    /// Returns `true` if the token is none of a former holder.
    fn admits(&mut self, token: u64) -> bool {
        let is_admitted = token >= self.greatest;
        self.greatest = self.greatest.max(token);
        self.refused += u64::from(!is_admitted);
        is_admitted
    }

    /// Returns the next acquisition of a worker. One critical section in sixteen is long, and may
    /// need renewals.
    fn plan(&mut self) -> String {
        if self.is_over {
            return "rest".into();
        }
        let long = SHORT * 1200;
        let longest = match self.random.u8(..16) {
            0 => long,
            1..8 => 300,
            _ => 20,
        };
        let section = self.random.u64(..longest);
        match self.random.u8(..4) {
            0 => format!("try {section}"),
            1 => format!("for {} {section}", self.random.u64(..long)),
            _ => format!("lock {section}"),
        }
    }
}
