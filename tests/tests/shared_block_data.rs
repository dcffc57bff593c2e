//! Checks the data of a block: no update is lost, a block never passes for another, and panics,
//! forks and foreign writes do not change it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use shmlock::{BlockGuard, BlockLayout, Error, NotALockReason, SharedBlock};
use shmlock_tests::hostile::{Folder, Intruder, Solo, assert_says, fork};
use shmlock_tests::{Actor, Fixture, actor, alone, quietly, rounds};
use zerocopy::{FromBytes, Immutable, IntoBytes};

const HERE: &str = "a block of this process";

/// Offsets: the data, its length in the header, and the flag that the block is created.
const DATA: usize = 192;
const DATA_LEN: u64 = 136;
const MADE: u64 = 140;

#[derive(FromBytes, IntoBytes, Immutable, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
struct Pair {
    one: u64,
    two: u64,
}

/// Starts an actor that has opened the block as `b`.
fn user(name: &str, options: &str) -> Actor {
    let mut actor = actor!();
    actor.ask(format_args!("block b {name} {options}"));
    actor
}

#[test]
fn nothing_is_lost_among_processes_and_threads() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let each = rounds(300);
    let mut users = [(); 4].map(|()| user(&name, ""));
    for user in &mut users {
        user.tell(format_args!("add b {each}"));
    }
    for user in &mut users {
        user.done();
    }
    assert_eq!(users[0].ask("read b"), format!("{} not told", 4 * each));

    let mut block = quietly(|| SharedBlock::<Pair>::open(&fixture.name("threads"))).expect(HERE);
    thread::scope(|scope| {
        for _ in 0..4 {
            let mut mine = quietly(|| block.try_clone()).expect(HERE);
            scope.spawn(move || {
                for _ in 0..each {
                    let mut pair = mine.lock().expect("it comes free");
                    assert_eq!(pair.one, pair.two);
                    pair.one += 1;
                    pair.two += 1;
                }
            });
        }
    });
    assert_eq!(*block.lock().expect("free"), Pair { one: 4 * each, two: 4 * each });
}

#[test]
fn a_block_of_another_size_or_schema_is_refused_and_both_are_named() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let _block = folder.lock("b").schema("pair v1").open_block::<Pair>().expect(HERE);
    let refused = |error: Error, words: &[&str]| {
        assert!(matches!(error, Error::BlockMismatch { .. }), "{error:?}");
        assert_says(&error, words);
    };
    let (a, b) = (
        "is a block of 16 bytes with the schema \"pair v1\"",
        "a block of 8 bytes with the schema \"pair v1\"",
    );
    let other = folder.unchanged(|| folder.lock("b").schema("pair v1").open_block::<u64>());
    refused(other.expect_err("another size"), &[a, b, "b.shmlock", "choose another name"]);
    let other = folder.unchanged(|| folder.lock("b").schema("pair v2").open_block::<Pair>());
    refused(
        other.expect_err("another schema"),
        &[a, "a block of 16 bytes with the schema \"pair v2\""],
    );
    let other = folder.unchanged(|| folder.lock("b").open_block::<Pair>());
    refused(other.expect_err("no schema"), &[a, "a block of 16 bytes without a schema"]);

    let _lock = folder.lock("l").open().expect("a lock");
    let other = folder.unchanged(|| folder.lock("l").open_block::<Pair>());
    refused(
        other.expect_err("no block"),
        &["is a lock without data, and not a block of 16 bytes without a schema"],
    );

    let long = "x".repeat(40);
    let error = folder.lock("n").schema(&long).open_block::<Pair>().expect_err("too long");
    assert_says(&error, &["schema has 40 bytes", "shorten it to 39"]);
    assert!(folder.lock("n").schema(&long[1..]).open_block::<Pair>().is_ok());
}

