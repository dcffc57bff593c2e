//! Checks the file of a block, and the view of a lock on it.

use std::fs;

use shmlock::{BlockGuard, CleanOutcome, DiedFlag, Error, LockState, SharedBlock, ShmLock};
use shmlock_tests::hostile::{DEADLY, Denied, Folder, If, Solo, deny, fork};
use shmlock_tests::{Fixture, alone, quietly};
use zerocopy::{FromBytes, Immutable, IntoBytes};

const HERE: &str = "a block of this process";

/// The offset of the data.
const DATA: usize = 192;

#[derive(FromBytes, IntoBytes, Immutable, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
struct Pair {
    one: u64,
    two: u64,
}

#[test]
fn a_block_can_be_used_and_inspected_as_a_lock() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let mut block = folder.lock("b").schema("pair").open_block::<Pair>().expect(HERE);
    let lock = folder.lock("b").open().expect("a lock");
    {
        let _guard = lock.lock().expect("free");
        assert!(block.try_lock().expect(HERE).is_none());
    }
    {
        let mut guard = block.lock().expect("free");
        guard.one = 5;
        assert!(lock.try_lock().expect("a lock").is_none());
        let seen =
            folder.unchanged(|| folder.lock("b").inspect()).expect("may be read").expect("there");
        assert!(matches!(seen.status.state, LockState::Held(_)));
        assert_eq!((seen.layout.bytes(), seen.layout.schema()), (16, "pair"));
    }
    assert_eq!(fs::metadata(folder.file("b")).expect("there").len(), 192 + 16);
    assert_eq!(
        fs::read(folder.file("b")).expect("there")[DATA..],
        [[5, 0, 0, 0, 0, 0, 0, 0], [0; 8]].concat()
    );
    let clone = lock.try_clone().expect("the same file");
    drop(block);
    drop(clone);
    let mut block =
        folder.lock("b").schema("pair").open_block::<Pair>().expect("the lock keeps it");
    assert_eq!(block.lock().expect("free").one, 5);
    drop(lock);
    drop(block);
    assert!(folder.names().is_empty());
}

#[test]
fn data_of_any_odd_size_is_shared_whole() {
    fn check<const N: usize>(folder: &Folder) {
        let open = || folder.lock("b").open_block::<[u8; N]>().expect(HERE);
        let (mut one, mut other) = (open(), open());
        let bytes = || (1..=251).cycle(); // not a power of two, so that all words differ
        one.lock().expect("free").iter_mut().zip(bytes()).for_each(|(byte, number)| *byte = number);
        assert!(
            other.lock().expect("free").iter().zip(bytes()).all(|(byte, number)| *byte == number),
            "{N}"
        );
        assert_eq!(fs::metadata(folder.file("b")).expect("there").len(), 192 + N as u64);
    }
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    check::<1>(&folder);
    check::<3>(&folder);
    check::<5>(&folder);
    check::<15>(&folder);
    check::<4097>(&folder);
}

#[test]
fn repaired_data_is_copied_out_before_it_is_declared_consistent() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let mut block = folder.lock("b").open_block::<Pair>().expect(HERE);
    let mut other = folder.lock("b").open_block::<Pair>().expect(HERE);
    let mut guard = block.lock().expect("free");
    guard.one = 1;
    BlockGuard::declare_consistent(&mut guard).expect("held");
    assert_eq!(fs::read(folder.file("b")).expect("there")[DATA], 1);
    guard.two = 2;
    BlockGuard::release(guard).expect("held");
    assert_eq!(*other.lock().expect("free"), Pair { one: 1, two: 2 });
}

#[test]
fn an_empty_file_and_a_file_of_zeros_become_the_block() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    for content in [&b""[..], &[0; DATA + 16]] {
        let path = folder.put("b", content);
        let mut block = folder
            .lock("b")
            .schema("s")
            .open_block_with::<Pair>(|pair| pair.one = 3)
            .expect("an empty file becomes a block");
        assert_eq!(*block.lock().expect("free"), Pair { one: 3, two: 0 });
        assert_eq!(fs::metadata(&path).expect("there").len(), 208);
        assert_eq!(
            folder.lock("b").inspect().expect("may be read").expect("there").layout.schema(),
            "s"
        );
        drop(block);
        assert!(folder.names().is_empty());
    }
}

