//! Tests that `probe-memory` tries one word, only if it is told to, and leaves it as it was.

use std::fs;
use std::path::{Path, PathBuf};

use shmlock_tests::Fixture;
use shmlock_tests::hostile::{Folder, on_tmpfs};

use crate::program::{Ended, says};

const YES: &str = "--yes-this-may-hang-the-machine";

/// A bound that is longer than any probe takes.
const LONG: [&str; 2] = ["--bound", "600"];

/// Probes a word.
fn probe(path: &Path, offset: &str, options: &[&str]) -> Ended {
    let path = path.to_str().expect("UTF-8");
    let always = ["probe-memory", path, offset];
    says(always.iter().chain(options))
}

fn memory(folder: &Folder) -> (PathBuf, Vec<u8>) {
    let (path, content) = (folder.path().join("memory"), vec![0x5a; 8192]);
    fs::write(&path, &content).expect("a file");
    (path, content)
}

#[test]
fn a_word_of_a_file_works_and_is_restored() {
    let fixture = Fixture::new();
    let folder = Folder::new(&fixture);
    let (path, content) = memory(&folder);
    for (given, shown) in [("64", "0x40"), ("0x1040", "0x1040")] {
        let ended = probe(&path, given, &["--memory", "cached", YES, LONG[0], LONG[1]]);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
        let first = format!("{} at {shown}: works\n", path.display());
        assert!(ended.out.starts_with(&first), "{}", ended.out);
        for part in ["word        has its value again", "exclusion   not shown"] {
            assert!(ended.out.contains(part), "{}", ended.out);
        }
    }
    assert_eq!(fs::read(&path).expect("still there"), content);
}

#[test]
fn nothing_is_tried_without_the_option_that_says_what_may_happen() {
    let fixture = Fixture::new();
    let folder = Folder::new(&fixture);
    // Even its absence is not noticed.
    let ended = probe(&folder.path().join("absent"), "0", &["--memory", "cached"]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(64), ""));
    assert!(ended.err.contains("hang or crash") && ended.err.contains(YES), "{}", ended.err);
    let help = says(["probe-memory", "--help"]).out;
    assert!(help.contains("THE MACHINE MAY HANG OR CRASH"), "{help}");
}

#[test]
fn a_word_without_memory_faults() {
    on_tmpfs("size=64k", |folder, _mounted| {
        let path = folder.path().join("sparse");
        fs::File::create(&path).and_then(|file| file.set_len(1 << 20)).expect("a sparse file");
        let rest = fs::write(folder.path().join("rest"), vec![1; 1 << 20]);
        assert_eq!(rest.unwrap_err().raw_os_error(), Some(libc::ENOSPC));
        let ended = probe(&path, "4096", &["-m", "cached", YES, LONG[0], LONG[1]]);
        assert_eq!((ended.code, ended.err.as_str()), (Some(1), ""));
        for part in [": faults\n", "SIGBUS", "is there memory at all?", "was not written"] {
            assert!(ended.out.contains(part), "{part}: {}", ended.out);
        }
    });
}

#[test]
fn each_refusal_has_its_exit_status_and_one_line() {
    let fixture = Fixture::new();
    let folder = Folder::new(&fixture);
    let (path, content) = memory(&folder);
    let absent = folder.path().join("absent");
    let cached = ["--memory", "cached", YES];
    for (path, offset, options, code, part) in [
        (path.as_path(), "62", &cached[..], 64, "multiple of 4"),
        (&path, "8192", &cached, 64, "smaller offset"),
        (&path, "-4", &cached, 64, "--help"),
        (&path, "here", &cached, 64, "such as 64 or 0x40"),
        (&path, "0xfffffffffffffffff", &cached, 64, "such as 64 or 0x40"),
        (&path, "0", &[YES], 64, "--memory"),
        (&path, "0", &["--memory", "warm", YES], 64, "uncached"),
        (&path, "0", &["-m", "cached", YES, "-b", "0.9"], 64, "a second or more"),
        (folder.path(), "0", &cached, 65, "a directory"),
        (Path::new("/dev/zero"), "0", &cached, 65, "memfd"),
        (&absent, "0", &cached, 66, "driver"),
        (Path::new("/dev/null"), "0", &cached, 66, "mmap"),
    ] {
        let ended = probe(path, offset, options);
        assert_eq!((ended.code, ended.out.as_str()), (Some(code), ""), "{ended:?}");
        assert!(ended.err.contains(part) && ended.err.lines().count() == 1, "{ended:?}");
    }
    assert_eq!(fs::read(&path).expect("still there"), content);
}
