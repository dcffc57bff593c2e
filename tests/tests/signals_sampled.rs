//! Checks signals that hit the transitions of a lock: what a handler may do there, and when signals
//! are blocked.

use std::sync::atomic::Ordering::Relaxed;

use shmlock_tests::{Account, Actor, Fixture, actor, rounds};

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
