//! `run` and flock(1) run the same scripts with the same outcome, except for the known differences.

use std::path::{Path, PathBuf};
use std::process::Command;

use shmlock_tests::hostile::{Folder, Solo};
use shmlock_tests::{output, skipped, until};

use crate::program::{Running, UNTIL_TOLD, ended, shmlock};

/// The two wrappers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ours,
    Flock,
}

/// A lock of either kind.
struct Lock {
    kind: Kind,
    directory: PathBuf,
}

impl Lock {
    /// Returns the wrapper with these options and this command.
    fn wrap(&self, options: &[&str], command: &[&str]) -> Command {
        let mut wrapper = match self.kind {
            Kind::Ours => {
                let mut ours = shmlock(["run", "--directory"]);
                ours.arg(&self.directory).args(options).arg("l");
                ours
            }
            Kind::Flock => {
                let mut flock = Command::new("flock");
                flock.env_remove("SHELL").args(options).arg(self.directory.join("flock"));
                flock
            }
        };
        wrapper.args(command);
        wrapper
    }

    fn code(&self, options: &[&str], command: &[&str]) -> i32 {
        ended(self.wrap(options, command)).code.expect("a wrapper ends by no signal of its own")
    }

    fn start(&self, options: &[&str], command: &[&str]) -> Running {
        Running::start(self.wrap(options, command)).ready()
    }

    fn is_free(&self) -> bool {
        match self.code(&["-n", "-E", "9"], &["true"]) {
            0 => true,
            9 => false,
            other => panic!("{:?}: {other}", self.kind),
        }
    }
}

/// Runs the test with each kind; without flock(1), with `run` alone.
fn with_each(test: impl Fn(&Lock)) {
    let fixture = Solo::new();
    let has_flock = output(Command::new("flock").arg("--version")).is_ok();
    if !has_flock {
        skipped(
            "the comparison with flock(1) of util-linux, which is not here; `run` is tested alone",
        );
    }
    for kind in [Kind::Ours, Kind::Flock] {
        if kind == Kind::Ours || has_flock {
            let folder = Folder::new(&fixture);
            test(&Lock { kind, directory: folder.path().to_owned() });
        }
    }
}

#[test]
fn the_exit_status_is_the_commands_or_that_of_flock() {
    with_each(|lock| {
        let cases: [(&[&str], &[&str], i32); 35] = [
            (&[], &["true"], 0),
            (&[], &["sh", "-c", "exit 7"], 7),
            (&[], &["sh", "-c", "kill -TERM $$"], 128 + libc::SIGTERM),
            (&[], &["sh", "-c", "kill -KILL $$"], 128 + libc::SIGKILL),
            (&[], &["-c", "exit 3"], 3),
            (&[], &["-c", "test $# = 0 && exit 5"], 5),
            (&[], &["-c", "exit 3", "more"], 64),
            (&[], &["no such command"], 69),
            (&[], &["/etc/passwd"], 69),
            (&["-F"], &["no such command"], 69),
            (&["-n", "-x"], &["sh", "-c", "exit $1", "sh", "4"], 4),
            (&["-w", "10"], &["sh", "-c", "exit 4", "-n", "-w"], 4),
            (&["--nonblocking", "--exclusive"], &["false"], 1),
            (&["--timeout", "1.5", "--close"], &["false"], 1),
            (&["--wait", "0", "--conflict-exit-code", "5"], &["true"], 0),
            (&["-F"], &["sh", "-c", "exit 6"], 6),
            (&["--no-such-option"], &["true"], 64),
            (&["-E", "256"], &["true"], 64),
            (&["-w", "soon"], &["true"], 64),
            (&["-F", "-o"], &["true"], 64),
            (&[], &[""], 69),
            (&[], &["-c", ""], 0),
            (&[], &["-c", "echo 'a  b' \"$HOME\" | grep -q 'a  b'"], 0),
            (&["-n", "--"], &["true"], 0),
            (&["-w", "1e9"], &["true"], 0),
            (&["-w", "1e18"], &["true"], 0),
            (&["-w", ".5"], &["true"], 0),
            (&["-w", "5."], &["true"], 0),
            (&["-w", " 1"], &["true"], 0),
            (&["-w", ""], &["true"], 64),
            (&["-w", "1.5x"], &["true"], 64),
            (&["-E", "0"], &["false"], 1),
            (&["-E", "-1"], &["true"], 64),
            (&["-E", ""], &["true"], 64),
            (&["-V"], &["true"], 0),
        ];
        for (options, command, code) in cases {
            assert_eq!(
                lock.code(options, command),
                code,
                "{:?} {options:?} {command:?}",
                lock.kind
            );
        }
        assert!(lock.is_free(), "{:?}", lock.kind);
    });
}

