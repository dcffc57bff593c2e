//! Checks signals that arrive while the lock is acquired, waited for, held and released.

use std::time::{Duration, Instant};

use shmlock_tests::{Actor, Fixture, actor, until};

const ENDING: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];
const ALL: &str = "HUP INT TERM";
/// Far more than any scheduling delay.
const MUCH: Duration = Duration::from_secs(30);

fn noted(actor: &mut Actor) -> [String; 3] {
    ENDING.map(|signal| actor.ask(format_args!("noted {signal}")))
}

/// Starts an actor that notes the ending signals.
fn noting(open: &str) -> Actor {
    let mut actor = actor!("{open}");
    for signal in ENDING {
        actor.ask(format_args!("note {signal}"));
    }
    actor
}

#[test]
fn signals_that_arrive_in_the_critical_section_are_all_delivered_after_it() {
    let fixture = Fixture::new();
    let mut actor = noting(&format!("{} block=held", fixture.name("l")));
    for (round, (acquire, release)) in [
        ("lock l", "release l"),
        ("guard l", "unguard"),
        ("try l", "force l"),
        ("for l 0", "close l"),
    ]
    .into_iter()
    .enumerate()
    {
        actor.ask(acquire);
        assert_eq!(actor.ask("blocked"), ALL);
        for signal in ENDING {
            actor.signal(signal);
        }
        assert_eq!(
            noted(&mut actor),
            [round.to_string(), round.to_string(), round.to_string()],
            "{acquire}"
        );
        actor.ask(release);
        assert_eq!(actor.ask("blocked"), "");
        let next = (round + 1).to_string();
        assert_eq!(noted(&mut actor), [next.clone(), next.clone(), next], "{release}");
    }
}

#[test]
fn a_process_that_gets_an_ending_signal_finishes_its_critical_section_first() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    for signal in ENDING {
        let (mut holder, mut waiter) = (actor!("{name} block=held"), actor!("{name} poll=3600000"));
        holder.ask("lock l");
        waiter.tell("lock l");
        holder.sees_a_waiter();
        holder.signal(signal);
        assert_eq!(holder.ask("held l"), "true", "the owner lost its hold");
        holder.tell("release l");
        waiter.done();
        assert_eq!(waiter.ask("recovered l"), "no");
        holder.ends_by(signal);
    }
}

#[test]
fn only_the_outermost_release_unblocks_the_signals() {
    let fixture = Fixture::new();
    let mut actor = noting(&format!("{} block=held", fixture.name("l")));
    actor.ask("lock l");
    actor.ask("guard l");
    actor.ask("try l");
    actor.signal(libc::SIGTERM);
    for release in ["release l", "unguard"] {
        actor.ask(release);
        assert_eq!(actor.ask("blocked"), ALL, "{release}");
        assert_eq!(noted(&mut actor), ["0", "0", "0"], "{release}");
    }
    actor.ask("release l");
    assert_eq!(noted(&mut actor), ["0", "1", "0"]);
}

#[test]
fn a_thread_other_than_the_first_blocks_signals_too() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut actor = noting(&name);
    let mut thread = actor.thread();
    thread.ask(format_args!("open l {name} block=held"));
    thread.ask("lock l");
    assert_eq!(thread.ask("blocked"), ALL);
    assert_eq!(actor.ask("blocked"), "", "the mask of another thread was changed");
    for signal in ENDING {
        thread.ask(format_args!("raise {signal}")); // to that thread alone
    }
    assert_eq!(noted(&mut actor), ["0", "0", "0"]);
    actor.signal(libc::SIGTERM); // to the process: another thread takes it
    until(|| noted(&mut actor) == ["0", "1", "0"]);
    thread.ask("release l");
    assert_eq!(thread.ask("blocked"), "");
    assert_eq!(noted(&mut actor), ["1", "2", "1"]);
}

#[test]
fn a_release_restores_the_mask_from_before_the_acquisition() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    for block in ["held", "transitions"] {
        let mut actor = actor!("{name} block=held");
        actor.ask(format_args!("open m {} block={block}", fixture.name("m")));
        actor.ask("lock l");
        actor.ask("lock m");
        actor.ask("release m");
        assert_eq!(actor.ask("blocked"), ALL, "the outer critical section still runs");
        actor.ask("release l");
        assert_eq!(actor.ask("blocked"), "");
    }
}

#[test]
fn overlapping_critical_sections_block_signals_until_the_last_one_ends() {
    let fixture = Fixture::new();
    let mut actor = noting(&format!("{} block=held", fixture.name("l")));
    actor.ask(format_args!("open m {} block=held", fixture.name("m")));
    actor.ask("lock l");
    actor.ask("lock m");
    actor.signal(libc::SIGTERM);
    actor.ask("release l"); // not the lock that was acquired last
    assert_eq!(actor.ask("blocked"), ALL, "the other critical section still runs");
    assert_eq!(noted(&mut actor), ["0", "0", "0"]);
    actor.ask("release m");
    assert_eq!(actor.ask("blocked"), "");
    assert_eq!(noted(&mut actor), ["0", "1", "0"]);
}

#[test]
fn signals_are_not_blocked_during_a_wait() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut holder = actor!("{name}");
    holder.ask("lock l");
    for block in ["never", "transitions", "held"] {
        let mut waiter = actor!("{name} poll=3600000 block={block}");
        let mut clock = waiter.thread();
        waiter.ask("note 15");
        waiter.tell("lock l");
        holder.sees_a_waiter();
        waiter.signal(libc::SIGTERM);
        until(|| clock.ask("noted 15") == "1");
        drop(clock);
        holder.ask("release l");
        waiter.done();
        waiter.ask("release l");
        assert_eq!(waiter.ask("blocked"), "");
        holder.ask("lock l");
    }
}

#[test]
fn a_waiter_that_blocks_signals_can_be_terminated() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut holder = actor!("{name}");
    for block in ["transitions", "held"] {
        holder.ask("lock l");
        let mut waiter = actor!("{name} poll=3600000 block={block}");
        waiter.tell("lock l");
        holder.sees_a_waiter();
        waiter.signal(libc::SIGTERM);
        waiter.ends_by(libc::SIGTERM);
        holder.ask("release l");
    }
    assert!(holder.ask("check l").contains("recoveries=0"));
}

#[test]
fn a_failed_attempt_leaves_the_mask_unchanged() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut holder = actor!("{name}");
    holder.ask("lock l");
    for block in ["transitions", "held"] {
        let mut other = actor!("{name} block={block}");
        assert_eq!(other.ask("try l"), "false");
        assert_eq!(other.ask("blocked"), "");
        assert_eq!(other.refuse("for l 5"), "TimedOut");
        assert_eq!(other.ask("blocked"), "");
    }
}

#[test]
fn repeated_signals_neither_lengthen_nor_shorten_a_wait() {
    const WAIT: Duration = Duration::from_millis(500);
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut holder = actor!("{name}");
    holder.ask("lock l");
    for options in [
        "wait=futex",
        "wait=poll",
        "wait=futex block=held",
        "wait=poll poll=3600000 block=transitions",
    ] {
        let mut waiter = noting(&format!("{name} {options}"));
        let began = Instant::now();
        let failed = waiter.under_fire(libc::SIGTERM, |waiter| waiter.refuse("for l 500"));
        let took = began.elapsed();
        assert_eq!(failed, "TimedOut");
        assert!(took >= WAIT && took < MUCH, "{options}: {took:?}");
        assert!(
            waiter.ask("noted 15").parse::<u32>().unwrap() > 0,
            "{options}: no signal was handled"
        );
    }
}
