//! A block: created once, counted by the kernel, never torn without a word, and never taken for
//! another.

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

/// Where the data begins, and where it says how long it is.
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

/// An actor that has opened the block as `b`.
fn user(name: &str, options: &str) -> Actor {
    let mut actor = actor!();
    actor.ask(format_args!("block b {name} {options}"));
    actor
}

#[test]
fn the_first_creates_it_zeroed_the_others_find_it_and_the_last_removes_it() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let mut first = user(&name, "");
    assert_eq!(first.ask("read b"), "0 not told");
    first.ask("fill b 7");
    let mut second = user(&name, "create=9");
    assert_eq!(second.ask("read b"), "7 not told", "it is there already");
    first.ask("unblock b");
    assert_eq!(second.ask("read b"), "7 not told");
    second.ask("unblock b");
    assert!(fixture.files().is_empty());
}

#[test]
fn of_many_who_come_at_once_exactly_one_creates_it() {
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
fn a_creator_killed_inside_its_function_is_followed_by_whoever_waits_for_it() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let (mut doomed, mut next) = (actor!(), actor!());
    doomed.ask(format_args!("block b {name} create=stall")); // says so from inside
    next.tell(format_args!("block b {name} create=5 patience=60000"));
    until(|| fs::read(path_of(&name)).is_ok_and(|bytes| bytes[3] & 0x80 != 0)); // somebody waits
    doomed.kill();
    next.done();
    assert_eq!(next.ask("read b"), "5 not told", "all of it is new: there is nothing to mend");
    let mut third = user(&name, "create=6");
    assert_eq!(third.ask("read b"), "5 not told");
}

#[test]
fn a_creator_killed_inside_its_function_with_nobody_there_is_followed_by_the_next_who_comes() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let mut doomed = actor!();
    doomed.ask(format_args!("block b {name} create=stall"));
    doomed.kill();
    assert_eq!(fixture.files().len(), 1);
    assert_eq!(user(&name, "create=5").ask("read b"), "5 not told");
}

#[test]
fn a_creator_that_panics_is_followed_by_the_next_who_comes() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let mut lock = actor!("{name}-other"); // any actor: it has to be dismissed only after the panic
    let mut doomed = actor!();
    doomed.tell(format_args!("block b {name} create=panic"));
    assert!(!doomed.wait().success());
    lock.ask("held l");
    assert_eq!(user(&name, "create=5").ask("read b"), "5 not told");
}

#[test]
fn whoever_waits_for_a_creator_longer_than_it_wants_is_told_who_that_is() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let (mut slow, mut next) = (actor!(), actor!());
    slow.ask(format_args!("block b {name} create=stall"));
    assert_eq!(next.refuse(format_args!("block b {name} patience=20")), "TimedOut");
    slow.kill();
    assert_eq!(user(&name, "create=5").ask("read b"), "5 not told");
}

#[test]
fn an_owner_that_is_killed_has_changed_nothing_and_all_are_told_until_somebody_mends_it() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let (mut doomed, mut next, mut other) =
        (user(&name, "create=1"), user(&name, ""), user(&name, ""));
    doomed.ask("hold b 2");
    next.tell("read b"); // waits
    doomed.kill();
    assert_eq!(next.done(), "1 told", "the dead one had not given it back");
    assert_eq!(other.ask("read b"), "1 told");
    other.ask("repair b 3");
    assert_eq!(next.ask("read b"), "3 not told");
}

#[test]
fn a_death_mark_keeps_the_data_for_the_next_who_comes() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let mut doomed = user(&name, "create=1");
    doomed.ask("hold b 2");
    doomed.kill();
    let mut next = user(&name, "create=9");
    assert_eq!(next.ask("read b"), "1 told");
    next.ask("unblock b");
    assert_eq!(fixture.files().len(), 1, "nobody has declared it consistent");
    let mut last = user(&name, "create=9");
    assert_eq!(last.ask("read b"), "1 told");
    last.ask("repair b 4");
    last.ask("unblock b");
    assert!(fixture.files().is_empty());
}

