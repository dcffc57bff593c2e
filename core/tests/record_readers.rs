//! Tests readers of a record that is being written: between any two fences of the writer, and
//! beside a writing thread.

mod common;

use core::cell::Cell;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::{Acquire, Release};
use std::thread;

use common::records::{OWNER, SEQUENCE, derived, held, read, write};
use common::{RawMemory, rounds, token};
use shmlock_core::fence::InnerShareable;
use shmlock_core::protocol::{self, Attempt};
use shmlock_core::{Fence, Holder};

/// A fence that runs `act` with the number of fences before it.
#[derive(Clone, Copy)]
struct Meanwhile<'a> {
    fences: &'a Cell<u32>,
    act: &'a dyn Fn(u32),
}

impl Fence for Meanwhile<'_> {
    fn acquire(self) {
        (self.act)(self.fences.replace(self.fences.get() + 1));
    }

    fn release(self) {
        self.acquire();
    }
}

/// Runs `act` at each fence of a read or write; returns the number of fences as well.
fn interrupted<R>(act: impl Fn(u32), step: impl FnOnce(Meanwhile<'_>) -> R) -> (R, u32) {
    let fences = Cell::new(0);
    let answer = step(Meanwhile { fences: &fences, act: &act });
    (answer, fences.get())
}

#[test]
fn a_record_is_unreadable_from_its_first_word_to_its_last() {
    for before in [0, 1, 2, 3, 1 << 31, u32::MAX - 2, u32::MAX - 1, u32::MAX] {
        let memory = held(4);
        memory.set(SEQUENCE, before);
        let (me, record) = derived(6);
        let unreadable = |_| assert_eq!(read(&memory), None);
        let ((), fences) =
            interrupted(unreadable, |fence| memory.region().write_record(me, &record, fence));
        assert_eq!(fences, 2);
        assert_eq!(read(&memory), Some(record), "after sequence {before}");
        assert_ne!(memory.get(SEQUENCE), before);
    }
}

#[test]
fn a_record_that_changes_during_a_read_is_read_again() {
    for moment in [0, 1] {
        let memory = held(4);
        let change = |fence| {
            if fence == moment {
                write(memory.region(), 6);
            }
        };
        let (holder, fences) = interrupted(change, |fence| memory.region().holder(fence));
        assert_eq!(holder.expect("held").record, Some(derived(6).1));
        assert_eq!(fences, 4, "two fences a read, two reads");
    }
}

#[test]
fn a_record_is_not_attributed_to_an_owner_that_acquires_during_the_read() {
    let memory = held(4);
    let change = |fence| {
        if fence == 1 {
            memory.set(OWNER, 9);
        }
    };
    let (holder, _) = interrupted(change, |fence| memory.region().holder(fence));
    assert_eq!(holder, Some(Holder { token: token(9), record: None }));

    let change = |fence| {
        if fence == 1 {
            memory.set(OWNER, 0);
        }
    };
    assert_eq!(interrupted(change, |fence| memory.region().holder(fence)).0, None);
}

#[test]
fn a_reader_gives_up_on_a_record_that_changes_at_each_read() {
    let memory = held(4);
    let (holder, _) = interrupted(
        |fence| write(memory.region(), 2 * fence),
        |fence| memory.region().holder(fence),
    );
    assert_eq!(holder, Some(Holder { token: derived(4).0, record: None }));
}

#[test]
fn readers_beside_a_writer_never_see_a_torn_record() {
    const WRITES: u32 = rounds(50_000);
    let memory = RawMemory::zeroed();
    let (region, done) = (memory.region(), AtomicBool::new(false));
    let reading = || {
        let mut newest = 0;
        loop {
            let last = done.load(Acquire);
            if let Some(Holder { token, record: Some(record) }) = region.holder(InnerShareable) {
                let number = u32::try_from(record.since).expect("not torn");
                assert_eq!((token, record), derived(number));
                assert!(number >= newest, "{number} after {newest}");
                newest = number;
            }
            if last {
                return newest;
            }
        }
    };
    let writing = || {
        for number in 1..=WRITES {
            let (me, record) = derived(number);
            let _ = protocol::try_acquire(region.owner_word(), me, Attempt::First, InnerShareable)
                .expect("free");
            region.write_record(me, &record, InnerShareable);
            if number < WRITES {
                let _ = protocol::release(region.owner_word(), me, InnerShareable).expect("ours");
            }
        }
    };
    thread::scope(|scope| {
        let readers = [scope.spawn(reading), scope.spawn(reading)];
        let written = scope.spawn(writing).join();
        done.store(true, Release);
        assert_eq!(readers.map(|reader| reader.join().expect("no torn record")), [WRITES; 2]);
        written.expect("no panic");
    });
}
