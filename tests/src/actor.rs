//! Starts, asks and kills other processes.

use std::ops::{Deref, DerefMut};
use std::os::unix::process::ExitStatusExt;
use std::process::{self, Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::kill::send_signal;
use crate::limits::until;
use crate::runner;
use crate::start::start;
use crate::voice::Voice;

/// A process that follows commands. Dropping it ends its input: it then closes everything and
/// exits, and the drop waits for that.
pub struct Actor {
    voice: Voice,
    child: Child,
    reaped: bool,
}

impl Actor {
    /// Starts an actor; see [`actor!`](crate::actor!). It is killed when the calling thread ends.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn spawn(program: &str) -> Self {
        Self::start(runner::command(program))
    }

    /// Starts the actor of another target by a command line, which may begin with an emulator.
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
        let (answers, commands) =
            (child.stdout.take().expect("piped"), child.stdin.take().expect("piped"));
        Self { voice: Voice::new(answers, commands), child, reaped: false }
    }

    /// Returns its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// If it is gone.
    pub fn signal(&self, signal: i32) {
        assert!(!self.reaped, "it has ended already");
        send_signal(self.pid(), signal);
    }

    /// Sends it the signal repeatedly while `act` runs, and once before.
    ///
    /// # Panics
    /// If it ends meanwhile.
    pub fn under_fire<R>(&mut self, signal: i32, act: impl FnOnce(&mut Voice) -> R) -> R {
        /// Ends the signals also when `act` panics.
        struct Cease<'a>(&'a AtomicBool);
        impl Drop for Cease<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let (pid, begun, ceased) = (self.pid(), AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            let _cease = Cease(&ceased);
            let fire = scope.spawn(|| {
                while !ceased.load(Ordering::Relaxed) {
                    send_signal(pid, signal);
                    begun.store(true, Ordering::Relaxed); // partner: the load below
                    thread::yield_now();
                }
            });
            // Partner: the store above.
            until(|| begun.load(Ordering::Relaxed) || fire.is_finished());
            act(&mut self.voice)
        })
    }

    /// Waits until it ends; returns its exit status.
    ///
    /// # Panics
    /// If waitpid(2) fails.
    pub fn wait(&mut self) -> process::ExitStatus {
        self.reaped = true;
        self.child.wait().expect("a child can be waited for")
    }

    /// Waits until it ends, and checks that this signal ended it.
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

impl Drop for Actor {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        if thread::panicking() {
            let _ = self.child.kill();
        }
        // It reads the end of its input, closes everything and exits.
        self.voice.writer = None;
        let status = self.child.wait();
        if !thread::panicking() {
            let status = status.expect("a child can be waited for");
            assert!(status.success(), "an actor ended badly: {status}");
        }
    }
}

impl Deref for Actor {
    type Target = Voice;

    fn deref(&self) -> &Voice {
        &self.voice
    }
}

impl DerefMut for Actor {
    fn deref_mut(&mut self) -> &mut Voice {
        &mut self.voice
    }
}
