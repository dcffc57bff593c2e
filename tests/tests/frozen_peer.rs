//! Checks that this implementation shares locks with a frozen second one in C (`tests/peer`). Its
//! author wrote it from PROTOCOL.md alone, without the sources. A change of the protocol that
//! breaks it needs a new layout version.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use shmlock_tests::hostile::{Folder, Intruder, Solo};
use shmlock_tests::{command, output, skipped, start, until};

/// The number of critical sections that each process counts.
const EACH: u64 = 20_000;

/// The seconds for which processes are killed, unless `SHMLOCK_PEER_SECONDS` says otherwise.
const SECONDS: u64 = 4;

/// The implementations of one program.
struct Programs {
    peer: PathBuf,
    ours: PathBuf,
    /// Ours through its library for C, `ffi/shell/tests/c/mate.c`.
    through_c: Option<PathBuf>,
    /// Ours through the package for Python, `python/tests/mate.py`.
    through_python: Option<PathBuf>,
}

/// Names the program of `ci/ffi_shell.sh` that counts through the library for C.
const MATE_IN_C: &str = "SHMLOCK_MATE_IN_C";

/// Names the program of `ci/python.sh` that counts through the package for Python.
const MATE_IN_PYTHON: &str = "SHMLOCK_MATE_IN_PYTHON";

impl Programs {
    /// Builds the peer with the machine's C compiler. Returns `None`, and reports a skipped test,
    /// without one.
    fn build() -> Option<Self> {
        if command("cc").get_program() != "cc" {
            skipped(
                "the machine's C compiler builds the frozen peer, not one for an emulated machine",
            );
            return None;
        }
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("peer");
        let peer =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("peer-{}", std::process::id()));
        let mut compile = Command::new("cc");
        compile.args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&peer);
        compile.args([source.join("main.c"), source.join("peer.c")]);
        let Ok(compiled) = output(&mut compile) else {
            skipped("the frozen peer needs a C compiler named cc");
            return None;
        };
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        let mate = |variable| std::env::var_os(variable).map(PathBuf::from);
        Some(Self {
            peer,
            ours: env!("CARGO_BIN_EXE_mate").into(),
            through_c: mate(MATE_IN_C),
            through_python: mate(MATE_IN_PYTHON),
        })
    }

    /// Returns each implementation twice: with one handle for all critical sections, and with one
    /// handle for each.
    fn kinds(&self) -> Vec<(&Path, &'static str)> {
        let mates = [self.through_c.as_ref(), self.through_python.as_ref()];
        let programs = [Some(&self.peer), Some(&self.ours)].into_iter().chain(mates);
        let kinds = |verb| programs.clone().flatten().map(move |at| (at.as_path(), verb));
        kinds("count").chain(kinds("churn")).collect()
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.peer);
    }
}

/// A folder with the lock, and the file with the counters.
struct Arena<'f> {
    folder: &'f Folder,
    account: PathBuf,
}

impl<'f> Arena<'f> {
    fn new(folder: &'f Folder) -> Self {
        let account = folder.path().join("account");
        fs::write(&account, [0; 4096]).expect("our own directory");
        Self { folder, account }
    }

    fn start(&self, program: &Path, verb: &str, times: u64) -> Child {
        let mut command = Command::new(program);
        command
            .arg(verb)
            .arg(self.folder.path())
            .arg("l")
            .arg(&self.account)
            .arg(times.to_string());
        start(command.stdin(Stdio::null()).stdout(Stdio::null())).expect("it can be started")
    }

    /// Returns the 64-bit word at this offset.
    fn word(&self, offset: usize) -> u64 {
        let bytes = fs::read(&self.account).expect("our own file");
        u64::from_le_bytes(bytes[offset..offset + 8].try_into().expect("eight bytes"))
    }

    /// Returns the number of acquisitions, as the region counts them.
    fn acquisitions(&self) -> u64 {
        let lock = Intruder::on(&self.folder.file("l"));
        u64::from(lock.word_at(4)) | u64::from(lock.word_at(48)) << 32
    }
}

/// Asserts that the child ended with status 0, or because this test killed it.
fn assert_ended_well(child: &mut Child, killed: bool) {
    let status = child.wait().expect("a child can be waited for");
    let by_us = killed && status.signal() == Some(libc::SIGKILL);
    assert!(
        by_us || status.success(),
        "{status}: 3 means that two owners were in the critical section"
    );
}

#[test]
fn the_frozen_peer_and_this_implementation_count_together_and_lose_nothing() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let arena = Arena::new(&folder);
    let Some(programs) = Programs::build() else {
        return fs::remove_file(&arena.account).expect("ours");
    };
    let kinds = programs.kinds();
    let times = |verb| if verb == "churn" { EACH / 20 } else { EACH };
    let children: Vec<_> =
        kinds.iter().map(|(program, verb)| arena.start(program, verb, times(*verb))).collect();
    for mut child in children {
        assert_ended_well(&mut child, false);
    }
    let expected = kinds.iter().map(|(_, verb)| times(*verb)).sum::<u64>();
    assert_eq!((arena.word(0), arena.word(8), arena.word(16)), (expected, expected, 0));
    fs::remove_file(&arena.account).expect("ours");
    assert!(folder.names().is_empty(), "the last close left a file: {:?}", folder.names());
}

#[test]
fn the_frozen_peer_and_this_implementation_recover_each_other() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let arena = Arena::new(&folder);
    let Some(programs) = Programs::build() else {
        return fs::remove_file(&arena.account).expect("ours");
    };
    let seconds = std::env::var("SHMLOCK_PEER_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(SECONDS);
    // Keeps the file, and its count of acquisitions, for the whole test.
    let present = folder.lock("l").open().expect("a lock");
    let kinds = programs.kinds();
    let start = |index: usize| arena.start(kinds[index].0, kinds[index].1, 0);
    let mut children: Vec<_> = (0..kinds.len()).map(start).collect();
    let (begin, mut kills) = (Instant::now(), 0);
    // And until a death has met a critical section: on a busy machine the seconds are few kills.
    while begin.elapsed() < Duration::from_secs(seconds) || arena.word(16) == 0 {
        // The victim runs while the others are replaced.
        let victim = kills % kinds.len();
        let counted = arena.word(0);
        until(|| arena.word(0) >= counted + 50);
        children[victim].kill().expect("it runs");
        assert_ended_well(&mut children[victim], true);
        children[victim] = start(victim);
        kills += 1;
    }
    for mut child in children {
        child.kill().expect("it runs");
        assert_ended_well(&mut child, true);
    }
    kills += kinds.len();
    let guard = present.lock().expect("free, or a dead owner's");
    let (counter, shadow, repaired) = (arena.word(0), arena.word(8), arena.word(16));
    assert!(counter == shadow || guard.recovered().is_some(), "{counter} {shadow}");
    let kills = u64::try_from(kills).expect("few");
    let lost = arena.acquisitions() - 1 - counter;
    assert!(
        lost <= kills,
        "{lost} acquisitions were not counted, but only {kills} processes were killed"
    );
    let dead = guard.recovered().is_some();
    guard.declare_consistent().expect("held");
    drop(guard);
    println!(
        "swept: {kills} kills, {counter} critical sections, {repaired} recoveries, \
         the last owner died: {dead}"
    );
    drop(present);
    fs::remove_file(&arena.account).expect("ours");
    assert!(folder.names().is_empty(), "{:?}", folder.names());
}
