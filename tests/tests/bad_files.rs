//! Checks files that are not locks where a lock's file should be: they are recognised, named, and
//! left alone, and no call blocks.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use shmlock::{Error, ExitEvent, NotALockReason};
use shmlock_tests::hostile::{Folder, Solo, as_root, assert_says, make_node, mount_again};
use shmlock_tests::{alone, skipped};

/// The offset of the magic word, and its value.
const MAGIC_AT: usize = 8;
const MAGIC: [u8; 4] = *b"SHL\x01";

/// The offset of the data length in the header.
const DATA_LEN_AT: usize = 136;

/// The bytes of a new lock's file.
fn fresh() -> Vec<u8> {
    let mut bytes = vec![0; 192];
    bytes[MAGIC_AT..MAGIC_AT + 4].copy_from_slice(&MAGIC);
    bytes
}

/// Asserts that the lock `l` of the folder is refused for this reason, in these words.
fn assert_refused(folder: &Folder, expected: NotALockReason, words: &str) {
    let error = folder.refuses(&folder.lock("l"));
    let Error::NotALock { path, found } = &error else { panic!("expected {expected:?}: {error}") };
    assert_eq!((path, *found), (&folder.file("l"), expected));
    let path = path.to_str().expect("UTF-8");
    assert_says(&error, &[path, words, "left alone", "remove it or choose another name"]);
    assert!(error.errno().is_none());
}

#[test]
fn a_file_that_is_not_regular_is_named_and_left_alone() {
    type Maker = fn(&Path);
    let makers: [(Maker, NotALockReason, &str); 5] = [
        (
            |path| fs::create_dir(path).expect("a directory"),
            NotALockReason::Directory,
            "a directory",
        ),
        (
            |path| make_node(path, libc::S_IFIFO | 0o600, 0).expect("a pipe"),
            NotALockReason::Fifo,
            "a named pipe",
        ),
        (
            |path| symlink("/nonexistent/target", path).expect("a link"),
            NotALockReason::Symlink,
            "a symbolic link",
        ),
        (
            |path| drop(UnixListener::bind(path).expect("a socket")),
            NotALockReason::Socket,
            "a socket",
        ),
        (
            |path| symlink("/dev/null", path).expect("a link"),
            NotALockReason::Symlink,
            "not followed",
        ),
    ];
    for (make, found, words) in makers {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        make(&folder.file("l"));
        assert_refused(&folder, found, words);
    }
}

#[test]
fn a_link_is_not_followed_even_to_a_good_lock() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let target = folder.put("good", &fresh());
    symlink(&target, folder.file("l")).expect("a link");
    assert_refused(&folder, NotALockReason::Symlink, "a symbolic link");
}

#[test]
fn a_dangling_link_does_not_create_its_target() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    symlink(folder.file("target"), folder.file("l")).expect("a link");
    assert_refused(&folder, NotALockReason::Symlink, "a symbolic link");
    assert_eq!(folder.names(), ["l.shmlock"]);
}

#[test]
fn a_hard_link_to_a_file_that_is_no_lock_yet_is_refused() {
    for content in [&b""[..], &[0; 192]] {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let users = folder.put("users", content);
        fs::hard_link(&users, folder.file("l")).expect("a link");
        assert_refused(&folder, NotALockReason::HardLink, "a second name");
        fs::remove_file(folder.file("l")).expect("ours");
        assert!(folder.lock("users").open().is_ok(), "with one name it can become a lock");
    }
}

#[test]
fn a_hard_link_to_a_lock_is_the_same_lock() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let lock = folder.lock("l").open().expect("a new lock");
    fs::hard_link(folder.file("l"), folder.file("second")).expect("a link");
    let guard = lock.lock().expect("free");
    let second = folder.lock("second").open().expect("a link does not shut other users out");
    assert!(second.try_lock().expect("a lock").is_none());
    drop(guard);
    assert!(second.try_lock().expect("a lock").is_some());
}