/// Kills a creator of a named file when it calls madvise(2) on this many bytes: between growing and
/// describing the block.
fn die_half_way(folder: &Folder, bytes: libc::c_int) {
    let denied = Denied { call: libc::SYS_madvise, when: If::Is(1, bytes), errno: DEADLY };
    fork(|_| {
        assert!(deny(&[Denied::nameless(libc::EOPNOTSUPP), denied]));
        drop(folder.lock("b").schema("s").open_block::<Pair>());
    })
    .ends_by(libc::SIGSYS);
}

#[test]
fn a_block_whose_creator_died_half_way_blocks_no_later_opener() {
    alone!(|| {
        if !deny(&[]) {
            return; // no filters here
        }
        for (dies_at, left) in [(192, 192), (208, 208)] {
            let fixture = Solo::new();
            let folder = Folder::new(&fixture);
            let die = || {
                die_half_way(&folder, dies_at);
                assert_eq!(fs::metadata(folder.file("b")).expect("it is left").len(), left);
            };
            die();
            drop(folder.lock("b").open().expect("a lock without data"));
            assert!(folder.names().is_empty());
            die();
            drop(
                folder
                    .lock("b")
                    .schema("other")
                    .open_block::<u64>()
                    .expect("a block of another size"),
            );
            assert!(folder.names().is_empty());
            die();
            let mut same =
                folder.lock("b").schema("s").open_block_with::<Pair>(|pair| pair.one = 3);
            assert_eq!(same.as_mut().expect("the same block").lock().expect("free").one, 3);
            drop(same);
            assert!(folder.names().is_empty());
            die();
            assert!(
                folder.lock("b").inspect().expect("a lock").expect("there").status.is_healthy()
            );
            assert_eq!(
                folder.lock("b").clean(DiedFlag::Keep).expect("a lock"),
                CleanOutcome::Removed
            );
        }
    });
}

/// An owner leaves such a header if it dies between the two parts of the description.
#[test]
fn a_half_described_block_is_described_again() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let mut content = [0; DATA + 16];
    content[8..12].copy_from_slice(b"SHL\x01");
    content[152] = 5;
    content[153..158].copy_from_slice(b"other");
    let lock = {
        let _left = folder.put("b", &content);
        folder.lock("b").open().expect("a lock without data")
    };
    let mut block =
        folder.lock("b").schema("pair").open_block::<Pair>().expect("its length is not described");
    assert_eq!(*block.lock().expect("free"), Pair::default());
    assert_eq!(
        folder.lock("b").inspect().expect("may be read").expect("there").layout.schema(),
        "pair"
    );
    drop(lock);
}

#[test]
fn a_file_that_is_no_lock_at_all_is_left_alone() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    for content in [&[0; 100][..], &[b'x'; DATA + 16], &[b'x'; 4096], &[0; DATA + 17]] {
        let _other = folder.put("b", content);
        let error =
            folder.unchanged(|| folder.lock("b").open_block::<Pair>()).expect_err("no block");
        assert!(matches!(error, Error::NotALock { .. }), "{error}");
        assert!(matches!(folder.refuses(&folder.lock("b")), Error::NotALock { .. }));
    }
}

#[test]
fn a_handle_of_a_block_shows_the_state_of_its_lock() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let block = quietly(|| SharedBlock::<u64>::open(&name)).expect(HERE);
    assert_eq!(block.as_lock().status().expect(HERE).state, LockState::Unlocked);
    let lock = quietly(|| ShmLock::open(&name)).expect("a lock");
    let _guard = lock.lock().expect("free");
    assert!(matches!(block.as_lock().status().expect(HERE).state, LockState::Held(_)));
}
