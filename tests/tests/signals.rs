//! Checks signals that arrive while the lock is acquired, waited for, held and released.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use shmlock_tests::{Account, Actor, Fixture, actor, rounds, until};

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

/// Runs an actor that counts together with others, while a signal handler tries the actor's own
/// handle. Ends when the handler has both acquired and failed often, or sometimes on a slow
/// machine.
fn reenter(options: &str, others: u64) {
    const ROUNDS: u64 = 4_000;
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let account = Account::new();
    let mut actor = actor!("{name} {options}");
    let mut others: Vec<Actor> = (0..others).map(|_| actor!("{name}")).collect();
    let all = 1 + others.len() as u64;
    let count = format!("count l {} {ROUNDS} {all}", account.path());
    actor.ask(format_args!("reenter l {}", libc::SIGUSR1));
    let enough = (1..5_000).any(|tries| {
        account.met.store(0, Relaxed);
        for other in &mut others {
            other.tell(&count);
        }
        assert_eq!(actor.under_fire(libc::SIGUSR1, |actor| actor.ask(&count)), "0");
        for other in &mut others {
            assert_eq!(other.done(), "0");
        }
        assert_eq!(account.balance(), all * ROUNDS * tries, "the handler broke the exclusion");
        assert!(actor.ask("check l").contains("recoveries=0"), "a living process was judged dead");
        let [acquired, refused, errors] = numbers(&actor.ask("reentered"));
        assert_eq!(errors, 0);
        u64::from(acquired) > rounds(20) && u64::from(refused) > rounds(5)
    });
    drop((actor, others));
    fixture.visit(&name); // the handler's handle was never closed
    assert!(enough, "the handler never ran at the moments under test");
}

fn numbers<const N: usize>(answer: &str) -> [u32; N] {
    let numbers: Vec<u32> = answer.split(' ').map(|number| number.parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

#[test]
fn a_handler_that_tries_the_interrupted_lock_corrupts_nothing() {
    for (options, others) in
        [("block=never", 0), ("block=never", 1), ("block=held", 0), ("wait=poll poll=1", 1)]
    {
        reenter(options, others);
    }
}

/// The number of signals in each phase, with SIGTERM unblocked (0) and blocked (1).
#[derive(Debug)]
struct Samples {
    free: [u32; 2],
    acquiring: [u32; 2],
    holding: [u32; 2],
    releasing: [u32; 2],
}

/// Sends signals to an actor that acquires and releases the lock, until `enough` is satisfied.
fn sample(options: &str, enough: impl Fn(&Samples) -> bool) -> Samples {
    let fixture = Fixture::new();
    let mut actor = actor!("{} {options}", fixture.name("l"));
    let command = |rounds| format!("sample l {rounds} {}", libc::SIGUSR1);
    actor.ask(command(0)); // installs the handler
    for _ in 0..5_000 {
        let answer = actor.under_fire(libc::SIGUSR1, |actor| actor.ask(command(2_000)));
        let [
            free,
            free_blocked,
            acquiring,
            acquiring_blocked,
            holding,
            holding_blocked,
            releasing,
            releasing_blocked,
        ] = numbers(&answer);
        let found = Samples {
            free: [free, free_blocked],
            acquiring: [acquiring, acquiring_blocked],
            holding: [holding, holding_blocked],
            releasing: [releasing, releasing_blocked],
        };
        if enough(&found) {
            return found;
        }
    }
    panic!("no signal came at the moments under test");
}

#[test]
fn with_block_transitions_signals_are_blocked_only_during_acquisition_and_release() {
    let found = sample("block=transitions", |found| {
        found.acquiring[1] > 0 && found.releasing[1] > 0 && found.holding[0] > 0
    });
    assert_eq!((found.holding[1], found.free[1]), (0, 0), "{found:?}");
}

#[test]
fn with_block_held_signals_are_blocked_throughout_the_critical_section() {
    let found = sample("block=held", |found| {
        found.acquiring[1] > 0 && found.releasing[1] > 0 && found.holding[1] > 0
    });
    assert_eq!((found.holding[0], found.free[1]), (0, 0), "{found:?}");
}

#[test]
fn with_block_never_signals_are_never_blocked() {
    let found = sample("block=never", |found| {
        found.acquiring[0] > 0 && found.releasing[0] > 0 && found.holding[0] > 0
    });
    assert_eq!(
        [found.free[1], found.acquiring[1], found.holding[1], found.releasing[1]],
        [0; 4],
        "{found:?}"
    );
}
