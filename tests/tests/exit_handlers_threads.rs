//! Processes with exit handlers whose *other* threads hold the lock: they have to be stopped before
//! it is given back.

use shmlock_tests::{Actor, Fixture, actor};

/// Waiters that notice nothing by themselves: only a wake gets them on.
const NEVER: &str = "poll=3600000";

/// Exit handlers that wait as long as it takes: a thread that is to give its lock back may find no
/// processor for long.
const PATIENT: &str = "handlers all grace=3600000";

const SIGNALS: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// The waiter has it, from a handler and not by the kernel's proof: that would name the dead.
fn was_let_in(waiter: &mut Actor) {
    waiter.done();
    assert_eq!(waiter.ask("recovered l"), "somebody", "the section was cut short");
    waiter.ask("consistent l");
    waiter.ask("release l");
}

#[test]
fn what_another_thread_holds_is_given_back_too() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    for round in 0..40 {
        let (mut process, mut waiter) = (actor!(), actor!("{name} {NEVER}"));
        process.ask(PATIENT);
        let mut thread = process.thread();
        thread.ask(format_args!("open l {name}"));
        thread.ask("lock l");
        waiter.tell("lock l");
        thread.sees_a_waiter();
        process.signal(SIGNALS[round % 3]);
        was_let_in(&mut waiter);
        process.ends_by(SIGNALS[round % 3]);
    }
}

#[test]
fn what_several_threads_hold_is_given_back_whichever_of_them_is_hit() {
    let fixture = Fixture::new();
    let names = [fixture.name("a"), fixture.name("b"), fixture.name("c")];
    for hit in 0..names.len() {
        let mut process = actor!();
        process.ask(PATIENT);
        let mut threads = Vec::new();
        let mut waiters = Vec::new();
        for name in &names {
            let mut thread = process.thread();
            thread.ask(format_args!("open l {name}"));
            thread.ask("lock l");
            let mut waiter = actor!("{name} {NEVER}");
            waiter.tell("lock l");
            thread.sees_a_waiter();
            threads.push(thread);
            waiters.push(waiter);
        }
        threads[hit].tell("raise 15"); // to that thread alone
        waiters.iter_mut().for_each(was_let_in);
        process.ends_by(libc::SIGTERM);
    }
}

#[test]
fn a_process_that_calls_exit_leaves_its_other_threads_locks_to_the_kernel() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let (mut process, mut waiter) = (actor!(), actor!("{name}"));
    process.ask("handlers all");
    let mut thread = process.thread();
    thread.ask(format_args!("open l {name}"));
    thread.ask("lock l");
    let who = thread.ask("holder l");
    waiter.tell("lock l");
    thread.sees_a_waiter();
    process.tell("die exit");
    waiter.done();
    assert_eq!(waiter.ask("recovered l"), who);
    waiter.ask("consistent l");
    process.wait();
}

/// Ends a process by a signal whose other thread holds the lock and is not to give it back.
fn leaves_it_to_the_kernel(handlers: &str, options: &str) {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let (mut process, mut waiter) = (actor!(), actor!("{name}"));
    process.ask(handlers);
    let mut thread = process.thread();
    thread.ask(format_args!("open l {name} {options}"));
    thread.ask("lock l");
    let who = thread.ask("holder l");
    waiter.tell("lock l");
    thread.sees_a_waiter();
    process.signal(libc::SIGTERM);
    process.ends_by(libc::SIGTERM);
    waiter.done();
    assert_eq!(waiter.ask("recovered l"), who, "its section went on until the end of the process");
    waiter.ask("consistent l");
}

#[test]
fn a_thread_that_blocks_the_signal_is_left_to_the_kernel() {
    leaves_it_to_the_kernel("handlers all", "block=held");
}

#[test]
fn without_grace_the_other_threads_are_left_to_the_kernel() {
    leaves_it_to_the_kernel("handlers all grace=0", "");
}