#[test]
fn invalid_times_are_usage_errors_and_not_failures_of_a_timer() {
    with_each(|lock| {
        let code = if lock.kind == Kind::Ours { 64 } else { 71 };
        for time in ["-1", "inf", "nan", "99999999999999999999"] {
            assert_eq!(lock.code(&["-w", time], &["true"]), code, "{:?} {time}", lock.kind);
        }
        // flock(1) takes the word after the lock for the command.
        let separated = ended(lock.wrap(&[], &["--", "true"])).code;
        assert_eq!(separated, Some(if lock.kind == Kind::Ours { 0 } else { 69 }));
    });
}

#[test]
fn a_timeout_is_silent_without_verbose() {
    with_each(|lock| {
        let mut holder = lock.start(&[], &UNTIL_TOLD);
        for options in [&["-n"][..], &["-w", "0.02"]] {
            let silent = ended(lock.wrap(options, &["true"]));
            assert_eq!(
                (silent.code, silent.out.as_str(), silent.err.as_str()),
                (Some(1), "", ""),
                "{:?}",
                lock.kind
            );
            let loud = ended(lock.wrap(&[options, &["--verbose"]].concat(), &["true"]));
            assert!(loud.code == Some(1) && !loud.err.is_empty(), "{:?}: {loud:?}", lock.kind);
        }
        holder.close();
        holder.code();
    });
}

#[test]
fn a_command_that_a_signal_ends_has_the_status_of_flock_and_a_signal_to_both_ends_run_too() {
    with_each(|lock| {
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGHUP, libc::SIGSEGV] {
            let script = format!("kill -{signal} $$");
            assert_eq!(
                lock.code(&[], &["sh", "-c", &script]),
                128 + signal,
                "{:?}: to the command alone",
                lock.kind
            );
        }
        let mut wrapper = lock.wrap(&[], &UNTIL_TOLD);
        std::os::unix::process::CommandExt::process_group(&mut wrapper, 0);
        let mut both = Running::start(wrapper).ready();
        both.signal_group(libc::SIGTERM); // as systemd, timeout(1) and shells do
        assert_eq!(both.code(), 1000 + libc::SIGTERM, "{:?}: a clean end to systemd", lock.kind);
        until(|| lock.is_free());
    });
}

#[test]
fn a_held_lock_is_refused_with_the_exit_status_of_flock() {
    with_each(|lock| {
        let mut holder = lock.start(&[], &UNTIL_TOLD);
        let cases: [(&[&str], i32); 10] = [
            (&["-n"], 1),
            (&["--nb"], 1),
            (&["-n", "-E", "9"], 9),
            (&["-n", "-E", "0"], 0),
            (&["-w", "0"], 1),
            (&["-w", "0.02"], 1),
            (&["-w", "0.02", "-E", "255"], 255),
            (&["-n", "-w", "1000"], 1),
            (&["-n", "-F"], 1),
            (&["-n", "-o"], 1),
        ];
        for (options, code) in cases {
            assert_eq!(
                lock.code(options, &["sh", "-c", "echo ran >&2; exit 77"]),
                code,
                "{:?} {options:?}",
                lock.kind
            );
        }
        holder.close();
        assert_eq!(holder.code(), 1, "read(1) found the end of its input");
        assert!(lock.is_free());
    });
}

