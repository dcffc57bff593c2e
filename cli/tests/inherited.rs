//! A command inherits the same under `run`, without a wrapper, and under flock(1).

#![allow(unsafe_code, reason = "inherited attributes are set between fork and exec")]

use std::ffi::OsStr;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use shmlock_tests::hostile::{Folder, Solo};
use shmlock_tests::{output, skipped, start_as_it_is};

use crate::program::{Running, ended, ended_as_it_is, shmlock};

/// The ways to start a command. The others are compared with the first.
const WAYS: [&str; 5] = ["plainly", "run", "run -o", "run -F", "flock"];

/// The lines of /proc/self/status about inherited attributes, `proc_pid_status(5)`.
const STATUS: [&str; 18] = [
    "Umask:",
    "Uid:",
    "Gid:",
    "Groups:",
    "SigBlk:",
    "SigIgn:",
    "SigCgt:",
    "CapInh:",
    "CapPrm:",
    "CapEff:",
    "CapBnd:",
    "CapAmb:",
    "NoNewPrivs:",
    "Seccomp:",
    "Cpus_allowed:",
    "Mems_allowed:",
    "Speculation_Store_Bypass:",
    "THP_enabled:",
];

/// Returns the command, to be started in this way.
fn start(way: &str, directory: &Path, command: &[&OsStr]) -> Command {
    let mut started =
        match way.split_once(' ').map_or((way, None), |(verb, option)| (verb, Some(option))) {
            ("plainly", _) => Command::new(command[0]),
            ("flock", _) => {
                let mut flock = Command::new("flock");
                flock.arg(directory.join("flock")).arg(command[0]);
                flock
            }
            (_, option) => {
                let mut run = shmlock(["run", "--directory"]);
                run.arg(directory).args(option).arg("l").arg(command[0]);
                run
            }
        };
    started.args(&command[1..]);
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "SHELL", "TERM"] {
        started.env_remove(variable);
    }
    started
}

/// Sets each attribute that a process passes on to an unusual value.
fn set_all(command: &mut Command, directory: &Path) {
    let kept = std::fs::File::create(directory.join("kept")).expect("ours");
    command.env("BYTES", OsStr::from_bytes(b"\xff\xfe=\x80")).current_dir(directory);
    let set = move || {
        let real_time = libc::SIGRTMIN();
        for ignored in [
            libc::SIGPIPE,
            libc::SIGCHLD,
            libc::SIGHUP,
            libc::SIGUSR1,
            libc::SIGWINCH,
            real_time + 3,
        ] {
            // SAFETY: SIG_IGN is no handler.
            unsafe { libc::signal(ignored, libc::SIG_IGN) };
        }
        // SAFETY: all zero is an empty set on Linux.
        let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
        for blocked in [libc::SIGTERM, libc::SIGUSR2, libc::SIGPROF, real_time + 1] {
            // SAFETY: a valid set, and signal numbers that exist.
            unsafe { libc::sigaddset(&raw mut set, blocked) };
        }
        // SAFETY: a valid set, and null for the former one.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()) };
        // SAFETY: a number.
        unsafe { libc::umask(0o027) };
        // SAFETY: a number.
        let _ = unsafe { libc::nice(3) };
        let limit = libc::rlimit { rlim_cur: 77, rlim_max: 88 };
        // SAFETY: a resource that exists, and a valid limit.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
        // SAFETY: prctl(2) with two numbers.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 123_456) };
        // SAFETY: prctl(2) with numbers.
        unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        // SAFETY: ADDR_NO_RANDOMIZE, a number.
        unsafe { libc::personality(0x0004_0000) };
        // SAFETY: the descriptor is open, and no object of this process owns the number 9.
        unsafe { libc::dup2(kept.as_raw_fd(), 9) };
        std::fs::write("/proc/self/oom_score_adj", "321")
    };
    // SAFETY: these are system calls, which need no lock of another thread. The last opens, writes
    // and closes a file by a path without allocating.
    unsafe { command.pre_exec(set) };
}

