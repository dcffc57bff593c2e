//! What a block is on disk, and to those who see a lock in it.

use std::fs;

use shmlock::{Error, Occupancy, SharedBlock, ShmLock};
use shmlock_tests::hostile::{Folder, Solo};
use shmlock_tests::{Scene, quietly};
use zerocopy::{FromBytes, Immutable, IntoBytes};

const HERE: &str = "a block of this process";

/// Where the data begins.
const DATA: usize = 192;

#[derive(FromBytes, IntoBytes, Immutable, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
struct Pair {
    one: u64,
    two: u64,
}

#[test]
fn a_block_is_a_lock_as_well_and_shows_what_it_is() {
    let scene = Solo::new();
    let folder = Folder::new(&scene);
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
        let seen = folder.unchanged(|| folder.lock("b").inspect()).expect("may be read").expect("there");
        assert!(matches!(seen.health.occupancy, Occupancy::Theirs(_)));
        assert_eq!((seen.shape.bytes(), seen.shape.schema()), (16, "pair"));
    }
    assert_eq!(fs::metadata(folder.file("b")).expect("there").len(), 192 + 16);
    assert_eq!(fs::read(folder.file("b")).expect("there")[DATA..], [[5, 0, 0, 0, 0, 0, 0, 0], [0; 8]].concat());
    let clone = lock.try_clone().expect("the same file");
    drop(block);
    drop(clone);
    let mut block = folder.lock("b").schema("pair").open_block::<Pair>().expect("the lock keeps it");
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
        let bytes = || (1..=251).cycle(); // no power of two, so that no word is like another
        one.lock().expect("free").iter_mut().zip(bytes()).for_each(|(byte, number)| *byte = number);
        assert!(other.lock().expect("free").iter().zip(bytes()).all(|(byte, number)| *byte == number), "{N}");
        assert_eq!(fs::metadata(folder.file("b")).expect("there").len(), 192 + N as u64);
    }
    let scene = Solo::new();
    let folder = Folder::new(&scene);
    check::<1>(&folder);
    check::<3>(&folder);
    check::<5>(&folder);
    check::<15>(&folder);
    check::<4097>(&folder);
}

#[test]
fn what_is_mended_is_written_down_before_it_is_called_consistent() {
    let scene = Solo::new();
    let folder = Folder::new(&scene);
    let mut block = folder.lock("b").open_block::<Pair>().expect(HERE);
    let mut other = folder.lock("b").open_block::<Pair>().expect(HERE);
    let mut guard = block.lock().expect("free");
    guard.one = 1;
    guard.declare_consistent().expect("held");
    assert_eq!(fs::read(folder.file("b")).expect("there")[DATA], 1);
    guard.two = 2;
    guard.release().expect("held");
    assert_eq!(*other.lock().expect("free"), Pair { one: 1, two: 2 });
}

#[test]
fn an_empty_file_and_a_file_of_zeros_become_the_block() {
    let scene = Solo::new();
    let folder = Folder::new(&scene);
    for content in [&b""[..], &[0; DATA + 16]] {
        let path = folder.put("b", content);
        let mut block =
            folder.lock("b").schema("s").open_block_with::<Pair>(|pair| pair.one = 3).expect("half-made by somebody");
        assert_eq!(*block.lock().expect("free"), Pair { one: 3, two: 0 });
        assert_eq!(fs::metadata(&path).expect("there").len(), 208);
        assert_eq!(folder.lock("b").inspect().expect("may be read").expect("there").shape.schema(), "s");
        drop(block);
        assert!(folder.names().is_empty());
    }
}

#[test]
fn what_is_no_lock_at_all_is_left_alone() {
    let scene = Solo::new();
    let folder = Folder::new(&scene);
    for content in [&[0; 100][..], &[b'x'; DATA + 16], &[b'x'; 4096], &[0; DATA + 17]] {
        let _other = folder.put("b", content);
        let error = folder.unchanged(|| folder.lock("b").open_block::<Pair>()).expect_err("no block");
        assert!(matches!(error, Error::NotALock { .. }), "{error}");
        assert!(matches!(folder.refuses(&folder.lock("b")), Error::NotALock { .. }));
    }
}

#[test]
fn a_handle_of_a_block_has_a_lock_to_look_at() {
    let scene = Scene::new();
    let name = scene.name("b");
    let block = quietly(|| SharedBlock::<u64>::open(&name)).expect(HERE);
    assert_eq!(block.as_lock().check().expect(HERE).occupancy, Occupancy::Free);
    let lock = quietly(|| ShmLock::open(&name)).expect("a lock");
    let _guard = lock.lock().expect("free");
    assert!(matches!(block.as_lock().check().expect(HERE).occupancy, Occupancy::Theirs(_)));
}