#[test]
fn a_waiter_acquires_the_lock_however_the_command_ends() {
    with_each(|lock| {
        for options in [&[][..], &["-w", "1000"], &["-o"], &["-F"]] {
            for ending in ["exit 0", "exit 3", "kill -SEGV $$", "kill -KILL $$"] {
                let mut holder =
                    lock.start(&[], &["sh", "-c", &format!("echo ready; read _; {ending}")]);
                let mut waiter = Running::start(lock.wrap(options, &UNTIL_TOLD));
                holder.write_line("end");
                assert_eq!(waiter.read_line(), "ready", "{:?} {options:?} {ending}", lock.kind);
                waiter.write_line("end");
                assert_eq!(waiter.code(), 0);
                holder.code();
            }
        }
    });
}

#[test]
fn killing_the_wrapper_does_not_unprotect_a_command_that_still_runs() {
    with_each(|lock| {
        for options in [&[][..], &["-n"], &["-w", "1"]] {
            let mut holder = lock.start(options, &["sh", "-c", "echo ready; read _; echo done"]);
            holder.kill();
            assert!(!lock.is_free(), "{:?}: the command still runs", lock.kind);
            let mut waiter = Running::start(lock.wrap(&[], &UNTIL_TOLD));
            holder.write_line("end");
            assert_eq!(holder.read_to_end(), "done\n");
            assert_eq!(waiter.read_line(), "ready", "{:?}: the lock is free then", lock.kind);
            waiter.write_line("end");
            assert_eq!(waiter.code(), 0);
        }
    });
}

#[test]
fn with_close_killing_the_wrapper_frees_the_lock_although_the_command_still_runs() {
    with_each(|lock| {
        let mut holder = lock.start(&["-o"], &["sh", "-c", "echo ready; read _; echo done"]);
        assert!(!lock.is_free());
        holder.kill();
        assert!(lock.is_free(), "{:?}", lock.kind);
        holder.write_line("end");
        assert_eq!(holder.read_to_end(), "done\n", "it ran all the time");
    });
}

#[test]
fn without_fork_the_command_itself_is_what_was_started() {
    with_each(|lock| {
        let mut holder = lock.start(&["-F"], &["sh", "-c", "echo ready; read _; echo $$; exit 3"]);
        assert!(!lock.is_free(), "{:?}", lock.kind);
        holder.write_line("go on");
        assert_eq!(holder.read_line(), holder.pid().to_string());
        assert_eq!(holder.code(), 3);
        assert!(lock.is_free(), "{:?}", lock.kind);

        let mut holder = lock.start(&["-F"], &UNTIL_TOLD);
        holder.kill();
        assert!(lock.is_free(), "{:?}: it is the command that was killed", lock.kind);
    });
}

#[test]
fn a_program_in_the_background_keeps_flocks_lock_and_not_ours() {
    with_each(|lock| {
        // Not descriptor 3, which may be the lock's own.
        let background = "exec 8<&0; { read _ <&8; echo done; } & echo ready; exit 5";
        let mut holder = lock.start(&[], &["sh", "-c", background]);
        assert_eq!(holder.code(), 5);
        assert_eq!(lock.is_free(), lock.kind == Kind::Ours);
        assert_eq!(
            left(&lock.directory),
            usize::from(lock.kind == Kind::Flock),
            "the file of a shmlock is removed"
        );
        holder.close();
        assert_eq!(holder.read_to_end(), "done\n");
        until(|| lock.is_free());
    });
}

fn left(directory: &Path) -> usize {
    std::fs::read_dir(directory).expect("ours").count()
}

#[test]
fn a_signal_to_the_wrapper_ends_flock_alone_and_our_command() {
    with_each(|lock| {
        let mut holder = lock.start(
            &[],
            &["sh", "-c", "trap 'echo term; exit 5' TERM; echo ready; read _; echo read"],
        );
        holder.signal(libc::SIGTERM);
        if lock.kind == Kind::Ours {
            assert_eq!((holder.read_line().as_str(), holder.code()), ("term", 5));
        } else {
            assert_eq!(holder.code(), 1000 + libc::SIGTERM);
            assert!(!lock.is_free());
            holder.write_line("end");
            assert_eq!(holder.read_to_end(), "read\n");
        }
        until(|| lock.is_free());
    });
}
