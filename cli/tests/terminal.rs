//! On a terminal there are colours, Ctrl-C and a table that is redrawn.

#![allow(unsafe_code, reason = "openpty, setsid and the controlling terminal")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use shmlock_tests::hostile::{Folder, Solo};
use shmlock_tests::{output, proc, skipped, start, until};

use crate::program::shmlock;

/// A bound on the time in which a program shows nothing: shorter than the watchdog's, so that a
/// test can say what was shown.
const SILENCE: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// A program on a terminal of its own. Killed on drop.
struct Session {
    child: Child,
    terminal: File,
    seen: String,
    /// The output up to the text that was waited for last.
    before: String,
}

impl Session {
    fn start(mut command: Command) -> Self {
        let size = libc::winsize { ws_row: 10, ws_col: 60, ws_xpixel: 0, ws_ypixel: 0 };
        let (mut ours, mut theirs) = (-1, -1);
        // SAFETY: two places for descriptors and a valid size; null means a default, openpty(3).
        let answer = unsafe {
            libc::openpty(
                &raw mut ours,
                &raw mut theirs,
                std::ptr::null_mut(),
                std::ptr::null(),
                &raw const size,
            )
        };
        assert_eq!(answer, 0, "openpty: {}", std::io::Error::last_os_error());
        // SAFETY: just opened, and without another owner.
        let terminal = File::from(unsafe { OwnedFd::from_raw_fd(ours) });
        // SAFETY: as above.
        let line = unsafe { OwnedFd::from_raw_fd(theirs) };
        keep_output_at_signals(&line);
        // The program must not inherit the other end, which would prevent a hangup.
        rustix::io::fcntl_setfd(&terminal, rustix::io::FdFlags::CLOEXEC)
            .expect("our own descriptor");
        let clone = || line.try_clone().expect("a descriptor");
        command.env("TERM", "xterm").stdin(clone()).stdout(clone()).stderr(clone());
        let lead = || {
            // SAFETY: setsid(2) has no arguments.
            unsafe { libc::setsid() };
            // SAFETY: descriptor 0 is the terminal, which no session has yet.
            unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) };
            Ok(())
        };
        // SAFETY: system calls only.
        unsafe { command.pre_exec(lead) };
        let child = start(&mut command).expect("it can be started");
        Self { child, terminal, seen: String::new(), before: String::new() }
    }

    /// Reads until this text follows the last one that was waited for.
    ///
    /// # Panics
    /// With the text that was shown instead.
    fn shows(&mut self, text: &str) {
        assert!(
            self.reads(text),
            "no {text:?} in {:?}, which follows {:?}",
            self.seen,
            self.before
        );
    }

    /// Reads until this text; returns `false` at the end, or if nothing comes any more.
    fn reads(&mut self, text: &str) -> bool {
        let mut bytes = [0; 4096];
        loop {
            if let Some(at) = self.seen.find(text) {
                self.before = self.seen.drain(..at + text.len()).collect();
                return true;
            }
            let mut polled = [PollFd::new(&self.terminal, PollFlags::IN)];
            if poll(&mut polled, Some(&SILENCE)).expect("poll") == 0 {
                return false;
            }
            // EIO: no process has the terminal open any more.
            match self.terminal.read(&mut bytes) {
                Ok(read) if read > 0 => {
                    self.seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
                }
                _ => return false,
            }
        }
    }

    fn types(&mut self, text: &str) {
        self.terminal.write_all(text.as_bytes()).expect("a terminal");
    }

    fn signal(&self, signal: libc::c_int) {
        let pid = libc::pid_t::try_from(self.child.id()).expect("a process id");
        // SAFETY: kill(2) with the number of a child that has not been reaped.
        unsafe { libc::kill(pid, signal) };
    }

    /// Returns the rest of the output, and the exit status, or 1000 plus the signal.
    fn ends(&mut self) -> (String, Option<i32>) {
        assert!(!self.reads("a text that no program shows"));
        let status = self.child.wait().expect("a child");
        (std::mem::take(&mut self.seen), status.code().or_else(|| Some(1000 + status.signal()?)))
    }
}

