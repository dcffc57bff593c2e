//! Sends commands to another process or thread, and reads its answers.

use std::fmt::Display;
use std::io::{BufRead, BufReader, Read, Write};

use crate::limits::until;

/// A connection to a process or thread that answers each command by one line: `ok` and the result,
/// or `err`, the error's variant and its text.
pub struct Voice {
    reader: BufReader<Box<dyn Read + Send>>,
    pub(crate) writer: Option<Box<dyn Write + Send>>,
}

impl Voice {
    pub(crate) fn new(
        reader: impl Read + Send + 'static,
        writer: impl Write + Send + 'static,
    ) -> Self {
        Self { reader: BufReader::new(Box::new(reader)), writer: Some(Box::new(writer)) }
    }

    /// Sends a command. The answer has to be read later; answers come in the order of the commands.
    ///
    /// # Panics
    /// If it is gone.
    pub fn tell(&mut self, line: impl Display) {
        let writer = self.writer.as_mut().expect("not dismissed yet");
        writeln!(writer, "{line}")
            .and_then(|()| writer.flush())
            .expect("the actor lives and reads");
    }

    /// Waits for the next answer and returns it.
    ///
    /// # Panics
    /// If the connection has ended.
    pub fn answer(&mut self) -> String {
        self.last_words().expect("the actor lives and answers")
    }

    /// Waits for the next answer; returns `None` if the connection ended without one.
    ///
    /// # Panics
    /// If the pipe itself fails.
    pub fn last_words(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("the pipe of an actor: {error}"),
        }
    }

    /// Waits for the next answer, checks that it is `ok`, and returns the rest of it.
    ///
    /// # Panics
    /// If it is an error.
    pub fn done(&mut self) -> String {
        let answer = self.answer();
        let rest =
            answer.strip_prefix("ok").unwrap_or_else(|| panic!("expected ok, got: {answer}"));
        rest.trim_start().to_owned()
    }

    /// Waits for the next answer, checks that it is an error, and returns the name of its variant.
    ///
    /// # Panics
    /// If the answer is not an error.
    pub fn failed(&mut self) -> String {
        let answer = self.answer();
        let mut words = answer.split_whitespace();
        assert_eq!(words.next(), Some("err"), "expected an error, got: {answer}");
        words.next().unwrap_or_default().to_owned()
    }

    /// Sends a command and waits for its result.
    ///
    /// # Panics
    /// If the answer is an error.
    pub fn ask(&mut self, line: impl Display) -> String {
        self.tell(line);
        self.done()
    }

    /// Waits until WAITERS is set on its lock `l`.
    ///
    /// # Panics
    /// If it is gone.
    pub fn sees_a_waiter(&mut self) {
        until(|| self.ask("check l").contains("waiters=true"));
    }

    /// Sends a command that has to fail; returns the error's variant.
    ///
    /// # Panics
    /// If it succeeds.
    pub fn refuse(&mut self, line: impl Display) -> String {
        self.tell(line);
        self.failed()
    }
}
