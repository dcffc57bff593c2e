//! Tests the bytes that all parties agree on, as positions in raw memory, and memory that is not a
//! lock.

mod common;

use core::sync::atomic::Ordering::Relaxed;

use common::{DIED, RESERVED, Random, RawMemory, STRIDE, WAITERS, rounds};
use shmlock_core::fence::InnerShareable;
use shmlock_core::layout::{
    DESCRIPTION_MAX, LAYOUT_VERSION, MAGIC, Magic, REGION_ALIGN, REGION_LEN, ROLL_MAGIC,
};
use shmlock_core::protocol::{self, Attempt};
use shmlock_core::record::description;
use shmlock_core::uuid::Uuid;
use shmlock_core::{Error, Record, Region, RegionMemory, Token, Word};

const OWNER: usize = 0;
const MAGIC_AT: usize = 8;

/// Opens memory with these bytes, and returns the error; no byte may change.
fn refused(bytes: &[u8; REGION_LEN], offset: usize, len: usize) -> Error {
    let memory = RawMemory::holding(bytes);
    let error = memory.region_at(offset, len).expect_err("not a lock");
    assert_eq!(memory.bytes(), *bytes, "a refused region was written to");
    error
}

/// Returns garbage with this magic word in it.
fn garbage(random: &mut Random, magic: [u8; 4]) -> [u8; REGION_LEN] {
    let mut bytes = random.bytes();
    bytes[MAGIC_AT..MAGIC_AT + 4].copy_from_slice(&magic);
    bytes
}

#[test]
fn the_constants_of_version_1_are_frozen() {
    assert_eq!((REGION_LEN, REGION_ALIGN, DESCRIPTION_MAX, LAYOUT_VERSION), (128, 4, 63, 1));
    assert_eq!(MAGIC.to_ne_bytes(), *b"SHL\x01");
    assert_eq!((size_of::<RegionMemory>(), align_of::<RegionMemory>()), (128, 64));
    assert_eq!(Word::FREE.bits(), 0);
}

#[test]
fn every_field_stands_at_its_byte() {
    let memory = RawMemory::zeroed();
    let region = memory.region();
    let me = Token::living(0x0403_0201).expect("living");
    memory.set(OWNER, DIED);
    memory.set(48, 0x5352_5150);

    let taken =
        protocol::try_acquire(region.owner_word(), me, Attempt::AfterWaiting, InnerShareable);
    assert!(taken.is_ok_and(|taken| taken.owner_died));
    for _ in 0..3 {
        region.count_acquisition(InnerShareable);
    }
    for _ in 0..2 {
        region.count_recovery();
    }
    for _ in 0..4 {
        region.count_contended();
    }
    let record = Record {
        uuid: Uuid::from_bytes(core::array::from_fn(|index| {
            0xA0 + u8::try_from(index).expect("16 bytes")
        })),
        pid: 0x2322_2120,
        pid_namespace: 0x2726_2524,
        since: 0x2F2E_2D2C_2B2A_2928,
        description: description("belt 3, 40 °C").expect("short"),
    };
    region.write_record(me, &record, InnerShareable);

    let mut expected = [0_u8; REGION_LEN];
    expected[0..4].copy_from_slice(&[0x01, 0x02, 0x03, 0x04 | 0xC0]); // token, WAITERS and DIED
    expected[4..8].copy_from_slice(&[3, 0, 0, 0]); // generation
    expected[8..12].copy_from_slice(b"SHL\x01"); // magic, version
    expected[12..16].copy_from_slice(&[2, 0, 0, 0]); // recoveries
    expected[16..32].copy_from_slice(record.uuid.as_bytes());
    expected[32..36].copy_from_slice(&[0x20, 0x21, 0x22, 0x23]); // pid
    expected[36..40].copy_from_slice(&[0x24, 0x25, 0x26, 0x27]); // pid namespace
    expected[40..48].copy_from_slice(&[0x28, 0x29, 0x2A, 0x2B, 0x2C, 0x2D, 0x2E, 0x2F]); // since
    expected[48..52].copy_from_slice(&[0x50, 0x51, 0x52, 0x53]); // generation, high half
    expected[52..56].copy_from_slice(&[2, 0, 0, 0]); // record sequence
    expected[56..60].copy_from_slice(&[0x01, 0x02, 0x03, 0x04]); // record token
    expected[60..64].copy_from_slice(&[4, 0, 0, 0]); // contended
    expected[64] = 14; // length of the description, in bytes
    expected[65..79].copy_from_slice("belt 3, 40 °C".as_bytes());
    assert_eq!(memory.bytes(), expected);
    assert_eq!(region.fencing_token(), 0x5352_5150_0000_0003);
    assert_eq!(
        (region.acquisitions(), region.contended(), region.recoveries()),
        (0x5352_5150_0000_0003, 4, 2)
    );
}

#[test]
fn all_zero_is_a_free_lock_and_opening_it_writes_the_magic_only() {
    let memory = RawMemory::zeroed();
    let region = memory.region();
    let mut claimed = [0; REGION_LEN];
    claimed[8..12].copy_from_slice(b"SHL\x01");
    assert_eq!(memory.bytes(), claimed);
    assert_eq!((region.word(), region.recoveries(), region.fencing_token()), (Word::FREE, 0, 0));
    assert_eq!(region.holder(InnerShareable), None);

    let again = memory.region();
    assert_eq!(memory.bytes(), claimed, "opening a second time writes nothing");
    assert!(core::ptr::eq(region.owner_word(), again.owner_word()));
}

