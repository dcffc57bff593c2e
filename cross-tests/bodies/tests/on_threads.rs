//! The bodies on threads: what the bare machines run, on the machine at hand.

use std::thread;

use shmlock_bodies::{Arena, BODIES, Member, control};

const ROUNDS: u32 = 20_000;

/// Runs the same on several threads at once; gives back what each says.
fn on_threads<T: Send>(members: u32, run: impl Fn(&mut Member<'_>) -> T + Sync) -> Vec<T> {
    let arena = Arena::new();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..members)
            .map(|index| {
                let (arena, run) = (&arena, &run);
                scope.spawn(move || {
                    let mut member = arena.member(index, members, thread::yield_now);
                    let answer = run(&mut member);
                    member.leave();
                    answer
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a body does not hold")).collect()
    })
}

#[test]
fn every_body_holds_on_one_two_and_four_threads() {
    for members in [1, 2, 4] {
        for body in BODIES {
            on_threads(members, |member| (body.run)(member, ROUNDS));
            println!("{members} threads: {}", body.name);
        }
        // And one after the other on one arena, as firmware runs them.
        on_threads(members, |member| {
            BODIES.iter().for_each(|body| (body.run)(member, ROUNDS / 10))
        });
    }
}

#[test]
fn the_same_test_notices_a_lock_with_a_hole() {
    if thread::available_parallelism().is_ok_and(|cores| cores.get() < 2) {
        return; // threads that take turns on one core may pass for long
    }
    let noticed = on_threads(4, |member| control(member, 100_000, 1_000));
    assert!(noticed.iter().all(Option::is_some), "never noticed: {noticed:?}");
}
