//! Keeps a number for the holders of a fleet lock, and refuses fencing tokens that are too old.
//!
//! `fenced_store JOURNAL ADDRESS [--without-fence]` answers one request a connection: `read TOKEN`
//! with `value N`, `write TOKEN N` with `accepted`, and both with `refused GREATEST` if the token
//! is smaller than the greatest so far. Without the fence it accepts all: a demonstration of the
//! damage.
//!
//! * **A read raises the fence too.** Else a late write of the former holder is accepted after its
//!   successor has read, and one of the two writes is lost.
//! * **An equal token is accepted:** it is the same holder, which may write several times.
//! * **The check and the write are one step:** here under a mutex. SQL has one statement for it,
//!   whose number of changed rows is the answer, and a read begins with the same, without a value:
//!   `UPDATE belt SET value = $2, token = $1 WHERE token <= $1`.
//! * **A restart remembers the token:** it is on the disk before the answer is sent. A store whose
//!   journal is not there does not start; an empty file begins a new one (`: >JOURNAL`, `sync`).

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::{env, process, thread};

/// The number and its fence. The last line of the journal has both: `write TOKEN N`.
struct Store {
    journal: File,
    token: u64,
    value: u64,
    is_fenced: bool,
}

impl Store {
    fn open(journal: &str, is_fenced: bool) -> Result<Self, Box<dyn Error>> {
        let text = fs::read_to_string(journal)?;
        let journal = OpenOptions::new().append(true).open(journal)?;
        // A crash may leave a part of a line, and its request has no answer.
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        journal.set_len(whole.len() as u64)?;
        journal.sync_all()?; // the former store may have died before it did so
        let mut words = whole.lines().last().unwrap_or("write 0 0").split(' ').skip(1);
        let mut number = || words.next().unwrap_or_default().parse();
        Ok(Self { journal, token: number()?, value: number()?, is_fenced })
    }

    /// Carries out a request. After an error the disk may have it or not.
    fn carry_out(&mut self, request: &str) -> io::Result<String> {
        let numbers = request.split(' ').skip(1).map(str::parse).collect::<Result<Vec<u64>, _>>();
        let (kind, token, value) = match (request.split(' ').next(), numbers.as_deref()) {
            (Some("read"), Ok(&[token])) => ("read", token, self.value),
            (Some("write"), Ok(&[token, value])) => ("write", token, value),
            _ => return Ok("error: no request".into()),
        };
        if self.is_fenced && token < self.token {
            println!("refused {request}, because the greatest token is {}", self.token);
            return Ok(format!("refused {}", self.token));
        }
        self.journal.write_all(format!("{kind} {token} {value}\n").as_bytes())?;
        self.journal.sync_data()?;
        (self.token, self.value) = (token, value);
        Ok(if kind == "read" { format!("value {value}") } else { "accepted".into() })
    }
}

fn answer(store: &Mutex<Store>, mut stream: TcpStream) -> io::Result<()> {
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    // A client that dies may leave a part of a request.
    let Some(request) = line.strip_suffix('\n') else { return Ok(()) };
    let done = store.lock().unwrap_or_else(PoisonError::into_inner).carry_out(request);
    let answer = done.unwrap_or_else(|error| {
        eprintln!("the journal cannot be written: {error}. Make room, then start the store again");
        process::exit(1) // the restart finds out what the disk has
    });
    writeln!(stream, "{answer}")
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (journal, address, is_fenced) = match &arguments[..] {
        [journal, address] => (journal, address, true),
        [journal, address, option] if option == "--without-fence" => (journal, address, false),
        _ => return Err("usage: fenced_store JOURNAL ADDRESS [--without-fence]".into()),
    };
    let listener = TcpListener::bind(address)?; // first: one store a journal
    let store = Arc::new(Mutex::new(Store::open(journal, is_fenced)?));
    for stream in listener.incoming() {
        let (store, stream) = (Arc::clone(&store), stream?);
        thread::spawn(move || answer(&store, stream)); // a client may be stopped: not in turn
    }
    Ok(())
}
