//! Flaw 14: many handles of one name make the kernel's list of locks long; the lock stays correct.
//! Flaw 15: the other kind of byte locks, `F_SETLK`, is dropped when any descriptor of the file is
//! closed. Flaw 16: offsets beyond 31 bits are other bytes to a 32-bit process.

use std::fs::{self, File};
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use shmlock::ShmLock;
use shmlock_tests::hostile::{Folder, Intruder, Mode, PRESENCE, Solo, byte_of};
use shmlock_tests::{actor, skipped};

const HERE: &str = "a lock of this process";

#[test]
fn five_hundred_handles_exclude_each_other_and_recover() {
    const MANY: usize = 500;
    let fixture = Solo::new();
    let name = fixture.name("l");
    let handles: Vec<_> = (0..MANY).map(|_| ShmLock::open(&name).expect(HERE)).collect();
    for round in [0, MANY / 2, MANY - 1] {
        let guard = handles[round].lock().expect("free");
        let refused =
            handles.iter().filter(|other| other.try_acquire().is_ok_and(|taken| !taken)).count();
        assert_eq!(refused, MANY - 1, "all but the owner, which nests");
        handles[round].release().expect("the nested hold");
        drop(guard);
    }
    for (before, handle) in handles.iter().enumerate() {
        let guard = handle.try_lock().expect(HERE).expect("free");
        assert_eq!(
            guard.fencing_token(),
            Some(4 + before as u64),
            "each acquisition was counted once"
        );
    }
    let mut victim = actor!();
    victim.ask(format!("open l {name}"));
    victim.ask("lock l");
    assert!(handles[7].try_lock().expect(HERE).is_none());
    victim.kill();
    let guard = handles[7].try_lock().expect(HERE).expect("a dead owner's");
    assert!(guard.recovered().expect("the owner died").dead.is_some());
    guard.declare_consistent().expect("held");
}

#[test]
fn closing_another_descriptor_of_the_file_does_not_unlock_the_life_byte() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let path = format!("/dev/shm/{name}.shmlock");
    let lock = ShmLock::open(&name).expect(HERE);
    let guard = lock.lock().expect("free");
    drop(File::open(&path).expect("ours"));
    let _ = fs::read(&path).expect("ours");
    drop(ShmLock::open(&name).expect("another handle"));
    drop(lock.try_clone().expect("another handle"));
    let mut other = actor!();
    other.ask(format!("open l {name}"));
    assert!(other.ask("check l").starts_with("Held(Alive)"));
    assert_eq!(other.ask("try l"), "false");
    drop(guard);
    assert_eq!(other.ask("try l"), "true");
    other.ask("release l");
}

#[test]
fn exactly_two_bytes_are_locked_for_each_handle() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let lock = folder.lock("l").open().expect(HERE);
    let intruder = Intruder::on(&folder.file("l"));
    lock.acquire().expect("free");
    let token = intruder.owner_word();
    lock.release().expect("held");
    let (presence, life) = (PRESENCE..=PRESENCE, byte_of(token)..=byte_of(token));
    let expected = [(Mode::Read, presence.clone()), (Mode::Write, life.clone())];
    assert_eq!(intruder.locks_of_others(), expected);
    if File::open("/proc/locks").is_err() {
        skipped("there is no /proc/locks");
    } else if !(0..1000).any(|_| locks_known_to_the_kernel(&folder.file("l")) == expected) {
        panic!("the kernel lists {:?}", locks_known_to_the_kernel(&folder.file("l")));
    }
    let other = folder.lock("l").open().expect(HERE);
    assert_eq!(intruder.lock_of_others(&presence), Some((Mode::Read, presence.clone())));
    drop(lock);
    assert!(intruder.lock_of_others(&life).is_none(), "closing did not unlock the life byte");
    assert_eq!(
        intruder.lock_of_others(&presence),
        Some((Mode::Read, presence.clone())),
        "the other handle is not present"
    );
    drop(other);
    assert!(intruder.locks_of_others().is_empty());
}

/// Returns the file's locks in `/proc/locks`, sorted. proc(5) may omit or repeat a lock while
/// others change.
fn locks_known_to_the_kernel(path: &Path) -> Vec<(Mode, RangeInclusive<i64>)> {
    let meta = fs::metadata(path).expect("ours");
    let (major, minor) = (libc::major(meta.dev()), libc::minor(meta.dev()));
    let ours = format!("{major:02x}:{minor:02x}:{}", meta.ino());
    let mut found = Vec::new();
    for line in fs::read_to_string("/proc/locks").expect("it can be read").lines() {
        // 1: OFDLCK ADVISORY READ -1 00:1a:245 1073741824 1073741824
        let words: Vec<_> = line.split_whitespace().collect();
        let [_, "OFDLCK", _, mode, _, file, first, last] = words[..] else { continue };
        if file == ours {
            let mode = if mode == "READ" { Mode::Read } else { Mode::Write };
            let [first, last] = [first, last].map(|byte| byte.parse().unwrap_or(i64::MAX)); // EOF
            found.push((mode, first..=last));
        }
    }
    found.sort_by_key(|(_, bytes)| *bytes.start());
    found.dedup();
    found
}