/// Sets NOFLSH, termios(3). Without it the kernel sends the signal of Ctrl-C or Ctrl-Z first and
/// discards the terminal's output then: also what a program has written in answer to the signal.
fn keep_output_at_signals(terminal: &OwnedFd) {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    let mut modes = tcgetattr(terminal).expect("a terminal");
    modes.local_modes |= LocalModes::NOFLSH;
    tcsetattr(terminal, OptionalActions::Now, &modes).expect("a terminal");
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn colours_are_for_terminals_and_not_where_no_color_is_set() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let _ = folder.put("l", &[0; 192]);
    for verb in [&["status", "l"][..], &["list"], &["clean", "--dry-run"]] {
        let command = || {
            let mut command = shmlock(verb);
            command.arg("--directory").arg(folder.path());
            command
        };
        let (coloured, code) = Session::start(command()).ends();
        assert!(coloured.contains("\x1b[32m") && code == Some(0), "{verb:?}: {coloured:?}");
        for (name, value, plain) in [("NO_COLOR", "1", true), ("NO_COLOR", "", false)] {
            let mut command = command();
            command.env(name, value);
            let (text, _) = Session::start(command).ends();
            assert_eq!(text.contains('\x1b'), !plain, "{verb:?} {name}={value}: {text:?}");
        }
    }
}

#[test]
fn an_error_is_coloured_on_a_terminal_and_is_one_line() {
    let _fixture = Solo::new();
    let (text, code) = Session::start(shmlock(["status", "a/b"])).ends();
    assert!(text.starts_with("\x1b[") && text.contains("shmlock") && code == Some(64), "{text:?}");
    assert_eq!(text.matches('\n').count(), 1, "{text:?}");
}

#[test]
fn ctrl_c_reaches_the_command_once() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let script = "n=0; trap 'n=$((n+1)); echo int' INT; trap 'echo usr1 after $n; exit 3' USR1; \
                  echo ready $PPID; while kill -0 $PPID; do read _; done";
    let mut session = Session::start(shmlock(["run", &name, "sh", "-c", script]));
    session.shows("ready ");
    session.shows("\n");
    session.signal(libc::SIGSTOP); // so that a forwarded signal would arrive apart from the first
    session.types("\x03");
    session.shows("int");
    session.signal(libc::SIGCONT);
    // `run` receives signals by their numbers, SIGINT before SIGUSR1: a forwarded SIGINT would be
    // first.
    session.signal(libc::SIGUSR1);
    let (text, code) = session.ends();
    assert!(text.contains("usr1 after 1") && code == Some(3), "{text:?}");
}

#[test]
fn ctrl_c_ends_a_command_that_does_not_handle_it_and_the_lock_is_released() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut session = Session::start(shmlock(["run", &name, "sh", "-c", "echo ready; read _"]));
    session.shows("ready");
    session.types("\x03");
    assert_eq!(
        session.ends().1,
        Some(1000 + libc::SIGINT),
        "the shell sees the signal, and ends its script, too"
    );
    assert!(fixture.files().is_empty(), "released, no dead owner");
}

#[test]
fn a_hangup_that_reaches_the_leader_of_the_session_alone_reaches_the_command() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let trapped = folder.path().join("trapped");
    // `run` leads the session, as in a terminal window of its own. The kernel sends the hangup to
    // the leader alone.
    let mut command = shmlock(["run", "--directory"]);
    let script = "trap ': >\"$0\"; exit 3' HUP; echo ready; while kill -0 $PPID; do read _; done";
    command.arg(folder.path()).args(["l", "sh", "-c", script]).arg(&trapped);
    let mut session = Session::start(command);
    session.shows("ready");
    session.terminal = File::open("/dev/null").expect("there"); // the window is closed
    assert_eq!(session.child.wait().expect("a child").code(), Some(3));
    assert!(trapped.exists());
    std::fs::remove_file(&trapped).expect("ours");
}

/// A line for a shell that tells whether the lock is held.
const IS_HELD: &str = "$SHMLOCK run -n -E 9 $NAME true; echo code:$?\n";