#[test]
fn memory_of_this_program_starts_as_a_free_lock() {
    static MEMORY: RegionMemory = RegionMemory::new();
    let local = RegionMemory::default();
    for region in [Region::from_static(&MEMORY), Region::new(&local)] {
        assert_eq!(region.expect("a free lock").word(), Word::FREE);
    }
}

#[test]
fn a_lock_with_garbage_in_every_other_byte_opens_unchanged() {
    let mut random = Random(2);
    for _ in 0..rounds(1_000) {
        let bytes = garbage(&mut random, *b"SHL\x01");
        let memory = RawMemory::holding(&bytes);
        let region = memory.region();
        assert_eq!(region.word().bits().to_ne_bytes(), bytes[..4]);
        assert_eq!(memory.bytes(), bytes);
    }
}

#[test]
fn garbage_around_a_zero_magic_is_claimed_without_another_byte_changing() {
    let mut random = Random(3);
    let bytes = garbage(&mut random, [0; 4]);
    let memory = RawMemory::holding(&bytes);
    let _ = memory.region();
    let mut claimed = bytes;
    claimed[8..12].copy_from_slice(b"SHL\x01");
    assert_eq!(memory.bytes(), claimed);
}

#[test]
fn a_region_may_start_at_any_multiple_of_four() {
    for offset in (0..64).step_by(4) {
        let memory = RawMemory::zeroed();
        let region = memory.region_at(offset, REGION_LEN).expect("aligned");
        region.owner_word().store(WAITERS | RESERVED, Relaxed);
        assert_eq!(memory.get(offset), WAITERS | RESERVED);
        assert_eq!(memory.get(offset + MAGIC_AT), MAGIC);
    }
}

#[test]
fn a_misaligned_region_is_refused_untouched() {
    for bytes in [[0; REGION_LEN], garbage(&mut Random(4), *b"SHL\x01")] {
        for remainder in 1..4 {
            for offset in [remainder, 4 + remainder, 32 + remainder] {
                assert_eq!(refused(&bytes, offset, REGION_LEN), Error::Misaligned { remainder });
            }
        }
    }
}

#[test]
fn a_region_shorter_than_128_bytes_is_refused_untouched() {
    for bytes in [[0; REGION_LEN], garbage(&mut Random(5), *b"SHL\x01")] {
        for len in (0..REGION_LEN).step_by(STRIDE) {
            assert_eq!(refused(&bytes, 0, len), Error::TooShort { len });
        }
    }
    assert!(RawMemory::zeroed().region_at(0, REGION_LEN + 1).is_ok(), "longer is no error");
}

#[test]
fn a_foreign_magic_is_refused_untouched() {
    let mut random = Random(6);
    let mut foreign = vec![
        *b"\x01LHS",
        *b"SHM\x01",
        *b"shl\x01",
        [0, 0, 0, 1],
        [0xFF; 4],
        *b"\x7FELF",
        *b"S\0\0\0",
    ];
    foreign.extend((0..24).map(|bit| (MAGIC ^ (1 << bit)).to_ne_bytes()));
    foreign.extend((0..rounds(1_000)).map(|_| random.word().to_ne_bytes()));
    for magic in foreign {
        let found = u32::from_ne_bytes(magic);
        assert_eq!(Magic::decode(found), Magic::Foreign);
        assert_eq!(refused(&garbage(&mut random, magic), 0, REGION_LEN), Error::NotALock { found });
    }
}

#[test]
fn another_layout_version_is_refused_untouched_and_named() {
    let mut random = Random(7);
    for found in (0..=u8::MAX).filter(|&version| version != LAYOUT_VERSION).step_by(STRIDE) {
        let magic = [b'S', b'H', b'L', found];
        assert_eq!(Magic::decode(u32::from_ne_bytes(magic)), Magic::OtherVersion(found));
        assert_eq!(
            refused(&garbage(&mut random, magic), 0, REGION_LEN),
            Error::OtherVersion { found }
        );
    }
    assert_eq!([0, MAGIC].map(Magic::decode), [Magic::Untouched, Magic::Ours]);
}

#[test]
fn each_error_says_what_to_do() {
    for (error, advice) in [
        (Error::Misaligned { remainder: 2 }, "is 2 bytes past a multiple of 4; align it"),
        (Error::TooShort { len: 7 }, "has 7 bytes; a lock needs 128"),
        (Error::NotALock { found: 0xABCD }, "0x0000abcd"),
        (Error::NotALock { found: u32::from_le_bytes(*b"TK\x02\x01") }, "ticket lock of 2 parties"),
        (Error::NotALock { found: MAGIC }, "a lock of one word; attach to it as a `Region`"),
        (Error::NotALock { found: ROLL_MAGIC }, "a roll of boots; give the lock memory of its own"),
        (Error::NotARoll { found: MAGIC }, "a lock; a roll of boots lies beside the locks"),
        (Error::OtherVersion { found: 9 }, "version 9, this crate speaks version 1"),
        (Error::Busy { seen: Word::from_bits(5) }, "(held by 5)"),
        (Error::NotHeld, "acquire it first"),
        (Error::GuardsAlive { guards: 2 }, "(2); drop them"),
        (Error::Overwritten { found: Word::FREE }, "(now free)"),
        (Error::NestingTooDeep, "release it more often"),
        (Error::DescriptionTooLong { len: 64 }, "64 bytes; shorten it to 63"),
    ] {
        let text = error.to_string();
        assert!(text.contains(advice), "{text:?} does not say {advice:?}");
    }
}