#[test]
fn a_device_is_named_and_left_alone() {
    if !as_root("making a device") {
        return;
    }
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let make = |minor| make_node(&folder.file("l"), libc::S_IFCHR | 0o600, libc::makedev(1, minor));
    make(3).expect("root may");
    if fs::write(folder.file("l"), "into the null device").is_err() {
        return skipped("devices are shut off in /dev/shm");
    }
    assert_refused(&folder, NotALockReason::Device, "a device");
    fs::remove_file(folder.file("l")).expect("ours");
    make(200).expect("root may"); // no driver serves it, so it cannot even be opened
    assert_refused(&folder, NotALockReason::Device, "a device");
}

#[test]
fn a_file_of_another_size_is_left_alone() {
    for (len, words) in [
        (1_u16, "too short"),
        (128, "too short"),
        (191, "too short"),
        (193, "too long"),
        (4096, "too long"),
    ] {
        for content in [fresh(), vec![0; 192]] {
            let fixture = Solo::new();
            let folder = Folder::new(&fixture);
            let mut content = content;
            content.resize(len.into(), 0);
            if len > 192 && content[MAGIC_AT] != 0 {
                content[DATA_LEN_AT] = 7; // the header states another length
            }
            let _other = folder.put("l", &content);
            assert_refused(&folder, NotALockReason::Size { bytes: len.into() }, words);
            let size = format!("({len} bytes, a lock without data has 192)");
            assert_refused(&folder, NotALockReason::Size { bytes: len.into() }, &size);
        }
    }
}

#[test]
fn the_error_about_a_foreign_file_warns_that_it_may_be_in_use() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let mut newer = fresh();
    newer[MAGIC_AT + 3] = 2;
    for content in [newer, fresh()[..100].to_vec()] {
        let _other = folder.put("l", &content);
        assert_says(&folder.refuses(&folder.lock("l")), &["make sure that no process uses it"]);
    }
}

#[test]
fn a_removed_file_that_is_mounted_is_named_at_once() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let inside = folder.put("inside", b"");
        let lock = folder.lock("l").open().expect("a new lock");
        let Some(_mounted) = mount_again(&folder.file("l"), &inside) else { return };
        let other = folder.lock("inside").open().expect("the same lock by another name");
        assert!(other.lock().is_ok());
        drop((other, lock)); // the last user removes the outer name; the mount stays
        let error = folder.lock("inside").open().expect_err("no other process could open it");
        assert!(
            matches!(error, Error::NotALock { found: NotALockReason::Removed, .. }),
            "{error:?}"
        );
        assert_says(&error, &["inside.shmlock", "removed file", "mount the directory"]);
    });
}

#[test]
fn a_file_with_other_content_is_left_alone() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let _other = folder.put("l", &[b'x'; 192]);
    assert_refused(
        &folder,
        NotALockReason::Magic { word: 0x7878_7878 },
        "other content (magic word 0x78787878)",
    );
}

#[test]
fn a_lock_of_another_version_is_left_alone() {
    let other = [(0, "older"), (2, "newer"), (255, "newer")].map(|(version, age)| {
        (version, format!("a lock of the {age} layout version {version} (ours is 1)"))
    });
    let of_boots = (129, "a lock whose tokens are of boots of cores".to_owned());
    for (version, words) in other.into_iter().chain([of_boots]) {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let mut content = fresh();
        content[MAGIC_AT + 3] = version;
        let _other = folder.put("l", &content);
        assert_refused(&folder, NotALockReason::Version { version }, &words);
    }
}

#[test]
fn an_event_is_refused_for_the_same_reasons() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let path = folder.path().join("e.shmlock-event");
    let open = || {
        folder
            .unchanged(|| ExitEvent::named_in("e", folder.path(), 0o600))
            .expect_err("not an event")
    };
    fs::create_dir(&path).expect("a directory");
    assert!(matches!(open(), Error::NotALock { found: NotALockReason::Directory, .. }));
    fs::remove_dir(&path).expect("ours");
    fs::rename(folder.put("x", &[0; 200]), &path).expect("ours");
    assert!(matches!(open(), Error::NotALock { found: NotALockReason::Size { bytes: 200 }, .. }));
    assert_says(&open(), &["e.shmlock-event", "too long"]);
}
