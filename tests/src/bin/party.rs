//! One party of a ticket lock, in a process of its own.
//!
//! Usage: `party MEMORY NUMBER VISITS`; `VISITS` 0 goes on until it is killed. `party MEMORY NUMBER
//! die` acquires the lock, says so, and waits inside for its death.

use std::io::Read;
use std::{env, io};

use shmlock_core::contend::AssumeAlive;
use shmlock_tests::Shared;
use shmlock_tests::tickets::{Tickets, Yield};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [memory, number, visits] = &arguments[..] else { panic!("MEMORY NUMBER VISITS") };
    let tickets: Shared<Tickets> = Shared::open(memory);
    let lock = tickets.party(number.parse().expect("a number"));
    lock.recover().expect("at rest");
    if visits == "die" {
        lock.acquire(&mut Yield).expect("it does not give up");
        println!("inside");
        let _ = io::stdin().read(&mut [0]);
        panic!("it is killed before");
    }
    let visits: u64 = visits.parse().expect("a number");
    let mut visited = 0;
    while visits == 0 || visited < visits {
        tickets.visit(&lock, &mut AssumeAlive);
        visited += 1;
    }
}
