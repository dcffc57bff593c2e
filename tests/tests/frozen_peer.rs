//! A second implementation, in C, shares locks with this one: written from PROTOCOL.md alone, by a
//! hand that had not seen the sources, and kept as it is (`tests/peer`). A change of the protocol
//! that it does not live with is a new layout version.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use shmlock_tests::hostile::{Folder, Intruder, Solo};
use shmlock_tests::{command, output, skipped, start, until};

/// How many critical sections each process counts.
const EACH: u64 = 20_000;

/// For how many seconds processes are killed, unless `SHMLOCK_PEER_SECONDS` says otherwise.
const SECONDS: u64 = 4;

/// Both implementations of the same program.
struct Programs {
    peer: PathBuf,
    ours: PathBuf,
}

impl Programs {
    /// Builds the peer by the machine's C compiler; `None`, and a word, where there is none.
    fn build() -> Option<Self> {
        if command("cc").get_program() != "cc" {
            skipped(
                "the frozen peer is built by the C compiler of this machine, not for an emulated one",
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
        Some(Self { peer, ours: env!("CARGO_BIN_EXE_mate").into() })
    }

    /// Each of the two implementations, with one handle for all and with one for each critical
    /// section.
    fn kinds(&self) -> [(&Path, &'static str); 4] {
        [(&self.peer, "count"), (&self.ours, "count"), (&self.peer, "churn"), (&self.ours, "churn")]
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.peer);
    }
}

/// A folder with the lock and the file that is counted in.
struct Place<'f> {
    folder: &'f Folder,
    account: PathBuf,
}

impl<'f> Place<'f> {
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

    /// The word of 64 bits at this offset.
    fn word(&self, offset: usize) -> u64 {
        let bytes = fs::read(&self.account).expect("our own file");
        u64::from_le_bytes(bytes[offset..offset + 8].try_into().expect("eight bytes"))
    }

    /// How often anybody has acquired, as the region counts it.
    fn acquisitions(&self) -> u64 {
        let lock = Intruder::on(&self.folder.file("l"));
        u64::from(lock.word_at(4)) | u64::from(lock.word_at(48)) << 32
    }
}

/// How a child may end: well, or because we killed it.
fn assert_ended_well(child: &mut Child, killed: bool) {
    let status = child.wait().expect("a child can be waited for");
    let by_us = killed && status.signal() == Some(libc::SIGKILL);
    assert!(
        by_us || status.success(),
        "{status}: 3 means that two owners were in the critical section"
    );
}

#[test]
fn the_frozen_peer_counts_beside_us_and_nothing_is_lost() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let place = Place::new(&folder);
    let Some(programs) = Programs::build() else {
        return fs::remove_file(&place.account).expect("ours");
    };
    let kinds = programs.kinds();
    let times = |verb| if verb == "churn" { EACH / 20 } else { EACH };
    let children: Vec<_> =
        kinds.iter().map(|(program, verb)| place.start(program, verb, times(*verb))).collect();
    for mut child in children {
        assert_ended_well(&mut child, false);
    }
    let expected = kinds.iter().map(|(_, verb)| times(*verb)).sum::<u64>();
    assert_eq!((place.word(0), place.word(8), place.word(16)), (expected, expected, 0));
    fs::remove_file(&place.account).expect("ours");
    assert!(
        folder.names().is_empty(),
        "the last one out removes the lock's file: {:?}",
        folder.names()
    );
}

#[test]
fn the_frozen_peer_and_we_recover_each_other() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let place = Place::new(&folder);
    let Some(programs) = Programs::build() else {
        return fs::remove_file(&place.account).expect("ours");
    };
    let seconds = std::env::var("SHMLOCK_PEER_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(SECONDS);
    // So that the file, and its count of acquisitions, last as long as the test.
    let present = folder.lock("l").open().expect("a lock");
    let kinds = programs.kinds();
    let start = |index: usize| place.start(kinds[index % 4].0, kinds[index % 4].1, 0);
    let mut children: Vec<_> = (0..4).map(start).collect();
    let (begin, mut kills) = (Instant::now(), 0);
    while begin.elapsed() < Duration::from_secs(seconds) {
        // The victim has worked for as long as the three others took to be replaced.
        let victim = kills % 4;
        let counted = place.word(0);
        until(|| place.word(0) >= counted + 50);
        children[victim].kill().expect("it runs");
        assert_ended_well(&mut children[victim], true);
        children[victim] = start(victim);
        kills += 1;
    }
    for mut child in children {
        child.kill().expect("it runs");
        assert_ended_well(&mut child, true);
    }
    kills += 4;
    let guard = present.lock().expect("free, or a dead owner's");
    let (counter, shadow, repaired) = (place.word(0), place.word(8), place.word(16));
    assert!(counter == shadow || guard.recovered().is_some(), "{counter} {shadow}");
    let kills = u64::try_from(kills).expect("few");
    let lost = place.acquisitions() - 1 - counter;
    assert!(lost <= kills, "{lost} acquisitions did not count, and {kills} processes were killed");
    assert!(repaired > 0, "no death of {kills} met a critical section");
    let dead = guard.recovered().is_some();
    guard.declare_consistent().expect("held");
    drop(guard);
    println!(
        "swept: {kills} kills, {counter} critical sections, {repaired} recoveries, the last owner died: {dead}"
    );
    drop(present);
    fs::remove_file(&place.account).expect("ours");
    assert!(folder.names().is_empty(), "{:?}", folder.names());
}
