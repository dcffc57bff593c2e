//! Checks the ticket lock among processes on one mapped file: nothing is lost, and a party that is
//! killed at any moment is recovered by itself, by a proof of its death, or by a supervisor.

use std::io::{BufRead, BufReader};
use std::num::NonZeroU16;
use std::process::{Child, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use shmlock_core::Token;
use shmlock_core::contend::{AssumeAlive, Liveness};
use shmlock_core::fence::InnerShareable;
use shmlock_tests::tickets::{PARTIES, Tickets};
use shmlock_tests::{Fixture, Shared, command, rounds, start};

fn spawn(tickets: &Shared<Tickets>, number: u16, visits: &str) -> Child {
    let mut command = command(env!("CARGO_BIN_EXE_party"));
    command.arg(tickets.path()).arg(number.to_string()).arg(visits);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    start(&mut command).expect("a process")
}

/// Kills a party and waits for its end.
fn kill(mut party: Child) {
    party.kill().expect("it has not been waited for");
    party.wait().expect("it ends");
}

/// Waits until a party has visited the critical section this often.
fn until_visited(tickets: &Tickets, number: usize, visits: u64) {
    while tickets.visits[number - 1].load(Relaxed) < visits {
        thread::yield_now();
    }
}

/// Proof that some parties are dead: their processes have been waited for.
struct Ended<'d>(&'d [u16]);

impl Liveness for Ended<'_> {
    fn while_dead<R>(&mut self, owner: Token, act: impl FnOnce() -> R) -> Option<R> {
        self.0.iter().any(|&number| u32::from(number) == owner.get()).then(act)
    }
}

#[test]
fn three_processes_lose_no_count_under_a_ticket_lock() {
    let _fixture = Fixture::new();
    let tickets = Shared::<Tickets>::new();
    let visits = rounds(20_000);
    let numbers = 1..=u16::try_from(PARTIES).expect("few");
    let parties: Vec<Child> =
        numbers.map(|number| spawn(&tickets, number, &visits.to_string())).collect();
    for mut party in parties {
        assert!(party.wait().expect("it ends").success());
    }
    assert_eq!(tickets.visited(), tickets.counted());
    assert!(tickets.visits.iter().all(|visits| visits.load(Relaxed) > 0), "{tickets:?}");
    assert_eq!(tickets.repairs.load(Relaxed), 0);
    assert_eq!(tickets.region().acquisitions(), tickets.counted());
}

/// Party 1 is this process. Parties 2 and 3 are killed again and again, and come back.
#[test]
fn parties_that_are_killed_anywhere_and_come_back_lose_nothing() {
    let _fixture = Fixture::new();
    let tickets = Shared::<Tickets>::new();
    let lock = tickets.party(1);
    let mut deaths = 0;
    for round in 1..=rounds(40) {
        let parties = [2, 3].map(|number| spawn(&tickets, number, "0"));
        for number in [2, 3] {
            let before = tickets.visits[number - 1].load(Relaxed);
            // Each round, the kill comes after another number of visits.
            while tickets.visits[number - 1].load(Relaxed) < before + 1 + round % 7 {
                tickets.visit(&lock, &mut AssumeAlive);
            }
        }
        let [two, three] = parties;
        kill(two);
        kill(three);
        deaths += 2;
        // The handles of their next lives clear their lines.
        for number in [2, 3] {
            let back = tickets.party(number);
            back.recover().expect("at rest");
        }
        tickets.visit(&lock, &mut AssumeAlive);
    }
    // A party that died inside may have counted, and may lack the visit.
    assert!(tickets.counted() >= tickets.visited());
    assert!(tickets.counted() <= tickets.visited() + deaths);
    assert!(tickets.repairs.load(Relaxed) <= deaths);
    assert!(lock.region().holder().is_none());
}

#[test]
fn a_party_that_was_killed_inside_and_comes_back_is_told() {
    let _fixture = Fixture::new();
    let tickets = Shared::<Tickets>::new();
    let mut two = spawn(&tickets, 2, "die");
    let mut line = String::new();
    BufReader::new(two.stdout.take().expect("piped")).read_line(&mut line).expect("it says so");
    assert_eq!(line, "inside\n");
    let one = tickets.party(1);
    assert!(one.try_lock().expect("at rest").is_none());
    assert_eq!(one.holder().map(|holder| holder.token.get()), Some(2));
    kill(two);
    assert!(one.try_lock().expect("at rest").is_none());
    let mut back = spawn(&tickets, 2, "1");
    assert!(back.wait().expect("it ends").success());
    assert_eq!(tickets.repairs.load(Relaxed), 1);
    assert!(!one.try_lock().expect("at rest").expect("free").owner_died());
}

#[test]
fn survivors_pass_a_killed_party_by_proof_and_others_by_its_burial() {
    let _fixture = Fixture::new();
    let tickets = Shared::<Tickets>::new();
    let mut two = spawn(&tickets, 2, "die");
    let mut line = String::new();
    BufReader::new(two.stdout.take().expect("piped")).read_line(&mut line).expect("it says so");
    kill(two);
    tickets.visit(&tickets.party(1), &mut Ended(&[2]));
    assert_eq!(tickets.repairs.load(Relaxed), 1);
    // A process without proof waits for it. It starts only now: first come, first served, so the
    // visit above would wait behind it.
    let three = spawn(&tickets, 3, "0");
    assert_eq!(tickets.visits[2].load(Relaxed), 0);
    let two = NonZeroU16::new(2).expect("not zero");
    let buried = tickets.region().bury(two, InnerShareable, &mut Ended(&[2]));
    assert_eq!(buried, Ok(true));
    until_visited(&tickets, 3, 100);
    // It comes back among them.
    let back = spawn(&tickets, 2, "0");
    until_visited(&tickets, 2, 100);
    kill(back);
    kill(three);
    tickets.visit(&tickets.party(1), &mut Ended(&[2, 3]));
    assert!(tickets.counted() <= tickets.visited() + 3);
}