/// Returns what the kernel says about the command.
fn found(way: &str, directory: &Path) -> String {
    let files = [
        "status",
        "limits",
        "oom_score_adj",
        "timerslack_ns",
        "personality",
        "cgroup",
        "coredump_filter",
        "environ",
        "cmdline",
    ];
    let paths = files.map(|file| format!("/proc/self/{file}"));
    let command: Vec<&OsStr> =
        ["cat", "--"].into_iter().chain(paths.iter().map(String::as_str)).map(OsStr::new).collect();
    let mut command = start(way, directory, &command);
    set_all(&mut command, directory);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = start_as_it_is(&mut command).expect("it can be started");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{way}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let is_of_status = |line: &str| line.split_once(":\t").is_some();
    text.lines()
        .filter(|line| !is_of_status(line) || STATUS.iter().any(|field| line.starts_with(field)))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Returns the inherited fields of `proc_pid_stat(5)`: group, session, terminal, niceness and more.
fn groups(way: &str, directory: &Path) -> Vec<String> {
    let mut command = start(way, directory, &["cat", "/proc/self/stat"].map(OsStr::new));
    set_all(&mut command, directory);
    let stat = ended_as_it_is(command).out;
    let fields: Vec<&str> =
        stat.rsplit_once(')').expect("a name in brackets").1.split_whitespace().collect();
    [5, 6, 7, 8, 18, 19, 40, 41].map(|field| fields[field - 3].to_owned()).to_vec()
}

fn ways() -> Vec<&'static str> {
    let has_flock = output(Command::new("flock").arg("--version")).is_ok();
    if !has_flock {
        skipped("the comparison with flock(1), which is not here");
    }
    WAYS.into_iter().filter(|way| *way != "flock" || has_flock).collect()
}

#[test]
fn the_command_inherits_what_it_would_inherit_without_a_wrapper() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let plain = found("plainly", folder.path());
    for part in ["SigIgn:\t", "NoNewPrivs:\t1", "Umask:\t0027", "321", "123456", "00040000"] {
        assert!(plain.contains(part), "the test sets what it compares: {part}: {plain}");
    }
    for way in ways() {
        let seen = found(way, folder.path());
        // flock(1) sets SIGCHLD to its default action for its command, too; `run` restores it.
        let expected = if way == "flock" { without_sigchld(&plain) } else { plain.clone() };
        assert_eq!(seen, expected, "{way}");
        assert_eq!(groups(way, folder.path()), groups("plainly", folder.path()), "{way}");
    }
}

/// Removes SIGCHLD from the ignored signals.
fn without_sigchld(text: &str) -> String {
    let changed = |line: &str| match line
        .strip_prefix("SigIgn:\t")
        .and_then(|set| u64::from_str_radix(set, 16).ok())
    {
        Some(set) => format!("SigIgn:\t{:016x}", set & !(1 << (libc::SIGCHLD - 1))),
        None => line.to_owned(),
    };
    text.lines().map(changed).collect::<Vec<_>>().join("\n")
}

/// The two signals that glibc reserves: no program can set their dispositions.
const OF_THE_C_LIBRARY: u64 = 0b11 << 31;

#[test]
fn of_the_dispositions_none_is_changed_whichever_is_ignored() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    for signal in
        [libc::SIGPIPE, libc::SIGCHLD, libc::SIGINT, libc::SIGTERM, libc::SIGALRM, libc::SIGRTMAX()]
    {
        for way in ["run", "run -o", "run -F"] {
            for ignored in [true, false] {
                let mut command = start(
                    way,
                    folder.path(),
                    &["grep", "SigIgn", "/proc/self/status"].map(OsStr::new),
                );
                let set = move || {
                    let action = if ignored { libc::SIG_IGN } else { libc::SIG_DFL };
                    for number in 1..=libc::SIGRTMAX() {
                        // SAFETY: the action is no handler; a number that is no signal is an error.
                        unsafe {
                            libc::signal(
                                number,
                                if number == signal { action } else { libc::SIG_DFL },
                            )
                        };
                    }
                    Ok(())
                };
                // SAFETY: system calls only.
                unsafe { command.pre_exec(set) };
                let said = ended_as_it_is(command).out;
                let set =
                    said.trim().strip_prefix("SigIgn:\t").map(|set| u64::from_str_radix(set, 16));
                let set = set.expect("a set").expect("a number") & !OF_THE_C_LIBRARY;
                assert_eq!(
                    set,
                    if ignored { 1 << (signal - 1) } else { 0 },
                    "{way}: signal {signal}"
                );
            }
        }
    }
}

