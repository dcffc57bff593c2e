//! Checks blocks: one process creates a block, the last user removes it, torn data is always
//! reported, and a block never passes for another.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use shmlock::{BlockLayout, Error, NotALockReason, SharedBlock};
use shmlock_tests::hostile::{Folder, Intruder, Solo, assert_says, fork};
use shmlock_tests::{Account, Actor, Fixture, actor, alone, quietly, rounds, until};
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

fn path_of(name: &str) -> PathBuf {
    PathBuf::from(format!("/dev/shm/{name}.shmlock"))
}

/// Starts an actor that has opened the block as `b`.
fn user(name: &str, options: &str) -> Actor {
    let mut actor = actor!();
    actor.ask(format_args!("block b {name} {options}"));
    actor
}

#[test]
fn the_first_user_creates_a_zeroed_block_the_others_find_it_and_the_last_removes_it() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let mut first = user(&name, "");
    assert_eq!(first.ask("read b"), "0 not told");
    first.ask("fill b 7");
    let mut second = user(&name, "create=9");
    assert_eq!(second.ask("read b"), "7 not told", "the second opener created it again");
    first.ask("unblock b");
    assert_eq!(second.ask("read b"), "7 not told");
    second.ask("unblock b");
    assert!(fixture.files().is_empty());
}

#[test]
fn of_many_openers_at_once_exactly_one_creates_the_block() {
    let fixture = Fixture::new();
    for round in 0..rounds(20) {
        let (name, account) = (fixture.name(&round.to_string()), Account::new());
        let mut actors = [(); 6].map(|()| actor!());
        for (number, actor) in actors.iter_mut().enumerate() {
            actor.tell(format_args!("block b {name} create={}:{}", number + 1, account.path()));
        }
        for actor in &mut actors {
            actor.done();
        }
        let found: Vec<_> = actors.iter_mut().map(|actor| actor.ask("read b")).collect();
        assert!(found.iter().all(|one| one == &found[0] && one.ends_with("not told")), "{found:?}");
        assert_eq!(account.rounds.load(Relaxed), 1);
    }
}

#[test]
fn a_creator_killed_inside_its_function_is_followed_by_a_waiting_opener() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let (mut doomed, mut next) = (actor!(), actor!());
    doomed.ask(format_args!("block b {name} create=stall")); // answers from inside the function
    next.tell(format_args!("block b {name} create=5 patience=60000"));
    until(|| fs::read(path_of(&name)).is_ok_and(|bytes| bytes[3] & 0x80 != 0)); // WAITERS is set
    doomed.kill();
    next.done();
    assert_eq!(next.ask("read b"), "5 not told", "the data is new, so no repair is due");
    let mut third = user(&name, "create=6");
    assert_eq!(third.ask("read b"), "5 not told");
}

#[test]
fn a_creator_killed_inside_its_function_alone_is_followed_by_the_next_opener() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let mut doomed = actor!();
    doomed.ask(format_args!("block b {name} create=stall"));
    doomed.kill();
    assert_eq!(fixture.files().len(), 1);
    assert_eq!(user(&name, "create=5").ask("read b"), "5 not told");
}

#[test]
fn a_creator_that_panics_is_followed_by_the_next_opener() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let mut lock = actor!("{name}-other"); // any actor: it must end only after the panic
    let mut doomed = actor!();
    doomed.tell(format_args!("block b {name} create=panic"));
    assert!(!doomed.wait().success());
    lock.ask("held l");
    assert_eq!(user(&name, "create=5").ask("read b"), "5 not told");
}

#[test]
fn an_opener_that_waits_too_long_for_a_creator_times_out() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let (mut slow, mut next) = (actor!(), actor!());
    slow.ask(format_args!("block b {name} create=stall"));
    assert_eq!(next.refuse(format_args!("block b {name} patience=20")), "TimedOut");
    slow.kill();
    assert_eq!(user(&name, "create=5").ask("read b"), "5 not told");
}

