//! Tests the probe of exclusive instructions on a word that is named by its path.

#![allow(unsafe_code, reason = "the caller of a probe promises what the word is")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{WaitOptions, wait};
use shmlock::Errno;
use shmlock::remote::{
    ExclusivesOutcome, ExclusivesProbe, Memory, PhysicalError, ProbedAccess, ProbedWord,
    probe_exclusives,
};
use shmlock_tests::hostile::{Folder, on_tmpfs};
use shmlock_tests::{Capability, Fixture, alone, can};

/// Longer than any probe takes.
const LONG: Duration = Duration::from_secs(600);

fn probe(path: &Path, offset: u64) -> Result<ExclusivesProbe, PhysicalError> {
    // SAFETY: a file of the test's own.
    unsafe { probe_exclusives(path, offset, Memory::Cached, LONG) }
}

#[test]
fn a_word_of_a_file_is_probed_and_nothing_else_of_the_file_changes() {
    alone!(|| {
        let fixture = Fixture::new();
        if !can(Capability::ForkDuringCalls) {
            return;
        }
        let folder = Folder::new(&fixture);
        let path = folder.path().join("memory");
        let content: Vec<u8> = (0..=255).cycle().take(5000).collect();
        fs::write(&path, &content).expect("a file");
        for offset in [0, 64, 4092, 4096, 4996] {
            let found = probe(&path, offset).expect("a child");
            assert!(matches!(found.outcome, ExclusivesOutcome::Work { .. }), "{found:?}");
            assert_eq!(found.word, ProbedWord::Restored);
        }
        assert_eq!(fs::read(&path).expect("still there"), content);
        assert_eq!(wait(WaitOptions::NOHANG).err(), Some(Errno::CHILD), "a child is left");
    });
}

#[test]
fn a_word_without_memory_faults_and_the_probing_process_lives() {
    if !can(Capability::ForkDuringCalls) {
        return;
    }
    on_tmpfs("size=64k", |folder, _mounted| {
        let path = folder.path().join("sparse");
        fs::File::create(&path).and_then(|file| file.set_len(1 << 20)).expect("a sparse file");
        let rest = fs::write(folder.path().join("rest"), vec![1; 1 << 20]);
        assert_eq!(rest.unwrap_err().raw_os_error(), Some(libc::ENOSPC));
        let found = probe(&path, 4096).expect("a child");
        // A hole can be read where the kernel maps a page of zeros; here it has no page at all.
        let outcome = ExclusivesOutcome::Fault { signal: libc::SIGBUS, during: ProbedAccess::Load };
        assert_eq!(found, ExclusivesProbe { outcome, word: ProbedWord::Untouched });
    });
}

#[test]
fn a_word_that_is_not_there_is_refused_before_any_access() {
    let fixture = Fixture::new();
    let folder = Folder::new(&fixture);
    let path = folder.path().join("memory");
    fs::write(&path, [0; 4096]).expect("a file");
    assert!(matches!(probe(&path, 4094), Err(PhysicalError::BeyondEnd { .. })));
    assert!(matches!(probe(&path, 4096), Err(PhysicalError::BeyondEnd { .. })));
    assert!(matches!(probe(&path, 2), Err(PhysicalError::Misaligned { .. })));
    assert!(matches!(probe(folder.path(), 0), Err(PhysicalError::NotMemory { .. })));
    assert_eq!(probe(Path::new("/dev/null"), 0).unwrap_err().errno(), Some(Errno::NODEV));
}