#[test]
fn closed_standard_streams_stay_closed_and_nothing_of_ours_is_on_their_numbers() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let report = folder.path().join("report");
    // It opens no pipe or file before the last step: these would get the numbers in question.
    let look = "s=; for n in 0 1 2; do \
                test -e /proc/$$/fd/$n && s=\"$s open\" || s=\"$s closed\"; \
                done; echo $s >\"$1\"";
    for closed in [&[0][..], &[1], &[2], &[0, 1], &[1, 2], &[0, 1, 2]] {
        let mut seen = Vec::new();
        for way in WAYS.into_iter().filter(|way| *way != "flock") {
            let command = ["sh", "-c", look, "sh"].map(OsStr::new);
            let mut command =
                start(way, folder.path(), &[&command[..], &[report.as_os_str()]].concat());
            command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
            command.stderr(std::process::Stdio::null());
            let close = move || {
                for number in closed {
                    // SAFETY: this process uses none of the three before exec.
                    unsafe { libc::close(*number) };
                }
                Ok(())
            };
            // SAFETY: system calls only.
            unsafe { command.pre_exec(close) };
            let status = start_as_it_is(&mut command).and_then(|mut child| child.wait());
            assert!(status.expect("it can be started").success(), "{way} {closed:?}");
            seen.push(std::fs::read_to_string(&report).expect("a report"));
        }
        assert_eq!(seen[0].matches("closed").count(), closed.len(), "{seen:?}");
        assert!(seen.iter().all(|one| *one == seen[0]), "{closed:?}: {seen:?}");
    }
}

#[test]
fn output_to_a_closed_stream_does_not_get_into_the_lock() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let directory = folder.path().to_str().expect("UTF-8");
    let program = env!("CARGO_BIN_EXE_shmlock");
    for closing in ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"] {
        let mut sh = Command::new("sh");
        let script = format!(
            "exec \"$0\" run -v --directory \"$1\" l sh -c 'read _ <\"$0\"' \"$2\" {closing}"
        );
        let fifo = folder.path().join("fifo");
        assert!(output(Command::new("mkfifo").arg(&fifo)).expect("mkfifo").status.success());
        sh.args(["-c", &script, program, directory]).arg(&fifo);
        let mut holder = Running::start(sh);
        let end = std::fs::File::options().write(true).open(&fifo).expect("the command reads it");
        let seen = folder.lock("l").inspect().expect("a lock still").expect("a file");
        assert!(seen.holder.is_some(), "{closing}");
        let file = std::fs::read(folder.file("l")).expect("ours");
        assert!(!String::from_utf8_lossy(&file).contains("shmlock:"), "{closing}");
        drop(end);
        assert_eq!(holder.code(), 1, "{closing}");
        std::fs::remove_file(&fifo).expect("ours");
    }
}

#[test]
fn a_timer_that_was_set_before_reaches_the_command() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    for way in ["run", "run -F"] {
        // A timer that rings before the trap is set ends `run`, or the command and `run` with it:
        // the machine was slower. Then it gets twice the time.
        let mut running = (0..)
            .find_map(|doublings| {
                let script = "trap 'echo rang; exit 3' ALRM; echo ready; read _";
                let mut command = start(way, folder.path(), &["sh", "-c", script].map(OsStr::new));
                let set = move || {
                    // SAFETY: a number.
                    unsafe { libc::alarm(1 << doublings) };
                    Ok(())
                };
                // SAFETY: one system call.
                unsafe { command.pre_exec(set) };
                let mut running = Running::start(command);
                match running.read_line().as_str() {
                    "ready" => return Some(running),
                    said => assert_eq!((said, running.code()), ("", 1000 + libc::SIGALRM), "{way}"),
                }
                None
            })
            .expect("it has time in the end");
        assert_eq!(running.read_line(), "rang", "{way}: the kernel sends it to the process alone");
        assert_eq!(running.code(), 3);
    }
    assert!(
        ended(start("run", folder.path(), &[OsStr::new("true")])).code == Some(0),
        "recovers the lock that -F left"
    );
}
