//! Checks the harness: a program that a test starts disturbs no other test, and inherits no signal
//! mask, ignored signal or lock.

#![allow(unsafe_code, reason = "signal actions and masks exist in libc only")]

use std::fs;
use std::mem::MaybeUninit;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr::null_mut;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::thread;

use shmlock::ShmLock;
use shmlock_tests::hostile::{self, Solo};
use shmlock_tests::{Capability, Fixture, actor, alone, can, output, rounds, start};

#[test]
fn a_lock_that_is_closed_while_programs_are_started_leaves_no_file() {
    const OPENINGS: u64 = 3000;
    if !can(Capability::KeepMemoryFromChildren) {
        return;
    }
    let fixture = Solo::new();
    let name = fixture.name("l");
    let closed = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !closed.load(Acquire) {
                let status = start(&mut Command::new("true")).and_then(|mut child| child.wait());
                assert!(status.expect("true(1)").success());
            }
        });
        let left = (0..rounds(OPENINGS)).find(|_| {
            drop(ShmLock::open(&name).expect("a lock of this process"));
            !fixture.files().is_empty()
        });
        closed.store(true, Release);
        let _ = fs::remove_file(format!("/dev/shm/{name}.shmlock"));
        assert_eq!(left, None, "a program had a copy of the descriptor");
    });
}

/// The signals that have names, signal(7). libc keeps some of the others for itself, and ignores
/// them in programs.
const STANDARD: u64 = (1 << 31) - 1;

#[test]
fn a_started_program_does_not_inherit_ignored_or_blocked_signals() {
    alone!(|| {
        let _fixture = Solo::new();
        ignore_and_block(&[
            libc::SIGHUP,
            libc::SIGINT,
            libc::SIGQUIT,
            libc::SIGTERM,
            libc::SIGPIPE,
            libc::SIGCHLD,
        ]);
        let said = output(Command::new("cat").arg("/proc/self/status"))
            .expect("cat(1), and a child to wait for");
        let status = String::from_utf8(said.stdout).expect("UTF-8");
        for field in ["SigIgn:", "SigBlk:"] {
            let signals =
                status.lines().find_map(|line| line.strip_prefix(field)).expect("Linux shows it");
            let signals = u64::from_str_radix(signals.trim(), 16).expect("a set of signals");
            assert_eq!(signals & STANDARD, 0, "{field} {signals:#x}");
        }
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
            let mut actor = actor!();
            actor.signal(signal);
            actor.ends_by(signal);
        }
    });
}

/// Ignores and blocks the signals, as nohup(1) does, or a shell for background programs.
fn ignore_and_block(signals: &[libc::c_int]) {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    for &signal in signals {
        // SAFETY: to ignore a signal is no handler.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
        // SAFETY: zeroed is an empty set; the signal exists.
        unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
    }
    // SAFETY: a valid set; the old mask is not wanted.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), null_mut()) };
}

#[test]
fn a_test_whose_process_is_killed_leaves_no_file() {
    const NAME: &str = "of-a-killed-process";
    let test = || {
        let fixture = Solo::new();
        let lock = ShmLock::open(&fixture.name(NAME)).expect("a lock of this process");
        let file = lock.path().to_owned();
        eprintln!("{}", file.display());
        // SAFETY: kills this process.
        unsafe { libc::raise(libc::SIGKILL) };
    };
    // The same text as `alone!` makes.
    let me = "starting_programs::a_test_whose_process_is_killed_leaves_no_file::marker";
    let failure = catch_unwind(|| hostile::alone(me, test)).expect_err("its process is killed");
    let message = failure.downcast_ref::<String>().expect("a text");
    assert!(message.contains("SIGKILL") && message.contains(NAME), "{message}");
    let files =
        fs::read_dir("/dev/shm").expect("it can be read").flatten().map(|entry| entry.path());
    let left: Vec<_> = files.filter(|file| message.contains(&*file.to_string_lossy())).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_fixture_waits_while_another_test_runs_alone() {
    let (waiting, over) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let solo = Solo::new();
        let other = scope.spawn(|| {
            waiting.store(true, Release);
            let _fixture = Fixture::new();
            over.load(Acquire)
        });
        while !waiting.load(Acquire) {
            thread::yield_now();
        }
        // Time in which a fixture that does not wait would show.
        (0..100).for_each(|_| thread::yield_now());
        over.store(true, Release);
        drop(solo);
        assert!(other.join().expect("no panic"), "both tests ran at one time");
    });
}

/// The race cannot occur in a process of one thread, and how users start programs is the subject of
/// these tests.
const EXEMPT: [&str; 3] =
    ["src/start.rs", "tests/flaw_04_children.rs", "tests/starting_programs.rs"];

#[test]
fn every_test_starts_its_programs_through_the_harness() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for folder in ["src", "tests", "../std-shell/tests", "../cli/tests", "../fleet/tests"] {
        sources_in(&here.join(folder), &mut sources);
    }
    sources.retain(|path| !path.starts_with(here.join("src/bin/torture"))); // not a cargo test
    assert!(sources.len() > 50, "only {} files", sources.len());
    for path in sources {
        if EXEMPT.iter().any(|file| path.ends_with(file)) {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source");
        let has_commands = text.contains("Command") || text.contains("command(");
        for (number, line) in text.lines().enumerate() {
            // A lock has a `status()` too.
            let takes_status = has_commands
                && line.split_once(".status()").is_some_and(|(of, _)| !of.contains("lock"));
            let starts = takes_status || line.contains(".spawn()") || line.contains(".output()");
            assert!(
                !starts,
                "{}:{}: use `shmlock_tests::start` or `output`",
                path.display(),
                number + 1
            );
        }
    }
}

fn sources_in(folder: &Path, sources: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("a folder of sources").path();
        if path.is_dir() {
            sources_in(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(path);
        }
    }
}