#[test]
fn bytes_written_over_the_data_reach_no_existing_guard() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let mut block = folder.lock("b").open_block::<Pair>().expect(HERE);
    let intruder = Intruder::on(&folder.file("b"));
    let guard = block.lock().expect("free");
    intruder.scribble(DATA as u64, 0xffff_ffff);
    assert_eq!(*guard, Pair::default());
    drop(guard); // only read, so nothing is copied out
    assert_eq!(block.lock().expect("free").one, 0xffff_ffff, "any bytes are a valid value");
    block.lock().expect("free").two = 1;
    for (offset, word) in [(DATA_LEN, 3), (MADE, 0xdead), (152, 0xffff_ffff)] {
        intruder.scribble(offset, word);
    }
    block.lock().expect("free").two += 1;
    assert_eq!(block.lock().expect("free").two, 2, "open handles do not read the header");
    let error = folder.lock("b").open_block::<Pair>().expect_err("garbage");
    assert!(
        matches!(error, Error::NotALock { found: NotALockReason::Size { bytes: 208 }, .. }),
        "{error}"
    );
    intruder.scribble(DATA_LEN, 16);
    assert!(
        matches!(folder.lock("b").open_block::<Pair>(), Err(Error::BlockMismatch { .. })),
        "the schema is garbage"
    );
    assert!(folder.lock("b").open().is_ok(), "the lock is whole");
}

#[test]
fn a_critical_section_that_panics_leaves_the_data_unchanged() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let mut block = folder.lock("b").open_block::<Pair>().expect(HERE);
    let torn = catch_unwind(AssertUnwindSafe(|| {
        let mut pair = block.lock().expect("free");
        pair.one = 1;
        std::panic::resume_unwind(Box::new("in the middle"));
    }));
    assert!(torn.is_err());
    let pair = block.lock().expect("free");
    assert!(*pair == Pair::default() && BlockGuard::recovered(&pair).is_none());
}

/// Locks in its drop, as clean-up code does.
struct CleanUp<'a>(&'a mut SharedBlock<Pair>);

impl Drop for CleanUp<'_> {
    fn drop(&mut self) {
        let mut pair = self.0.lock().expect("free");
        pair.two = 2;
        // A drop would look like that of a second panic.
        BlockGuard::release(pair).expect("held");
    }
}

#[test]
fn a_critical_section_entered_while_a_panic_unwinds_keeps_its_changes() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let mut block = folder.lock("b").open_block::<Pair>().expect(HERE);
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _clean_up = CleanUp(&mut block);
        std::panic::resume_unwind(Box::new("before it"));
    }));
    assert!(unwound.is_err());
    assert_eq!(block.lock().expect("free").two, 2);
}

#[test]
fn changes_of_a_guard_in_a_forked_child_are_not_copied_out() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let mut block = folder.lock("b").open_block::<Pair>().expect(HERE);
        let mut guard = Some(block.lock().expect("free"));
        fork(|_| {
            let mut copy = guard.take().expect("the child's copy");
            copy.two = 99;
            drop(copy);
            let mut own = folder.lock("b").open_block::<Pair>().expect("a handle of its own");
            assert!(own.try_lock().expect("its own").is_none(), "the parent holds it");
        })
        .ends_well();
        let mut ours = guard.take().expect("ours");
        ours.one = 1;
        BlockGuard::release(ours).expect("undisturbed");
        drop(guard);
        assert_eq!(*block.lock().expect("free"), Pair { one: 1, two: 0 });
    });
}

#[test]
fn a_layout_with_a_hostile_schema_is_printed_on_one_line() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let block = folder.lock("b").schema("\u{1b}[31mred\n").open_block::<Pair>().expect(HERE);
    let shape: BlockLayout =
        folder.lock("b").inspect().expect("may be read").expect("there").layout;
    assert!(!shape.to_string().contains(char::is_control), "{shape:?}");
    let error = folder.lock("b").open_block::<Pair>().expect_err("another schema");
    assert_says(&error, &["red\\n"]);
    drop(block);
}
