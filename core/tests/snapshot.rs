//! Tests copies of a lock that moves while it is copied: what they show was true, or is unknown.

mod common;

use core::cell::Cell;
use core::convert::Infallible;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;
use std::thread;

use common::records::{OWNER, derived, held, write};
use common::{DIED, RawMemory, WAITERS, rounds};
use shmlock_core::fence::InnerShareable;
use shmlock_core::layout::REGION_LEN;
use shmlock_core::protocol::{self, Attempt};
use shmlock_core::snapshot::snapshot;
use shmlock_core::{Error, Holder, Region, RegionMemory, Word};

fn taken(mut copy: impl FnMut() -> [u8; REGION_LEN]) -> RegionMemory {
    let Ok(memory) = snapshot(InnerShareable, || Ok::<_, Infallible>(copy()));
    memory
}

fn holder(memory: &RegionMemory) -> Option<Holder> {
    Region::new(memory).expect("a copy of a lock").holder(InnerShareable)
}

/// Returns the holder of this number, as a reader finds it.
fn whole(number: u32) -> Holder {
    let (token, record) = derived(number);
    Holder { token, record: Some(record) }
}

/// Returns a copy with a first half of one moment and a second half of another.
fn torn(one: &RawMemory, other: &RawMemory) -> [u8; REGION_LEN] {
    let mut bytes = one.bytes();
    bytes[52..].copy_from_slice(&other.bytes()[52..]); // from the record sequence on
    bytes
}

#[test]
fn a_copy_of_a_lock_that_stands_still_shows_all_of_it() {
    let memory = held(7);
    memory.set(OWNER, memory.get(OWNER) | WAITERS | DIED);
    memory.set(12, 5);
    let copy = taken(|| memory.bytes());
    let region = Region::new(&copy).expect("a lock");
    assert_eq!(holder(&copy), Some(whole(7)));
    assert_eq!((region.word().bits(), region.recoveries()), (memory.get(OWNER), 5));
}

#[test]
fn a_copy_is_private() {
    let memory = RawMemory::zeroed();
    let copy = taken(|| memory.bytes());
    let (me, _) = derived(1);
    let region = Region::new(&copy).expect("untouched memory is a free lock");
    assert!(protocol::try_acquire(region.owner_word(), me, Attempt::First, InnerShareable).is_ok());
    assert_eq!(memory.bytes(), [0; REGION_LEN], "not even the magic was written");
}

#[test]
fn memory_that_is_not_a_lock_is_recognised_in_a_copy() {
    let memory = RawMemory::zeroed();
    memory.set(8, 0x7878_7878);
    let copy = taken(|| memory.bytes());
    assert_eq!(Region::new(&copy).unwrap_err(), Error::NotALock { found: 0x7878_7878 });
}

#[test]
fn a_torn_copy_is_made_again() {
    // Of one owner, so that only the records differ.
    let (before, after) = (held(1), held(3));
    let copies = Cell::new(0);
    let copy = taken(|| match copies.replace(copies.get() + 1) {
        0 => torn(&before, &after),
        1 => torn(&after, &before),
        _ => after.bytes(),
    });
    assert_eq!((holder(&copy), copies.get()), (Some(whole(3)), 4));
}

#[test]
fn flags_and_counts_that_move_do_not_make_a_copy_torn() {
    let memory = held(7);
    let copies = Cell::new(0);
    let copy = taken(|| {
        memory.set(OWNER, memory.get(OWNER) ^ WAITERS);
        memory.set(4, copies.replace(copies.get() + 1));
        memory.bytes()
    });
    assert_eq!((holder(&copy), copies.get()), (Some(whole(7)), 2));
}

#[test]
fn a_snapshot_gives_up_on_a_record_that_changes_from_copy_to_copy() {
    let memory = held(1);
    let number = Cell::new(1);
    let copy = taken(|| {
        number.set(number.get() + 2);
        write(memory.region(), number.get());
        memory.bytes()
    });
    assert_eq!(holder(&copy), Some(Holder { token: derived(1).0, record: None }));
}

#[test]
fn an_error_of_the_copy_is_returned() {
    let mut copies = [Ok([0; REGION_LEN]), Err("gone")].into_iter();
    let error = snapshot(InnerShareable, || copies.next().expect("not a third"))
        .expect_err("the second failed");
    assert_eq!(error, "gone");
}

#[test]
fn copies_beside_a_writer_never_show_a_torn_record() {
    const WRITES: u32 = rounds(20_000);
    let memory = RawMemory::zeroed();
    let (region, done) = (memory.region(), AtomicBool::new(false));
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !done.load(Relaxed) {
                if let Some(Holder { token, record: Some(record) }) =
                    holder(&taken(|| memory.bytes()))
                {
                    let number = u32::try_from(record.since).expect("not torn");
                    assert_eq!((token, record), derived(number));
                }
            }
        });
        for number in 1..=WRITES {
            let (me, record) = derived(number);
            let _ = protocol::try_acquire(region.owner_word(), me, Attempt::First, InnerShareable)
                .expect("free");
            region.write_record(me, &record, InnerShareable);
            let _ = protocol::release(region.owner_word(), me, InnerShareable).expect("ours");
        }
        done.store(true, Relaxed);
        reader.join().expect("no torn record");
    });
    assert_eq!(region.word(), Word::FREE);
}