#[test]
fn a_block_whose_users_were_all_killed_is_over_and_the_next_begins_a_new_one() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let (mut one, mut other) = (user(&name, "create=1 schema=v1"), user(&name, "schema=v1"));
    one.ask("fill b 2");
    one.kill();
    assert_eq!(other.ask("read b"), "2 not told", "one of them lives");
    other.kill();
    assert_eq!(fixture.files().len(), 1);
    assert_eq!(
        user(&name, "create=3 schema=v2").ask("read b"),
        "3 not told",
        "even another schema"
    );
}

#[test]
fn a_plain_lock_that_killed_processes_left_is_no_obstacle_but_one_in_use_is() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let mut plain = actor!("{name}");
    let mut next = actor!();
    assert_eq!(next.refuse(format_args!("block b {name}")), "OtherBlock");
    plain.kill();
    next.ask(format_args!("block b {name}"));
}

/// Kills writers at any moment, in the middle of the copying out now and then. Goes on until one of
/// them was in its section: how soon that is depends on the scheduler, for a writer that has just
/// been let in by the reader may not run yet.
#[test]
fn whoever_is_not_told_of_a_death_never_sees_torn_data() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let mut reader = user(&name, "create=1");
    let (mut told, mut not_told, mut torn) = (0, 0, 0);
    while told == 0 || told + not_told < rounds(150) {
        let mut doomed = user(&name, "");
        doomed.ask("race b");
        for _ in 0..(told + not_told) % 7 {
            assert!(!reader.ask("read b").starts_with("torn"), "nobody has died yet");
        }
        doomed.kill();
        let found = reader.ask("read b");
        match found.split_once(' ') {
            Some((number, "told")) => {
                told += 1;
                torn += u32::from(number == "torn");
            }
            Some((number, _)) => {
                assert_ne!(number, "torn", "and nobody said so");
                not_told += 1;
            }
            None => panic!("{found}"),
        }
        reader.ask("repair b 1");
    }
    println!(
        "{told} of {} deaths were in a section, {torn} of them in the copying out",
        told + not_told
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
fn what_somebody_scribbles_over_the_data_reaches_no_guard_that_exists() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let mut block = folder.lock("b").open_block::<Pair>().expect(HERE);
    let intruder = Intruder::on(&folder.file("b"));
    let guard = block.lock().expect("free");
    intruder.scribble(DATA as u64, 0xffff_ffff);
    assert_eq!(*guard, Pair::default());
    drop(guard); // was only read: nothing is copied out
    assert_eq!(block.lock().expect("free").one, 0xffff_ffff, "any bytes are a good value");
    block.lock().expect("free").two = 1;
    for (offset, word) in [(DATA_LEN, 3), (MADE, 0xdead), (152, 0xffff_ffff)] {
        intruder.scribble(offset, word);
    }
    block.lock().expect("free").two += 1;
    assert_eq!(
        block.lock().expect("free").two,
        2,
        "the header is of no concern to those who are in"
    );
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
fn a_section_that_panics_leaves_the_data_as_it_was() {
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

/// Locks in its drop, as tidying up does.
struct Tidy<'a>(&'a mut SharedBlock<Pair>);

impl Drop for Tidy<'_> {
    fn drop(&mut self) {
        let mut pair = self.0.lock().expect("free");
        pair.two = 2;
        pair.release().expect("held"); // a drop could not be told from that by a second panic
    }
}

#[test]
fn a_section_that_begins_while_a_panic_unwinds_is_one_like_any_other() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let mut block = folder.lock("b").open_block::<Pair>().expect(HERE);
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _tidy = Tidy(&mut block);
        std::panic::resume_unwind(Box::new("before it"));
    }));
    assert!(unwound.is_err());
    assert_eq!(block.lock().expect("free").two, 2);
}

#[test]
fn a_guard_in_a_forked_child_is_a_copy_that_goes_nowhere() {
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
fn a_shape_that_is_hostile_text_stays_on_its_line() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let block = folder.lock("b").schema("\u{1b}[31mred\n").open_block::<Pair>().expect(HERE);
    let shape: BlockLayout = folder.lock("b").inspect().expect("may be read").expect("there").shape;
    assert!(!shape.to_string().contains(char::is_control), "{shape:?}");
    let error = folder.lock("b").open_block::<Pair>().expect_err("another schema");
    assert_says(&error, &["red\\n"]);
    drop(block);
}