#[test]
fn a_job_is_stopped_by_ctrl_z_with_its_lock_and_goes_on_in_the_foreground() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let mut bash = Command::new("bash");
    if output(bash.arg("--version")).is_err() {
        skipped("job control by bash(1), which is not here");
        return;
    }
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "-i"]).env("PS1", "prompt> ");
    bash.env("SHMLOCK", env!("CARGO_BIN_EXE_shmlock")).env("NAME", &name);
    let mut session = Session::start(bash);
    // A line is typed after the prompt: input while the shell changes the terminal may be lost.
    let asks = |session: &mut Session| session.shows("prompt> ");
    let types = |session: &mut Session, line: &str, answer: &str| {
        asks(session);
        session.types(line);
        session.shows(answer);
    };
    types(
        &mut session,
        "$SHMLOCK run $NAME sh -c 'echo re\"\"ady $$; read word; echo got:$word'\n",
        "ready ",
    );
    session.shows("\r\n");
    let reader = session.before.trim().parse().expect("a process id");
    session.types("\x1a");
    session.shows("Stopped");
    // The shell waits for `run` alone. The command that reads is to be stopped, too: until then it
    // may take the first character of the next line.
    until(|| proc::is_stopped(reader));
    types(&mut session, IS_HELD, "code:9\r\n"); // a stopped job keeps its lock
    types(&mut session, "fg\n", "sh -c");
    session.shows("\r\n");
    session.types("word\n");
    session.shows("got:word\r\n");

    // A loop ends at the first Ctrl-C, because the shell sees a program that ended by it.
    let rounds = "for n in 1 2 3; do $SHMLOCK run $NAME sh -c 'echo ro\"\"und; read _'; done; \
                  echo aft\"\"er\n";
    types(&mut session, rounds, "round\r\n");
    session.types("\x03");
    asks(&mut session);
    assert!(
        !session.before.contains("after") && !session.before.contains("round"),
        "{}",
        session.before
    );
    session.types("\n");

    // `hold` reads the terminal in the foreground only.
    types(&mut session, "$SHMLOCK hold $NAME &\n", "holding");
    session.types("\n");
    types(&mut session, IS_HELD, "code:9\r\n");
    types(&mut session, "jobs\n", "Running"); // a line to the shell neither ended nor stopped it
    types(&mut session, "fg\n", "hold $NAME\r\n");
    session.types("\n");
    types(&mut session, IS_HELD, "code:0\r\n");
    types(&mut session, "exit\n", "exit");
    session.ends();
}

#[test]
fn ctrl_c_ends_a_wait_for_the_lock() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let lock = folder.lock("l").open().expect("a lock");
    let guard = lock.lock().expect("free");
    let mut command = shmlock(["run", "-v", "l", "--directory"]);
    command.arg(folder.path()).arg("true");
    let mut session = Session::start(command);
    session.shows("waiting for lock");
    session.types("\x03");
    assert_eq!(session.ends().1, Some(1000 + libc::SIGINT), "by the signal itself");
    guard.release().expect("still held");
}

#[test]
fn hold_releases_the_lock_at_enter_at_ctrl_d_and_at_ctrl_c() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    for (keys, code) in [("\n", 0), ("\x04", 0), ("x\n", 0), ("\x03", 1000 + libc::SIGINT)] {
        let mut session = Session::start(shmlock(["hold", &name, "-d", "belt 7"]));
        session.shows("holding");
        session.shows("until Enter or a signal");
        assert_eq!(fixture.files().len(), 1);
        session.types(keys);
        assert_eq!(session.ends().1, Some(code), "{keys:?}");
        assert!(fixture.files().is_empty());
    }
}

#[test]
fn watch_redraws_its_table_in_place_and_cuts_it_to_the_terminal() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let long = "d".repeat(63);
    let lock = folder.lock("l").description(&long).open().expect("a lock");
    let guard = lock.lock().expect("free");
    for n in 0..20 {
        let _ = folder.put(&format!("m{n}"), &[]); // more than the terminal has lines
    }
    for no_color in [false, true] {
        let mut command = shmlock(["watch", "--count", "3", "--interval", "0.01", "--directory"]);
        command.arg(folder.path());
        if no_color {
            command.env("NO_COLOR", "1");
        }
        let (text, code) = Session::start(command).ends();
        assert_eq!(code, Some(0));
        let tables: Vec<_> = text.split("\x1b[9F\x1b[J").collect();
        assert_eq!(
            tables.len(),
            3,
            "each but the first overwrites the nine lines before it: {text:?}"
        );
        assert_eq!(text.contains("\x1b[1m"), !no_color, "moving the cursor is no colour: {text:?}");
        for table in tables {
            let lines: Vec<String> = table.lines().map(anstream_stripped).collect();
            assert_eq!(lines.len(), 9, "{lines:?}");
            assert!(lines.iter().all(|line| line.chars().count() <= 60), "{lines:?}");
            assert!(lines[0].starts_with("NAME") && lines[1].starts_with('l'), "{lines:?}");
            assert!(lines[8].starts_with("and 14 more"), "{lines:?}");
        }
    }
    drop(guard);
}

fn anstream_stripped(line: &str) -> String {
    anstream::adapter::strip_str(line.trim_end_matches('\r')).to_string()
}
