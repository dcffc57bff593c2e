//! Checks the meaning of names: equal names are one lock for every process, different names are
//! different locks, and an unused name leaves no file.

use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use shmlock::{Error, LockState, OwnerState, ShmLock};
use shmlock_tests::{Account, Actor, Fixture, actor, quietly, rounds, until};

#[test]
fn the_same_name_is_the_same_lock_for_every_process() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let (mut first, mut second) = (actor!("{name}"), actor!("{name}"));
    first.ask("lock l");
    assert_eq!(second.ask("try l"), "false");
    first.ask("release l");
    assert_eq!(second.ask("try l"), "true");
    assert_eq!(fixture.files(), [format!("{name}.shmlock")]);
}

#[test]
fn two_names_do_not_disturb_each_other() {
    let fixture = Fixture::new();
    let (one, two) = (fixture.name("one"), fixture.name("two"));
    let (mut first, mut second) = (actor!("{one}"), actor!("{two}"));
    first.ask("lock l");
    assert_eq!(second.ask("try l"), "true");
    first.kill();
    assert_eq!(second.ask("recovered l"), "no");
    second.ask("release l");
    assert!(second.ask("check l").contains("healthy=true"));
    let mut next = actor!("{one}");
    next.ask("lock l");
    next.ask("consistent l");
}

#[test]
fn a_name_that_begins_with_another_is_another_lock() {
    let fixture = Fixture::new();
    let (short, long) = (fixture.name("l"), fixture.name("l.shmlock"));
    let (mut first, mut second) = (actor!("{short}"), actor!("{long}"));
    first.ask("lock l");
    assert_eq!(second.ask("try l"), "true");
}

#[test]
fn a_clone_is_another_contender_for_the_same_lock() {
    let fixture = Fixture::new();
    let lock = quietly(|| ShmLock::builder(&fixture.name("l")).description("both").open()).unwrap();
    let other = quietly(|| lock.try_clone()).unwrap();
    assert_ne!(lock.uuid(), other.uuid());
    assert_eq!((lock.name(), lock.path()), (other.name(), other.path()));
    assert_eq!(other.description(), "both");
    let guard = lock.lock().unwrap();
    thread::scope(|scope| {
        let waiter = scope.spawn(move || {
            assert!(other.try_lock().unwrap().is_none());
            assert_eq!(other.status().unwrap().state, LockState::Held(OwnerState::Alive));
            drop(other.lock().unwrap());
        });
        until(|| lock.status().unwrap().waiters);
        assert_eq!(lock.status().unwrap().state, LockState::HeldByThisHandle);
        guard.release().unwrap();
        waiter.join().unwrap();
    });
    assert_eq!(lock.status().unwrap().state, LockState::Unlocked);
}

#[test]
fn a_thread_that_would_wait_for_itself_gets_a_deadlock_error() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut actor = actor!("{name}");
    actor.ask("clone m l");
    actor.ask(format_args!("open n {name}"));
    actor.ask("lock l");
    for other in ["m", "n"] {
        assert_eq!(actor.ask(format_args!("try {other}")), "false");
        assert_eq!(actor.refuse(format_args!("for {other} 0")), "TimedOut");
        assert_eq!(actor.refuse(format_args!("lock {other}")), "WouldDeadlock");
        assert_eq!(actor.refuse(format_args!("for {other} 60000")), "WouldDeadlock");
    }
    assert_eq!(actor.ask("held l"), "true");

    // Another thread of the process may wait.
    let mut thread = actor.thread_with("m");
    thread.tell("lock m");
    actor.sees_a_waiter();
    actor.ask("release l");
    thread.done();
    // This thread may wait for the other thread too.
    assert_eq!(actor.refuse("for l 1"), "TimedOut");
    assert_eq!(actor.refuse("for n 1"), "TimedOut");
    thread.ask("release m");
    actor.ask("lock n");
    assert_eq!(actor.refuse("lock l"), "WouldDeadlock");
}

#[test]
fn two_locks_of_one_thread_are_no_deadlock() {
    let fixture = Fixture::new();
    let (one, two) = (fixture.name("one"), fixture.name("two"));
    let (mut holder, mut both) = (actor!("{two}"), actor!("{one}"));
    both.ask(format_args!("open m {two}"));
    holder.ask("lock l");
    both.ask("lock l");
    both.tell("lock m");
    holder.sees_a_waiter();
    holder.ask("release l");
    both.done();
}

#[test]
fn every_process_can_read_the_holder_and_its_description() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let (mut holder, mut reader) = (actor!("{name} desc=first"), actor!("{name} desc=reader"));
    assert_eq!(reader.ask("holder l"), "nobody");
    holder.ask("lock l");
    let uuid = ask_uuid(&mut holder);
    assert_eq!(reader.ask("holder l"), format!("{} {uuid} first", holder.pid()));
    assert_eq!(reader.ask("holder l"), holder.ask("holder l"), "reading changes nothing");
    holder.ask("describe l second");
    assert_eq!(
        reader.ask("holder l"),
        format!("{} {uuid} second", holder.pid()),
        "a new description shows at once"
    );
    holder.ask("release l");
    assert_eq!(reader.ask("holder l"), "nobody");
    holder.ask("describe l third");
    holder.ask("lock l");
    assert_eq!(
        reader.ask("holder l"),
        format!("{} {uuid} third", holder.pid()),
        "a description of a free handle shows from its next hold"
    );
    holder.ask("release l");

    reader.ask("lock l");
    assert!(holder.ask("holder l").ends_with("reader"));
    reader.ask("release l");
    holder.ask("lock l");
    assert!(reader.ask("holder l").ends_with("third"), "a description stays from hold to hold");
}

