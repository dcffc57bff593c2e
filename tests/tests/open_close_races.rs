//! Checks processes that create and remove the file in a loop: a name never leads to two locks, and
//! no file is left.

use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use shmlock::{ExitEvent, ShmLock};
use shmlock_tests::{
    Account, Actor, Fixture, Peer, Voice, actor, quietly, rounds, rounds_in_time, until,
};

/// Waits for the end of a churn; returns the number of its rounds.
fn rounds_of(process: &mut Voice) -> u64 {
    process.done().parse().expect("a number")
}

/// Runs processes that open, count and close together. Each checks that its file still has its
/// name.
///
/// Two files of one name show in three ways: two processes in the critical section at one time, a
/// lost count, or a file without a name.
fn churn_together(actors: u64, full: u64, tide: &str) {
    let rounds = rounds(full);
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let account = Account::new();
    let mut all: Vec<Actor> = (0..actors).map(|_| actor!()).collect();
    for actor in &mut all {
        actor.tell(format_args!("churn {name} {} {rounds} {actors} {tide}", account.path()));
    }
    let made: Vec<u64> = all.iter_mut().map(|actor| rounds_of(actor)).collect();
    assert_eq!(account.balance(), made.iter().sum::<u64>());
    assert_eq!(account.recoveries.load(Relaxed), 0, "a living process was judged dead");
    let births = account.births.load(Relaxed);
    assert!(births > 0, "no file was created");
    if !tide.is_empty() {
        assert!(made.iter().all(|one| *one == made[0]), "not in step: {made:?}");
        assert!(births >= made[0], "too few files were created: {births} in {made:?}");
    }
    assert!(fixture.files().is_empty(), "a file is left after the last close");
}

#[test]
fn two_processes_that_open_and_close_share_one_lock() {
    churn_together(2, 5_000, "");
}

#[test]
fn eight_processes_that_open_and_close_share_one_lock() {
    churn_together(8, 2_000, "");
}

#[test]
fn two_processes_that_open_and_close_in_step_create_a_new_file_each_time() {
    churn_together(2, 2_000, "tide");
}

#[test]
fn eight_processes_that_open_and_close_in_step_create_a_new_file_each_time() {
    churn_together(8, 2_000, "tide");
}

#[test]
fn threads_that_open_and_close_share_one_lock() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let account = Account::new();
    let rounds = rounds(1_000);
    let mut process = actor!();
    let mut threads: Vec<Peer> = (0..4).map(|_| process.thread()).collect();
    for thread in &mut threads {
        thread.tell(format_args!("churn {name} {} {rounds} 4", account.path()));
    }
    let made: u64 = threads.iter_mut().map(|thread| rounds_of(thread)).sum();
    assert_eq!(account.balance(), made);
    assert!(fixture.files().is_empty());
}

#[test]
fn the_traces_of_killed_processes_are_cleaned_up_by_the_others() {
    const CHILDREN: usize = 8;
    const KILLS: u64 = 200;
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let account = Account::new();
    let mut parent = actor!();
    let churn = format!("churn {name} {} 0 0", account.path());
    let start = |parent: &mut Actor| {
        let mut child = parent.fork();
        child.tell(&churn);
        child
    };
    let mut children: Vec<Peer> = (0..CHILDREN).map(|_| start(&mut parent)).collect();
    for (kill, victim) in rounds_in_time(KILLS).zip((0..CHILDREN).cycle()) {
        let before = account.rounds.load(Relaxed);
        until(|| account.rounds.load(Relaxed) > before + kill % 13);
        for _ in 0..kill % 17 {
            thread::yield_now();
        }
        let victim = &mut children[victim];
        victim.signal(libc::SIGKILL);
        assert_eq!(
            parent.ask(format_args!("reap {}", victim.number())),
            "signal 9",
            "it ended by itself"
        );
        *victim = start(&mut parent);
    }
    account.stop.store(1, Relaxed);
    for child in &mut children {
        child.done();
    }
    let _ = account.balance();
    assert!(account.rounds.load(Relaxed) > 0);
    // The last process that was killed may have been the last user, or the last owner.
    let next = quietly(|| ShmLock::open(&name)).unwrap();
    let guard = next.lock().unwrap();
    if guard.recovered().is_some() {
        guard.declare_consistent().unwrap();
    }
    drop(guard);
    drop(next);
    assert!(fixture.files().is_empty(), "the next last close did not remove the file");
}

#[test]
fn named_events_that_are_opened_and_closed_together_are_one_event() {
    let fixture = Fixture::new();
    let name = fixture.name("e");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..rounds(500) {
                    let one = quietly(|| ExitEvent::named(&name)).unwrap();
                    let same = quietly(|| ExitEvent::named(&name)).unwrap();
                    one.set().unwrap();
                    assert!(same.is_set().unwrap(), "one name led to two events");
                }
            });
        }
    });
    assert!(fixture.files().is_empty());
}
