//! Checks what opening makes of an incomplete lock, and of a lock with an unusual word: it is
//! completed, or its owner is judged by its token.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use shmlock::{Error, LockState, NotALockReason, OwnerState};
use shmlock_tests::actor;
use shmlock_tests::hostile::{Folder, Intruder, Mode, Solo, byte_of};

/// The offset of the magic word, and its value.
const MAGIC_AT: usize = 8;
const MAGIC: [u8; 4] = *b"SHL\x01";

/// The bytes of a new lock's file.
fn fresh() -> Vec<u8> {
    let mut bytes = vec![0; 192];
    bytes[MAGIC_AT..MAGIC_AT + 4].copy_from_slice(&MAGIC);
    bytes
}

#[test]
fn an_empty_file_becomes_a_lock_that_the_last_close_removes() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let path = folder.put("l", b"");
    let lock = folder.lock("l").open().expect("an empty file becomes a lock");
    assert_eq!(fs::metadata(&path).expect("there").len(), 192);
    let guard = lock.lock().expect("free");
    assert!(guard.recovered().is_none());
    drop(guard);
    drop(lock);
    assert!(folder.names().is_empty());
}

#[test]
fn a_file_of_zeros_is_a_free_lock() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let path = folder.put("l", &[0; 192]);
    let lock = folder.lock("l").open().expect("a free lock");
    assert_eq!(Intruder::on(&path).word_at(8), u32::from_le_bytes(MAGIC));
    assert!(lock.lock().expect("free").recovered().is_none());
}

/// A process leaves such a word if it dies between releasing and waking.
#[test]
fn a_free_lock_with_waiters_set_is_removed_by_its_last_user() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let mut content = fresh();
    content[..4].copy_from_slice(&0x8000_0000_u32.to_le_bytes());
    let path = folder.put("l", &content);
    let lock = folder.lock("l").open().expect("a free lock");
    assert!(lock.status().expect("a lock").is_healthy());
    drop(lock);
    assert!(!path.exists(), "WAITERS alone does not keep the file; only DIED does");
}

#[test]
fn a_lock_owned_by_a_token_without_a_process_is_recovered_at_once() {
    // A token that no handle has, with and without WAITERS; and the token that is never given out.
    for word in [0x0012_3456_u32, 0x8012_3456, 0x3fff_ffff, 0xffff_ffff] {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let mut content = fresh();
        content[..4].copy_from_slice(&word.to_le_bytes());
        // The owner died while it wrote its record.
        content[52..56].copy_from_slice(&7_u32.to_le_bytes());
        let _left = folder.put("l", &content);
        let lock = folder.lock("l").open().expect("a lock");
        assert_eq!(lock.status().expect("a lock").state, LockState::Held(OwnerState::Dead));
        assert!(lock.holder().expect("a lock").expect("an owner").uuid().is_none());
        let guard = lock.try_lock().expect("a lock").expect("a dead owner's");
        let dead = guard.recovered().expect("the owner died").dead.expect("its record");
        assert_eq!(dead.token(), word & 0x3fff_ffff);
        guard.declare_consistent().expect("held");
        assert_eq!(
            lock.holder().expect("a lock").expect("us").uuid(),
            Some(lock.uuid()),
            "the record is not whole again"
        );
        drop(guard);
        drop(lock);
        assert!(folder.names().is_empty());
    }
}

#[test]
fn an_owner_with_a_static_token_is_never_judged_dead() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let mut content = fresh();
    content[..4].copy_from_slice(&65535_u32.to_le_bytes());
    let path = folder.put("l", &content);
    let lock = folder.lock("l").open().expect("a lock");
    assert_eq!(lock.status().expect("a lock").state, LockState::Held(OwnerState::Unknown));
    assert!(lock.try_lock().expect("a lock").is_none());
    Intruder::on(&path).scribble(0, 0); // the owner releases it
    assert!(lock.try_lock().expect("a lock").is_some());
}

#[test]
fn a_file_in_use_is_never_grown_or_shrunk_by_a_newcomer() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let path = Path::new("/dev/shm").join(format!("{name}.shmlock"));
    let mut holder = actor!();
    holder.ask(format!("open l {name}"));
    holder.ask("lock l");
    let intruder = Intruder::on(&path);
    intruder.file().set_len(256).expect("our own file");
    let newcomer = shmlock::ShmLock::open(&name).expect("a lock without described data");
    assert!(newcomer.try_lock().expect("a lock").is_none());
    drop(newcomer);
    assert_eq!(intruder.file().metadata().expect("our own file").len(), 256);
    intruder.scribble(136, 16);
    let error = shmlock::ShmLock::open(&name).expect_err("its length differs from the header's");
    assert!(
        matches!(error, Error::NotALock { found: NotALockReason::Size { bytes: 256 }, .. }),
        "{error}"
    );
    intruder.scribble(136, 0);
    intruder.file().set_len(192).expect("our own file");
    assert!(holder.ask("check l").starts_with("HeldByThisHandle"));
    let token = intruder.owner_word();
    assert!(
        intruder
            .lock_of_others(&(byte_of(token)..=byte_of(token)))
            .is_some_and(|(mode, _)| mode == Mode::Write)
    );
    holder.ask("release l");
    assert!(path.as_os_str().as_bytes().ends_with(b".shmlock"));
}
