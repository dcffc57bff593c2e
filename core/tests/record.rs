//! Tests the owner record as written and read back, and every kind of garbage in its place.

mod common;

use common::records::{DESCRIPTION, OWNER, PID, RECORD_TOKEN, SEQUENCE, derived, held, read};
use common::{Random, RawMemory, STRIDE, rounds, token, token_part};
use shmlock_core::fence::InnerShareable;
use shmlock_core::layout::{MAGIC, REGION_LEN};
use shmlock_core::record::description;
use shmlock_core::uuid::Uuid;
use shmlock_core::{Error, Holder, Record};

/// Returns what a reader must find in these bytes while no writer is at work.
fn expected(bytes: &[u8; REGION_LEN]) -> Option<Holder> {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let owner = token_part(word(OWNER));
    let text = bytes[DESCRIPTION + 1..].get(..bytes[DESCRIPTION].into()).unwrap_or_default();
    let record = Record {
        uuid: Uuid::from_slice(&bytes[16..32]).expect("16 bytes"),
        pid: word(PID),
        pid_namespace: word(36),
        since: u64::from(word(44)) << 32 | u64::from(word(40)),
        description: description(core::str::from_utf8(text).unwrap_or_default())
            .expect("at most 63 bytes"),
    };
    let whole = word(SEQUENCE) % 2 == 0 && word(RECORD_TOKEN) == owner;
    (owner != 0).then(|| Holder { token: token(owner), record: whole.then_some(record) })
}

#[test]
fn a_record_reads_as_it_was_written() {
    for number in 0..100 {
        assert_eq!(read(&held(number)), Some(derived(number).1));
    }
    let empty = Record::default();
    let memory = held(7);
    memory.region().write_record(token(2), &empty, InnerShareable);
    assert_eq!(read(&memory), Some(empty), "the longer record before it is gone");
    assert_eq!(memory.bytes()[DESCRIPTION..], [0; 64]);
}

#[test]
fn a_description_has_at_most_63_bytes() {
    for longest in ["x".repeat(63), "€".repeat(21)] {
        let record =
            Record { description: description(&longest).expect("63 bytes"), ..Record::default() };
        let memory = held(0);
        memory.region().write_record(token(1), &record, InnerShareable);
        assert_eq!(read(&memory).expect("whole").description, *longest);
    }
    for (text, len) in [("x".repeat(64), 64), ("é".repeat(32), 64), ("x".repeat(1_000), 1_000)] {
        assert_eq!(description(&text), Err(Error::DescriptionTooLong { len }));
    }
}

#[test]
fn a_length_beyond_the_field_or_broken_utf_8_reads_as_no_description() {
    let with_description = |bytes: [u8; 4]| {
        let memory = held(3);
        memory.put(DESCRIPTION, &bytes);
        let record = read(&memory).expect("whole");
        assert_eq!(record.uuid, derived(3).1.uuid, "the other fields are still read");
        record.description
    };
    assert_eq!(with_description([3, b'a', b'b', b'c']), *"abc");
    for length in (64..=u8::MAX).step_by(STRIDE) {
        assert_eq!(with_description([length, b'a', b'b', b'c']), *"", "length {length}");
    }
    for broken in
        [[1, 0xFF, 0, 0], [2, b'a', 0xC3, 0xA9], [3, 0xED, 0xA0, 0x80], [2, 0xC0, 0x80, 0]]
    {
        assert_eq!(with_description(broken), *"", "{broken:02x?}");
    }
}

#[test]
fn only_a_finished_record_of_the_present_owner_counts() {
    let memory = held(3);
    memory.set(RECORD_TOKEN, 9);
    assert_eq!(read(&memory), None, "another owner's");
    memory.set(OWNER, 9);
    assert_eq!(read(&memory), Some(derived(3).1));
    memory.set(SEQUENCE, 7);
    assert_eq!(read(&memory), None, "being written");
    memory.set(OWNER, common::WAITERS | common::DIED);
    assert_eq!(memory.region().holder(InnerShareable), None, "the lock is free");
}

#[test]
fn ten_thousand_garbage_regions_are_read_without_a_panic_or_a_write() {
    let mut random = Random(11);
    let (mut whole, mut described) = (0, 0);
    for _ in 0..rounds(10_000) {
        let mut bytes = random.bytes();
        bytes[8..12].copy_from_slice(&MAGIC.to_ne_bytes());
        if random.below(2) == 0 {
            bytes.copy_within(RECORD_TOKEN..RECORD_TOKEN + 4, OWNER);
            bytes[RECORD_TOKEN + 3] &= 0x3F;
        }
        if random.below(2) == 0 {
            bytes[DESCRIPTION] %= 80;
            bytes[DESCRIPTION + 1..].iter_mut().for_each(|byte| *byte &= 0x7F);
        }
        let memory = RawMemory::holding(&bytes);
        let holder = memory.region().holder(InnerShareable);
        assert_eq!(holder, expected(&bytes));
        assert_eq!(memory.bytes(), bytes);
        if let Some(Holder { record: Some(record), .. }) = &holder {
            whole += 1;
            described += u32::from(!record.description.is_empty());
        }
        let text = holder.map(|holder| holder.to_string()).unwrap_or_default();
        assert!(!text.contains(char::is_control), "{text:?} reaches a terminal");
    }
    assert!(
        cfg!(miri) || whole > 1_000 && described > 500,
        "the garbage was too bad to test anything: {whole}, {described}"
    );
}

#[test]
fn a_record_can_be_read_by_its_token_whatever_the_owner_word_names() {
    let memory = held(3);
    for owner in [0, 9, u32::MAX] {
        memory.set(OWNER, owner);
        assert_eq!(memory.region().record_of(derived(3).0, InnerShareable), Some(derived(3).1));
        assert_eq!(memory.region().record_of(token(9), InnerShareable), None);
    }
}

#[test]
fn a_record_describes_the_owner_that_it_names() {
    let memory = held(3);
    assert!(memory.region().record_describes(derived(3).0));
    assert!(!memory.region().record_describes(derived(4).0));
}

#[test]
fn a_half_written_record_describes_no_owner() {
    let memory = held(3);
    memory.set(SEQUENCE, 5);
    assert!(!memory.region().record_describes(derived(3).0));
}
