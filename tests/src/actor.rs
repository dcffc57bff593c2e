//! Other processes, from the side of the test: started, asked, killed.

#![allow(unsafe_code, reason = "kill(2) is told numbers")]

use std::fmt::Display;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::ops::{Deref, DerefMut};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{self, Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use crate::{runner, start, until};

/// Somebody who does as told and answers each line by one line: `ok` and what was asked for, or
/// `err`, the error's variant and its text.
pub struct Voice {
    reader: BufReader<Box<dyn Read + Send>>,
    writer: Option<Box<dyn Write + Send>>,
}

impl Voice {
    fn new(reader: impl Read + Send + 'static, writer: impl Write + Send + 'static) -> Self {
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

/// A process of our own. Dropping it lets it give everything back and end well, and waits for that.
pub struct Actor {
    voice: Voice,
    child: Child,
    reaped: bool,
}

impl Actor {
    /// Starts one; see [`actor!`](crate::actor!). It ends with the thread that calls this, at the
    /// latest.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn spawn(program: &str) -> Self {
        Self::start(runner::command(program))
    }

    /// Starts one by a command line: the actor of another target, with the emulator that it may
    /// need before it.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn spawn_by(words: &str) -> Self {
        Self::start(runner::of_words(words).expect("a command"))
    }

    fn start(mut command: process::Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = start(&mut command).expect("the actor can be started");
        let (answers, orders) =
            (child.stdout.take().expect("piped"), child.stdin.take().expect("piped"));
        Self { voice: Voice::new(answers, orders), child, reaped: false }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it is gone.
    pub fn signal(&self, signal: i32) {
        assert!(!self.reaped, "gone already");
        kill(self.pid(), signal);
    }

    /// Sends it the signal again and again while `act` runs.
    ///
    /// # Panics
    /// If it ends meanwhile.
    pub fn under_fire<R>(&mut self, signal: i32, act: impl FnOnce(&mut Voice) -> R) -> R {
        /// Ends the fire also when `act` panics.
        struct Cease<'a>(&'a AtomicBool);
        impl Drop for Cease<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let (pid, ceased) = (self.pid(), AtomicBool::new(false));
        thread::scope(|scope| {
            let _cease = Cease(&ceased);
            scope.spawn(|| {
                while !ceased.load(Ordering::Relaxed) {
                    kill(pid, signal);
                    thread::yield_now();
                }
            });
            act(&mut self.voice)
        })
    }

    /// Waits until it ends; how it did.
    ///
    /// # Panics
    /// If the system will not tell.
    pub fn wait(&mut self) -> process::ExitStatus {
        self.reaped = true;
        self.child.wait().expect("a child can be waited for")
    }

    /// Waits until it ends, which has to be by this signal.
    ///
    /// # Panics
    /// If it ends otherwise.
    pub fn ends_by(&mut self, signal: i32) {
        let status = self.wait();
        assert_eq!(status.signal(), Some(signal), "it ended otherwise: {status}");
    }

    /// Kills it and waits until it is gone.
    pub fn kill(&mut self) {
        self.signal(libc::SIGKILL);
        self.ends_by(libc::SIGKILL);
    }
}

impl Voice {
    /// Lets it fork. The child has all that the parent has, and listens to the test on its own.
    ///
    /// # Panics
    /// If it cannot.
    pub fn fork(&mut self) -> Peer {
        self.branch("fork", "")
    }

    /// Lets it start a thread, which listens to the test on its own and has nothing yet.
    ///
    /// # Panics
    /// If it cannot.
    pub fn thread(&mut self) -> Peer {
        self.branch("thread", "")
    }

    /// As [`thread`](Self::thread), and gives the thread the handle `id`.
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
        // In the abstract name space: there is no file to leave behind.
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

/// A forked child or a thread of an [`Actor`]. Dropping it waits until it has ended.
pub struct Peer {
    voice: Voice,
    number: u32,
    stream: UnixStream,
}

impl Peer {
    /// Its thread id; of a forked child also its process id.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Sends the forked child a signal.
    pub fn signal(&self, signal: i32) {
        kill(self.number, signal);
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        if thread::panicking() {
            let _ = self.child.kill();
        }
        // It reads the end of its orders, gives everything back, and ends.
        self.voice.writer = None;
        let status = self.child.wait();
        if !thread::panicking() {
            let status = status.expect("a child can be waited for");
            assert!(status.success(), "an actor ended badly: {status}");
        }
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

fn kill(pid: u32, signal: i32) {
    let pid = libc::pid_t::try_from(pid).expect("a process id");
    // SAFETY: kill(2) checks its numbers, and touches no memory of ours.
    let answer = unsafe { libc::kill(pid, signal) };
    assert_eq!(answer, 0, "no process {pid} to send signal {signal} to");
}

macro_rules! speaks {
    ($who:ty) => {
        impl Deref for $who {
            type Target = Voice;
            fn deref(&self) -> &Voice {
                &self.voice
            }
        }
        impl DerefMut for $who {
            fn deref_mut(&mut self) -> &mut Voice {
                &mut self.voice
            }
        }
    };
}

speaks!(Actor);
speaks!(Peer);
