//! Runs one party of a ticket lock, in a process of its own.
//!
//! Usage: `party MEMORY NUMBER VISITS`; it makes fewer if the time is over before. With 0 `VISITS`
//! it goes on until it is killed. `party MEMORY NUMBER die` acquires the lock, says so, and waits
//! inside for its death. With `uncached` as a fourth word, it opens the lock as the uncached memory
//! of a device.

#![allow(unsafe_code, reason = "the caller of a lock in mapped memory promises what it is")]

use std::io::Read;
use std::num::NonZeroU16;
use std::time::Instant;
use std::{env, io};

use shmlock::remote::{Memory, PhysicalRegion};
use shmlock_core::TicketLock;
use shmlock_core::contend::AssumeAlive;
use shmlock_core::fence::Fence;
use shmlock_core::ticket::layout::ticket_len;
use shmlock_tests::Shared;
use shmlock_tests::tickets::{PARTIES, Tickets, Yield};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [memory, number, visits, kind @ ..] = &arguments[..] else {
        panic!("MEMORY NUMBER VISITS")
    };
    let tickets: Shared<Tickets> = Shared::open(memory);
    let number: NonZeroU16 = number.parse().expect("a number from 1 on");
    if kind.is_empty() {
        run(&tickets, &tickets.party(number.get()), visits);
    } else {
        assert_eq!(kind, ["uncached"]);
        let memory = PhysicalRegion::open(memory, 0, ticket_len(PARTIES), Memory::Uncached);
        let memory = memory.expect("it is mapped");
        // SAFETY: all users of the file access these bytes as this lock.
        let lock = unsafe { memory.ticket_lock(number) }.expect("one of the parties");
        run(&tickets, &lock, visits);
    }
}

fn run(tickets: &Tickets, lock: &TicketLock<'_, PARTIES, impl Fence>, visits: &str) {
    lock.recover().expect("at rest");
    if visits == "die" {
        lock.acquire(&mut Yield).expect("it does not give up");
        println!("inside");
        let _ = io::stdin().read(&mut [0]);
        panic!("it is killed before");
    }
    let visits: u64 = visits.parse().expect("a number");
    let (begin, mut visited) = (Instant::now(), 0);
    loop {
        tickets.visit(lock, &mut AssumeAlive);
        visited += 1;
        if visits != 0 && (visited >= visits || tickets.end_in_time(begin)) {
            break;
        }
    }
}
