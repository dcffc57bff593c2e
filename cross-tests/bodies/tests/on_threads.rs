//! Runs the bodies, which the bare machines run, on threads.

use std::thread;

use shmlock_bodies::{Arena, BODIES, Member, control};

const ROUNDS: u32 = 20_000;

/// Calls `run` on several threads at the same time, and returns the results.
fn on_threads<T: Send>(members: u32, run: impl Fn(&mut Member<'_>) -> T + Sync) -> Vec<T> {
    let arena = Arena::new();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..members)
            .map(|index| {
                let (arena, run) = (&arena, &run);
                scope.spawn(move || {
                    let mut member = arena.member(index, members, thread::yield_now);
                    let result = run(&mut member);
                    member.leave();
                    result
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a body has panicked")).collect()
    })
}

#[test]
fn every_body_passes_on_one_two_and_four_threads() {
    for members in [1, 2, 4] {
        for body in BODIES {
            on_threads(members, |member| (body.run)(member, ROUNDS));
            println!("{members} threads: {}", body.name);
        }
        // One after the other on one arena, as firmware runs them.
        on_threads(members, |member| {
            BODIES.iter().for_each(|body| (body.run)(member, ROUNDS / 10))
        });
    }
}

#[test]
fn the_same_test_detects_a_broken_lock() {
    if thread::available_parallelism().is_ok_and(|cores| cores.get() < 2) {
        return; // on one core the broken lock may pass for long
    }
    let detected = on_threads(4, |member| control(member, 100_000, 1_000));
    assert!(detected.iter().all(Option::is_some), "not detected: {detected:?}");
}
