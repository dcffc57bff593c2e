//! Checks that opening and closing a lock make the system calls that `PROTOCOL.md` lists with their
//! reasons, in that order, and no other.

#![cfg(target_pointer_width = "64")] // elsewhere the calls have other names

use std::fs;
use std::path::Path;

use shmlock_tests::hostile::{Folder, Recorded, Solo, aside, record_calls};
use shmlock_tests::skipped;

/// The names of the calls that the tables may have.
const NAMES: [(libc::c_long, &str); 11] = [
    (libc::SYS_close, "close"),
    (libc::SYS_fcntl, "fcntl"),
    (libc::SYS_fstat, "fstat"),
    (libc::SYS_getrandom, "getrandom"),
    (libc::SYS_lseek, "lseek"),
    (libc::SYS_madvise, "madvise"),
    (libc::SYS_mmap, "mmap"),
    (libc::SYS_munmap, "munmap"),
    (libc::SYS_openat, "openat"),
    (libc::SYS_pread64, "pread"),
    (libc::SYS_unlinkat, "unlinkat"),
];

/// Returns the calls that the page lists, by the first word of each row, under this heading.
fn listed(heading: &str) -> Option<Vec<String>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?.join("PROTOCOL.md");
    let Ok(page) = fs::read_to_string(page) else {
        skipped("the sources are not here");
        return None;
    };
    let (_, after) = page.split_once(heading).expect("the heading of the table");
    let rows = after.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let first = rows.map(|row| row.split('`').nth(1).unwrap_or_default().to_owned());
    Some(first.map(|call| call.split(['(', ' ']).next().unwrap_or_default().to_owned()).collect())
}

fn taken(calls: &Recorded) -> Vec<String> {
    let name = |call| NAMES.iter().find(|(number, _)| *number == call).map(|(_, name)| *name);
    let calls = calls.take().into_iter();
    calls.map(|call| name(call).map_or_else(|| format!("call {call}"), str::to_owned)).collect()
}

/// Opens and closes the lock, which another handle keeps, in a thread whose calls are written down.
/// Returns the calls of a later opening, and of its closing: the first ones in a process make some
/// more.
fn calls_beside_another_handle() -> Option<(Vec<String>, Vec<String>)> {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let other = folder.lock("l").open().expect("a lock");
    let calls = aside(|| {
        let builder = folder.lock("l");
        drop(builder.open().expect("a lock")); // what a thread and a process do once
        let calls = record_calls()?;
        drop(builder.open().expect("a lock"));
        let _ = calls.take();
        let lock = builder.open().expect("a lock");
        let opening = taken(&calls);
        drop(lock);
        Some((opening, taken(&calls)))
    });
    drop(other);
    calls
}

#[test]
fn opening_and_closing_beside_another_handle_make_the_listed_calls_and_no_other() {
    let lists = (listed("*The calls of an opening.*"), listed("*The calls of a closing.*"));
    let (Some(opening), Some(closing)) = lists else { return };
    assert!(opening.len() > 10 && closing.len() > 5, "the tables were not found");
    let Some(calls) = calls_beside_another_handle() else { return };
    assert_eq!(calls.0, opening, "of an opening");
    assert_eq!(calls.1, closing, "of a closing");
}
