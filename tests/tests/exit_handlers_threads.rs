//! Checks exit handlers in processes whose *other* threads hold the lock: these threads are stopped
//! before the lock is released.

use shmlock_tests::{Actor, Fixture, actor};

/// The options of a waiter that notices nothing by itself: only a wake ends its sleep.
const NEVER: &str = "poll=3600000";

/// Exit handlers that wait without bound: a thread that is to release may get no CPU for long.
const PATIENT: &str = "handlers all grace=3600000";

const SIGNALS: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Asserts that a handler released the lock to the waiter. Recovery by the kernel's proof would
/// name the dead owner.
fn acquires_from_handler(waiter: &mut Actor) {
    waiter.done();
    assert_eq!(waiter.ask("recovered l"), "somebody", "the critical section was cut short");
    waiter.ask("consistent l");
    waiter.ask("release l");
}

#[test]
fn a_lock_that_another_thread_holds_is_released() {
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
        acquires_from_handler(&mut waiter);
        process.ends_by(SIGNALS[round % 3]);
    }
}

#[test]
fn locks_of_several_threads_are_released_whichever_thread_gets_the_signal() {
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
        waiters.iter_mut().for_each(acquires_from_handler);
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
    let record = thread.ask("holder l");
    waiter.tell("lock l");
    thread.sees_a_waiter();
    process.tell("die exit");
    waiter.done();
    assert_eq!(waiter.ask("recovered l"), record);
    waiter.ask("consistent l");
    process.wait();
}

/// Ends a process by a signal while another of its threads holds the lock. Asserts that the
/// kernel's proof of death, not a handler, frees the lock.
fn assert_left_to_the_kernel(handlers: &str, options: &str) {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let (mut process, mut waiter) = (actor!(), actor!("{name}"));
    process.ask(handlers);
    let mut thread = process.thread();
    thread.ask(format_args!("open l {name} {options}"));
    thread.ask("lock l");
    let record = thread.ask("holder l");
    waiter.tell("lock l");
    thread.sees_a_waiter();
    process.signal(libc::SIGTERM);
    process.ends_by(libc::SIGTERM);
    waiter.done();
    assert_eq!(waiter.ask("recovered l"), record, "released before the end of the process");
    waiter.ask("consistent l");
}

#[test]
fn a_thread_that_blocks_the_signal_is_left_to_the_kernel() {
    assert_left_to_the_kernel("handlers all", "block=held");
}

#[test]
fn without_grace_the_other_threads_are_left_to_the_kernel() {
    assert_left_to_the_kernel("handlers all grace=0", "");
}