fn ask_uuid(actor: &mut Actor) -> String {
    actor.ask("holder l").split_whitespace().nth(1).expect("pid, uuid, description").to_owned()
}

#[test]
fn a_description_of_63_bytes_is_read_whole_and_a_longer_one_is_refused() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut reader = actor!("{name}");
    let text = "ü".repeat(31) + "x";
    let lock = quietly(|| ShmLock::builder(&name).description(&text).open()).unwrap();
    let guard = lock.lock().unwrap();
    assert!(reader.ask("holder l").ends_with(&text));
    let longer = text.clone() + "x";
    assert!(matches!(lock.set_description(&longer), Err(Error::DescriptionTooLong { len: 64 })));
    assert!(reader.ask("holder l").ends_with(&text), "the refused description changed the record");
    assert!(matches!(
        ShmLock::builder(&name).description(&longer).open(),
        Err(Error::DescriptionTooLong { .. })
    ));
    drop(guard);
}

#[test]
fn the_holder_of_a_handles_own_hold_is_that_handle() {
    let fixture = Fixture::new();
    let lock = quietly(|| ShmLock::open(&fixture.name("l"))).unwrap();
    assert!(lock.holder().unwrap().is_none());
    assert_eq!(lock.fencing_token(), None);
    let guard = lock.lock().unwrap();
    let holder = lock.holder().unwrap().unwrap();
    assert_eq!(holder.uuid(), Some(lock.uuid()));
    assert_eq!((holder.pid(), holder.pid_is_ours()), (Some(std::process::id()), Some(true)));
    assert_eq!(lock.fencing_token(), guard.fencing_token());
    assert!(lock.status().unwrap().is_healthy());
}

#[test]
fn the_fencing_token_grows_with_every_acquisition_by_any_process() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut all = [actor!("{name}"), actor!("{name}"), actor!("{name}")];
    let mut last = 0;
    for round in 0..30 {
        let actor = &mut all[round * 7 % 3];
        actor.ask("lock l");
        let token: u64 = actor.ask("fence l").parse().unwrap();
        assert!(token > last, "{token} after {last}");
        last = token;
        assert_eq!(actor.ask("try l"), "true");
        assert_eq!(actor.ask("fence l"), token.to_string(), "nesting counted as an acquisition");
        actor.ask("force l");
        assert_eq!(actor.ask("fence l"), "0", "only the holder has a fencing token");
    }
    all[0].ask("lock l");
    all[0].kill();
    all[1].ask("lock l");
    assert!(
        all[1].ask("fence l").parse::<u64>().unwrap() > last + 1,
        "a dead owner's acquisition did not count"
    );
    all[1].ask("consistent l");
}

/// A reader sees the record of one holder or of none, never a mixture of two.
#[test]
fn a_holder_record_read_while_it_changes_is_never_a_mixture() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let rounds = rounds(20_000);
    let mut all = [actor!("{name} desc=left"), actor!("{name} desc=right")];
    let expected: Vec<(u32, &str)> = all.iter().map(Actor::pid).zip(["left", "right"]).collect();
    let reader = quietly(|| ShmLock::open(&name)).unwrap();
    let mut seen = 0_u32;
    let mut tokens = [None; 2];
    // On a busy machine the counting may end before the first read.
    while seen == 0 {
        let account = Account::new();
        for actor in &mut all {
            actor.tell(format_args!("count l {} {rounds} 3", account.path()));
        }
        account.meet(3);
        while account.count.load(Relaxed) < 2 * rounds {
            let Some(holder) = reader.holder().unwrap() else { continue };
            let Some(pid) = holder.pid() else { continue };
            let index =
                expected.iter().position(|&(other, _)| other == pid).expect("one of the two");
            assert_eq!(holder.description(), expected[index].1);
            let token = tokens[index].get_or_insert(holder.token());
            assert_eq!(*token, holder.token(), "the record is of another holder than the word");
            seen += 1;
        }
        for actor in &mut all {
            actor.done();
        }
        assert_eq!(account.balance(), 2 * rounds);
    }
}

#[test]
fn no_file_is_left_whichever_process_closes_last() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    for last in 0..3 {
        let mut all: Vec<Actor> = (0..3).map(|_| actor!("{name}")).collect();
        for actor in &mut all {
            actor.ask("lock l");
            actor.ask("release l");
        }
        for other in (0..3).filter(|other| *other != last) {
            all[other].ask("close l");
            assert_eq!(fixture.files().len(), 1, "removed while a process has it open");
        }
        all[last].ask("close l");
        assert!(fixture.files().is_empty());
    }
}