#[test]
fn a_killed_owner_changes_nothing_and_every_owner_learns_of_it_until_the_repair() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let (mut doomed, mut next, mut other) =
        (user(&name, "create=1"), user(&name, ""), user(&name, ""));
    doomed.ask("hold b 2");
    next.tell("read b"); // waits
    doomed.kill();
    assert_eq!(next.done(), "1 told", "the dead owner's data was copied out");
    assert_eq!(other.ask("read b"), "1 told");
    other.ask("repair b 3");
    assert_eq!(next.ask("read b"), "3 not told");
}

#[test]
fn the_died_flag_keeps_the_data_for_the_next_opener() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let mut doomed = user(&name, "create=1");
    doomed.ask("hold b 2");
    doomed.kill();
    let mut next = user(&name, "create=9");
    assert_eq!(next.ask("read b"), "1 told");
    next.ask("unblock b");
    assert_eq!(fixture.files().len(), 1, "removed before the data was declared consistent");
    let mut last = user(&name, "create=9");
    assert_eq!(last.ask("read b"), "1 told");
    last.ask("repair b 4");
    last.ask("unblock b");
    assert!(fixture.files().is_empty());
}

#[test]
fn a_block_whose_users_were_all_killed_is_replaced_by_the_next_opener() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let (mut one, mut other) = (user(&name, "create=1 schema=v1"), user(&name, "schema=v1"));
    one.ask("fill b 2");
    one.kill();
    assert_eq!(other.ask("read b"), "2 not told", "replaced while a user lives");
    other.kill();
    assert_eq!(fixture.files().len(), 1);
    assert_eq!(
        user(&name, "create=3 schema=v2").ask("read b"),
        "3 not told",
        "a new block may have another schema"
    );
}

#[test]
fn an_abandoned_lock_without_data_is_replaced_by_a_block_but_one_in_use_is_not() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let mut plain = actor!("{name}");
    let mut next = actor!();
    assert_eq!(next.refuse(format_args!("block b {name}")), "OtherBlock");
    plain.kill();
    next.ask(format_args!("block b {name}"));
}

/// Kills writers at any moment, sometimes during the copying out, until one dies in its critical
/// section. How soon depends on the scheduler: a writer that the reader has just woken may not run
/// yet.
#[test]
fn torn_data_is_never_seen_without_a_report_of_a_death() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let mut reader = user(&name, "create=1");
    let (mut reported, mut unreported, mut torn) = (0, 0, 0);
    while reported == 0 || reported + unreported < rounds(150) {
        let mut doomed = user(&name, "");
        doomed.ask("race b");
        for _ in 0..(reported + unreported) % 7 {
            assert!(!reader.ask("read b").starts_with("torn"), "torn without a death");
        }
        doomed.kill();
        let found = reader.ask("read b");
        match found.split_once(' ') {
            Some((number, "told")) => {
                reported += 1;
                torn += u32::from(number == "torn");
            }
            Some((number, _)) => {
                assert_ne!(number, "torn", "torn without a report");
                unreported += 1;
            }
            None => panic!("{found}"),
        }
        reader.ask("repair b 1");
    }
    println!(
        "{reported} of {} deaths were in a critical section, {torn} of them in the copying out",
        reported + unreported
    );
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
    assert!(*pair == Pair::default() && pair.recovered().is_none());
}

/// Locks in its drop, as clean-up code does.
struct CleanUp<'a>(&'a mut SharedBlock<Pair>);

impl Drop for CleanUp<'_> {
    fn drop(&mut self) {
        let mut pair = self.0.lock().expect("free");
        pair.two = 2;
        pair.release().expect("held"); // a plain drop would look like that of a second panic
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
        ours.release().expect("undisturbed");
        drop(guard);
        assert_eq!(*block.lock().expect("free"), Pair { one: 1, two: 0 });
    });
}

#[test]
fn a_layout_with_a_hostile_schema_is_printed_on_one_line() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let block = folder.lock("b").schema("\u{1b}[31mred\n").open_block::<Pair>().expect(HERE);
    let shape: BlockLayout = folder.lock("b").inspect().expect("may be read").expect("there").shape;
    assert!(!shape.to_string().contains(char::is_control), "{shape:?}");
    let error = folder.lock("b").open_block::<Pair>().expect_err("another schema");
    assert_says(&error, &["red\\n"]);
    drop(block);
}
