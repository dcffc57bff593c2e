//! Tells another process or thread what to do, and reads its answers.

use std::fmt::Display;
use std::io::{BufRead, BufReader, Read, Write};

use crate::limits::until;

/// Somebody who does as told and answers each line by one line: `ok` and what was asked for, or
/// `err`, the error's variant and its text.
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

    /// Tells it to do something. The answer has to be fetched later; answers come in the order of
    /// the questions.
    ///
    /// # Panics
    /// If it is gone.
    pub fn tell(&mut self, line: impl Display) {
        let writer = self.writer.as_mut().expect("not dismissed yet");
        writeln!(writer, "{line}")
            .and_then(|()| writer.flush())
            .expect("the actor lives and reads");
    }

    /// The next answer. Waits for it.
    ///
    /// # Panics
    /// If there is none any more.
    pub fn answer(&mut self) -> String {
        self.last_words().expect("the actor lives and answers")
    }

    /// The next answer; `None` if it is gone without one. Waits for either.
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

    /// The next answer, which has to be `ok`: what follows it.
    ///
    /// # Panics
    /// If it is an error.
    pub fn done(&mut self) -> String {
        let answer = self.answer();
        let rest =
            answer.strip_prefix("ok").unwrap_or_else(|| panic!("expected ok, got: {answer}"));
        rest.trim_start().to_owned()
    }

    /// The next answer, which has to be an error: the name of its variant.
    ///
    /// # Panics
    /// If it is none.
    pub fn failed(&mut self) -> String {
        let answer = self.answer();
        let mut words = answer.split_whitespace();
        assert_eq!(words.next(), Some("err"), "expected an error, got: {answer}");
        words.next().unwrap_or_default().to_owned()
    }

    /// Tells it something and waits until it is done.
    ///
    /// # Panics
    /// If the answer is an error.
    pub fn ask(&mut self, line: impl Display) -> String {
        self.tell(line);
        self.done()
    }

    /// Waits until somebody sleeps on its lock `l`, or has slept on it since it was last released.
    ///
    /// # Panics
    /// If it is gone.
    pub fn sees_a_waiter(&mut self) {
        until(|| self.ask("check l").contains("waiters=true"));
    }

    /// Tells it something that has to fail; gives the variant of the error.
    ///
    /// # Panics
    /// If it does not.
    pub fn refuse(&mut self, line: impl Display) -> String {
        self.tell(line);
        self.failed()
    }
}
