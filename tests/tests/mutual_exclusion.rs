//! Checks that at most one process or thread holds the lock at any time, with every way of waiting.

use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use shmlock::{ShmLock, WaitStrategy};
use shmlock_tests::{Account, Actor, Fixture, actor, quietly, until};

/// Runs one counting process for each entry of `options`, all under one lock.
fn count_together(options: &[&str], rounds: u64) {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let account = Account::new();
    let mut all: Vec<Actor> = options.iter().map(|options| actor!("{name} {options}")).collect();
    let count = format!("count l {} {rounds} {}", account.path(), all.len());
    for actor in &mut all {
        actor.tell(&count);
    }
    for actor in &mut all {
        assert_eq!(actor.done(), "0", "a process gave up");
    }
    assert_eq!(account.balance(), rounds * all.len() as u64);
}

#[test]
fn two_processes_lose_no_count() {
    count_together(&[""; 2], 20_000);
}

#[test]
fn eight_processes_lose_no_count() {
    count_together(&[""; 8], 3_000);
}

#[test]
fn fifteen_processes_lose_no_count() {
    count_together(&[""; 15], 1_000);
}

#[test]
fn sleep_polling_processes_lose_no_count() {
    count_together(&["wait=poll poll=1"; 2], 2_000);
    count_together(&["wait=poll poll=1"; 8], 300);
}

#[test]
fn processes_that_wait_in_different_ways_lose_no_count() {
    let ways = ["wait=futex", "wait=poll poll=1", "wait=futex poll=1", "wait=poll poll=2"];
    count_together(&ways.repeat(2), 500);
}

/// No waiter notices anything by itself here: a lost wake is a hang.
#[test]
fn processes_that_sleep_until_they_are_woken_lose_no_wake() {
    count_together(&["poll=3600000"; 2], 20_000);
    count_together(&["poll=3600000"; 8], 2_000);
}

/// A waiter that gives up may have used a wake that another waiter needs. That shows only at the
/// end, when no process is left to release again. So the test has many ends: half with the lock
/// free, half with an owner that keeps it.
#[test]
fn processes_that_give_up_take_no_wake_from_the_others() {
    const PATIENT: u64 = 60;
    const HASTY: u64 = 120;
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut holder = actor!("{name} poll=3600000");
    let mut patient = actor!("{name} poll=3600000");
    let mut hasty: Vec<Actor> = (0..3).map(|_| actor!("{name} poll=3600000")).collect();
    for round in 0..200 {
        let account = Account::new();
        holder.tell(format_args!("count l {} {PATIENT} 5", account.path()));
        patient.tell(format_args!("count l {} {PATIENT} 5", account.path()));
        for actor in &mut hasty {
            actor.tell(format_args!("count l {} {HASTY} 5 0.02", account.path()));
        }
        let owner_stays = round % 2 == 0;
        if owner_stays {
            holder.tell("lock l");
        }
        let failures: u64 =
            hasty.iter_mut().map(|actor| actor.done().parse::<u64>().unwrap()).sum();
        let expected = 2 * PATIENT + 3 * HASTY - failures;
        holder.done();
        if owner_stays {
            holder.done();
            until(|| {
                account.count.load(Relaxed) == expected
                    || holder.ask("check l").contains("waiters=true")
            });
            holder.ask("release l");
        }
        patient.done();
        assert_eq!(account.balance(), expected);
    }
}

#[test]
fn processes_that_block_signals_lose_no_count() {
    count_together(&["block=held", "block=transitions", "block=never", "block=held"], 1_000);
}

/// Runs counting threads, each with its own clone of one handle.
fn count_in_threads(strategy: WaitStrategy, threads: u64, rounds: u64) {
    let fixture = Fixture::new();
    let account = Account::new();
    let builder = ShmLock::builder(&fixture.name("l"))
        .wait_strategy(strategy)
        .poll_interval(Duration::from_millis(1));
    let lock = quietly(|| builder.open()).unwrap();
    thread::scope(|scope| {
        for me in 1..=threads {
            let (lock, account) = (quietly(|| lock.try_clone()).unwrap(), &account);
            scope.spawn(move || {
                account.meet(threads);
                for round in 0..rounds {
                    let guard = lock.lock().unwrap();
                    account.section(me, round, guard.recovered().is_some());
                }
            });
        }
    });
    assert_eq!(account.balance(), threads * rounds);
    assert_eq!(lock.status().unwrap().recoveries, 0, "a living thread was judged dead");
}

#[test]
fn threads_of_one_process_lose_no_count() {
    count_in_threads(WaitStrategy::Futex, 8, 2_000);
}

#[test]
fn sleep_polling_threads_lose_no_count() {
    count_in_threads(WaitStrategy::SleepPolling, 4, 500);
}

#[test]
fn threads_of_several_processes_lose_no_count() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let account = Account::new();
    let mut processes: Vec<Actor> = (0..3).map(|_| actor!()).collect();
    let mut threads: Vec<_> =
        processes.iter_mut().flat_map(|process| [process.thread(), process.thread()]).collect();
    for thread in &mut threads {
        thread.ask(format_args!("open l {name}"));
        thread.tell(format_args!("count l {} 2000 6", account.path()));
    }
    for thread in &mut threads {
        thread.done();
    }
    assert_eq!(account.balance(), 12_000);
}

/// The negative control: the account shows missing exclusion.
#[test]
fn without_the_lock_counts_are_lost() {
    const ROUNDS: u64 = 20_000;
    let _fixture = Fixture::new();
    let mut all = [actor!(), actor!()];
    let lost = (0..200).any(|_| {
        let account = Account::new();
        let count = format!("count - {} {ROUNDS} 2", account.path());
        for actor in &mut all {
            actor.tell(&count);
        }
        for actor in &mut all {
            actor.done();
        }
        account.count.load(Relaxed) < 2 * ROUNDS && account.collisions.load(Relaxed) > 0
    });
    assert!(lost, "the account does not show missing exclusion");
}

#[test]
fn a_held_lock_is_refused_to_every_other_handle() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let (mut holder, mut other) = (actor!("{name}"), actor!("{name}"));
    let mut thread = holder.thread();
    thread.ask(format_args!("open l {name}"));
    holder.ask("lock l");
    for other in [&mut *other, &mut *thread] {
        assert_eq!(other.ask("try l"), "false");
        assert_eq!(other.refuse("for l 0"), "TimedOut");
        assert_eq!(other.refuse("for l 1"), "TimedOut");
        assert_eq!(other.refuse("release l"), "NotHeld");
        assert_eq!(other.ask("force l"), "false");
        assert_eq!(other.ask("locked l"), "true");
        assert_eq!(other.ask("held l"), "false");
    }
    assert_eq!(holder.ask("held l"), "true");
    holder.ask("release l");
    assert_eq!(other.ask("try l"), "true");
    assert_eq!(thread.ask("try l"), "false");
}
