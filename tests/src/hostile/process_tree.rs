//! Forks children that run the test's code. For tests that run [`alone`](fn@crate::hostile::alone)
//! only: a child of a process with many threads may find a lock taken for ever.

#![allow(unsafe_code, reason = "fork, clone, waitpid and kill")]

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{proc, until};

/// The end of a process.
pub mod end_process {
    #![allow(unsafe_code, reason = "prctl, setrlimit and _exit")]

    /// Lets the kernel kill this process with its parent, and write no core file.
    pub fn with_parent() {
        // SAFETY: prctl(2) with two numbers.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: a valid limit.
        unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
    }

    /// Ends this process by `_exit`(2); nothing is dropped.
    pub fn at_once(code: i32) -> ! {
        // SAFETY: ends the process without running anything.
        unsafe { libc::_exit(code) }
    }
}

/// A connection between a parent and a child.
#[derive(Debug)]
pub struct Line(UnixStream);

impl Line {
    /// Sends the other side a number.
    ///
    /// # Panics
    /// If the other side has ended.
    pub fn say(&self, number: i64) {
        (&self.0).write_all(&number.to_le_bytes()).expect("the other side reads");
    }

    /// Waits for a number and returns it.
    ///
    /// # Panics
    /// If the other side is gone.
    #[must_use]
    pub fn hear(&self) -> i64 {
        let mut number = [0; 8];
        (&self.0).read_exact(&mut number).expect("the other side writes");
        i64::from_le_bytes(number)
    }

    /// Tells the other side that this side has come this far.
    pub fn ready(&self) {
        self.say(0);
    }

    /// Waits until the other side has come this far.
    pub fn wait(&self) {
        let _ = self.hear();
    }
}

/// A forked child. Dropping it kills it.
#[derive(Debug)]
pub struct Child {
    pid: libc::pid_t,
    line: Line,
    reaped: bool,
}

/// Forks a child that runs `body` and ends.
///
/// # Panics
/// If the system refuses.
#[must_use]
pub fn fork(body: impl FnOnce(&Line)) -> Child {
    // SAFETY: the tests that fork have one thread beside their watchdog, which holds no lock while
    // it waits.
    split(|| unsafe { libc::fork() }.into(), body).expect("fork")
}

/// Forks as [`fork`] does, by the bare system call: libc does not notice.
///
/// # Panics
/// If the system refuses.
#[must_use]
pub fn raw_clone(body: impl FnOnce(&Line)) -> Child {
    // SAFETY: without CLONE_VM this is fork(2); a null stack means the copy of ours. Otherwise as
    // for `fork`.
    let clone = || unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    split_bare(clone, body).expect("clone")
}

/// Runs `body` in the child that this bare system call makes; 0 is the child, as of clone(2).
pub(super) fn split_bare(
    clone: impl FnOnce() -> libc::c_long,
    body: impl FnOnce(&Line),
) -> io::Result<Child> {
    proc::other_threads_sleep();
    split(clone, body)
}

/// Runs `body` in the child that `divide` makes; 0 is the child, as of fork(2).
fn split(divide: impl FnOnce() -> libc::c_long, body: impl FnOnce(&Line)) -> io::Result<Child> {
    let (ours, theirs) = UnixStream::pair().expect("two descriptors");
    match divide() {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            end_process::with_parent();
            drop(ours);
            let line = Line(theirs);
            let result = catch_unwind(AssertUnwindSafe(|| body(&line)));
            end_process::at_once(if result.is_ok() { 0 } else { 101 });
        }
        pid => Ok(Child {
            pid: libc::pid_t::try_from(pid).expect("a process id"),
            line: Line(ours),
            reaped: false,
        }),
    }
}

impl Child {
    /// Returns its process id in this process's namespace.
    #[must_use]
    pub fn pid(&self) -> libc::pid_t {
        self.pid
    }

    /// Detaches it: this process neither kills it nor waits for it. Returns its process id.
    #[must_use]
    pub fn leave(mut self) -> i32 {
        self.reaped = true;
        self.pid
    }

    /// Returns the connection to it.
    #[must_use]
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// Waits until it ends, and checks that it did not panic.
    ///
    /// # Panics
    /// If it ends otherwise.
    pub fn ends_well(self) {
        self.ends_with(0);
    }

    /// Waits until it ends, and checks that exit(3) or `_exit` ended it with this status.
    ///
    /// # Panics
    /// If it ends otherwise.
    pub fn ends_with(mut self, code: i32) {
        let status = self.reap();
        assert!(
            libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == code,
            "it ended by status {status:#x}"
        );
    }

    /// Waits until it ends, and checks that this signal ended it.
    ///
    /// # Panics
    /// If it ends otherwise.
    pub fn ends_by(mut self, signal: i32) {
        let status = self.reap();
        assert!(
            libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == signal,
            "it ended by status {status:#x}"
        );
    }

    /// Kills it, and waits until it has ended.
    pub fn kill(self) {
        self.signal(libc::SIGKILL);
        self.ends_by(libc::SIGKILL);
    }

    /// Stops it, and waits until it is stopped.
    pub fn stop(&self) {
        self.signal(libc::SIGSTOP);
        until(|| proc::is_stopped(self.pid.unsigned_abs()));
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: kill(2) with the number of a child that has not been waited for.
        unsafe { libc::kill(self.pid, signal) };
    }

    fn reap(&mut self) -> i32 {
        self.reaped = true;
        let mut status = 0;
        // SAFETY: a valid pointer, and a child of ours.
        let answer = unsafe { libc::waitpid(self.pid, &raw mut status, 0) };
        assert_eq!(answer, self.pid, "waitpid: {}", std::io::Error::last_os_error());
        status
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            self.signal(libc::SIGKILL);
            self.reap();
        }
    }
}
