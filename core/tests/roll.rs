//! Tests the roll of boots as bytes and as values: its layout, what it refuses, which boots it
//! proves over, and hostile words.

mod common;

use common::{Random, RawMemory, STRIDE, rounds, token, tokens};
use proptest::prelude::*;
use shmlock_core::contend::Liveness;
use shmlock_core::layout::{
    EPOCH_MAGIC, EPOCH_VERSION, MAGIC, Magic, ROLL_ALIGN, ROLL_MAGIC, ROLL_VERSION, SLOT_MAX,
    roll_len,
};
use shmlock_core::roll::{BootLiveness, EPOCHS, Roll, RollMemory, Slot};
use shmlock_core::{EpochRegion, Error, Region, RegionMemory};

const MAGIC_AT: usize = 8;
const RESERVED: [usize; 3] = [0, 4, 12];

fn slot(number: u8) -> Slot {
    Slot::new(number).expect("1 to 63")
}

/// Returns the offset of the boots of a slot; four bytes further is *retired*.
fn at(number: u8) -> usize {
    8 + 8 * usize::from(number)
}

/// Returns `true` if the words of slot 1 prove that this epoch is over, by the definition: it is
/// the epoch of a boot that has begun, and all boots that had it lately are over.
fn over_by_definition(epoch: u32, boots: u32, retired: u32) -> bool {
    let window = u64::from(boots).saturating_sub(1023)..=u64::from(boots);
    let mut lately = window.filter(|&boot| boot > 0 && boot % 1024 == u64::from(epoch)).peekable();
    lately.peek().is_some() && lately.all(|boot| boot < boots.into() || boot == u64::from(retired))
}

/// Returns the memory of a roll whose first slot has these words.
fn roll_with(boots: u32, retired: u32) -> RawMemory {
    let memory = RawMemory::zeroed();
    memory.set(at(1), boots);
    memory.set(at(1) + 4, retired);
    memory
}

/// Returns `true` if a roll whose first slot has these words proves this owner dead.
fn judged(boots: u32, retired: u32, owner: u32) -> bool {
    let memory = roll_with(boots, retired);
    let roll = memory.roll_at(0, roll_len(2)).expect("a roll");
    let answer = roll.is_over(token(owner));
    assert_eq!(BootLiveness::new(roll).while_dead(token(owner), || 7), answer.then_some(7));
    answer
}

#[test]
fn the_constants_of_the_roll_are_frozen() {
    assert_eq!(ROLL_MAGIC.to_ne_bytes(), *b"SHR\x01");
    assert_eq!((ROLL_VERSION, ROLL_ALIGN, SLOT_MAX, EPOCHS), (1, 4, 63, 1024));
    assert_eq!([1, 2, 63].map(roll_len), [24, 32, 520]);
    assert_eq!((size_of::<RollMemory<2>>(), size_of::<RollMemory<63>>()), (32, 520));
    assert_eq!((EPOCH_MAGIC.to_ne_bytes(), EPOCH_VERSION), (*b"SHL\x81", 129));
}

#[test]
fn a_party_that_knows_version_1_only_reads_another_version() {
    assert_eq!(Magic::decode(EPOCH_MAGIC), Magic::OtherVersion(129));
}

#[test]
fn a_slot_is_1_to_63_and_its_tokens_are_static_and_its_own() {
    assert_eq!((Slot::new(0), Slot::new(64), Slot::new(255)), (None, None, None));
    assert_eq!((1..=63).filter_map(Slot::new).count(), 63);
    for number in (1..=65_535).step_by(STRIDE) {
        let split = Slot::of_token(token(number));
        let expected = (number >= 1024).then_some((number >> 10, number & 1023));
        let split = split.map(|(slot, epoch)| (slot.get().into(), epoch.into()));
        assert_eq!(split, expected);
    }
    for other in tokens().into_iter().filter(|token| token.get() > 65_535) {
        assert_eq!(Slot::of_token(other), None, "{other:?}");
    }
}

#[test]
fn the_first_boot_is_1_and_each_start_has_the_next_token() {
    let memory = RawMemory::zeroed();
    let roll = memory.roll_at(0, roll_len(2)).expect("untouched");
    assert_eq!(roll.last_boot(slot(2)), Ok(None));
    for number in 1..=2 * EPOCHS {
        let boot = roll.begin_boot(slot(2)).expect("a slot");
        assert_eq!((boot.id().slot(), boot.id().number()), (slot(2), number));
        assert_eq!(boot.id().token().get(), (2 << 10) | (number % 1024));
        assert_eq!(roll.last_boot(slot(2)), Ok(Some(boot.id())));
        assert_eq!(memory.get(at(2)), number);
    }
    assert_eq!([0, 4, 12, 16, 20, 28].map(|at| memory.get(at)), [0; 6], "only its own word moved");
}

#[test]
fn after_the_largest_number_the_boots_go_on_from_1() {
    let memory = RawMemory::zeroed();
    memory.set(at(1), u32::MAX);
    let roll = memory.roll_at(0, roll_len(1)).expect("untouched");
    let boot = roll.begin_boot(slot(1)).expect("a slot");
    assert_eq!((boot.id().number(), boot.id().token()), (1, token(1 << 10 | 1)));
    assert!(!roll.is_over(boot.id().token()));
}

#[test]
fn an_owner_of_an_earlier_boot_is_dead_and_one_of_the_present_boot_is_alive() {
    let memory = RollMemory::<1>::new();
    let roll = Roll::new(&memory).expect("untouched");
    let mut former = Vec::new();
    for _ in 0..EPOCHS {
        let present = roll.begin_boot(slot(1)).expect("a slot").id().token();
        assert!(!roll.is_over(present));
        assert!(former.last().is_none_or(|&token| roll.is_over(token)));
        former.push(present);
    }
    let [former @ .., _] = former.as_slice() else { unreachable!("there are 1024") };
    assert!(former.iter().all(|&token| roll.is_over(token)));
    let again = roll.begin_boot(slot(1)).expect("a slot").id().token();
    assert_eq!(again, former[0], "1024 boots later the token is back");
    assert!(!roll.is_over(again));
}

#[test]
fn a_retired_boot_is_over_and_the_boots_after_it_live() {
    let memory = RollMemory::<1>::new();
    let roll = Roll::new(&memory).expect("untouched");
    let first = roll.begin_boot(slot(1)).expect("a slot").id();
    assert_eq!(roll.retire(first), Ok(()));
    assert!(roll.is_over(first.token()));
    let second = roll.begin_boot(slot(1)).expect("a slot").id();
    assert!(roll.is_over(first.token()) && !roll.is_over(second.token()));
}

/// The supervisor stands between its look at the core and its store while the core is started.
#[test]
fn a_retirement_that_comes_too_late_leaves_the_next_boot_alive() {
    let memory = RollMemory::<1>::new();
    let roll = Roll::new(&memory).expect("untouched");
    let _ = roll.begin_boot(slot(1));
    let seen = roll.last_boot(slot(1)).expect("a slot").expect("it has begun");
    let second = roll.begin_boot(slot(1)).expect("a slot").id();
    assert_eq!(roll.retire(seen), Ok(()));
    assert!(!roll.is_over(second.token()));
}

/// Two supervisors are an error of the system.
#[test]
fn a_late_store_of_a_second_supervisor_takes_a_retirement_back_and_robs_no_owner() {
    let memory = RollMemory::<1>::new();
    let roll = Roll::new(&memory).expect("untouched");
    let first = roll.begin_boot(slot(1)).expect("a slot").id();
    let second = roll.begin_boot(slot(1)).expect("a slot").id();
    assert_eq!(roll.retire(second), Ok(()));
    assert!(roll.is_over(first.token()) && roll.is_over(second.token()));
    assert_eq!(roll.retire(first), Ok(()));
    assert!(roll.is_over(first.token()) && !roll.is_over(second.token()));
    assert_eq!(roll.retire(second), Ok(()));
    assert!(roll.is_over(second.token()));
}

#[test]
fn a_slot_without_a_boot_proves_nothing_whatever_is_retired() {
    for epoch in (0..EPOCHS).step_by(STRIDE) {
        for retired in [0, epoch, u32::MAX] {
            assert!(!judged(0, retired, 1 << 10 | epoch));
        }
    }
}

/// As after a roll was cleared under its regions.
#[test]
fn an_epoch_that_the_slot_has_not_had_yet_is_no_proof() {
    for epoch in (1..EPOCHS).step_by(STRIDE) {
        assert_eq!(judged(5, 0, 1 << 10 | epoch), epoch < 5, "{epoch}");
    }
    assert!(!judged(5, 0, 1 << 10), "epoch 0 is first had by boot 1024");
    assert!(judged(1025, 0, 1 << 10));
}

#[test]
fn a_token_of_another_kind_or_slot_is_never_proven_dead() {
    for owner in tokens() {
        let of_slot_1 = matches!(owner.get(), 1024..=2047);
        assert!(of_slot_1 || !judged(5000, 5000, owner.get()), "{owner:?}");
    }
    let memory = RollMemory::<3>::new();
    let roll = Roll::new(&memory).expect("untouched");
    assert!(!roll.is_over(token(4 << 10 | 1)), "slot 4 is not in the roll");
}

#[test]
fn a_slot_beyond_the_roll_is_refused_and_nothing_is_written() {
    let memory = RawMemory::zeroed();
    let longer = memory.roll_at(0, roll_len(4)).expect("untouched");
    let boot = longer.begin_boot(slot(4)).expect("a slot");
    let roll = memory.roll_at(0, roll_len(3)).expect("a roll");
    let refused = Error::NoSuchSlot { slot: 4, slots: 3 };
    let before = memory.bytes();
    assert_eq!(roll.begin_boot(slot(4)), Err(refused));
    assert_eq!(roll.last_boot(slot(4)), Err(refused));
    assert_eq!(roll.retire(boot.id()), Err(refused));
    assert_eq!(memory.bytes(), before);
}

#[test]
fn attaching_writes_the_magic_only_and_a_roll_has_the_slots_that_fit() {
    for (len, slots) in [(24, 1), (31, 1), (32, 2), (100, 10), (192, 22)] {
        let memory = RawMemory::zeroed();
        assert_eq!(memory.roll_at(0, len).expect("untouched").slots(), slots);
        let mut claimed = [0; 128];
        claimed[MAGIC_AT..MAGIC_AT + 4].copy_from_slice(b"SHR\x01");
        assert_eq!(memory.bytes(), claimed);
        assert_eq!(memory.roll_at(0, len).expect("a roll").slots(), slots);
        assert_eq!(memory.bytes(), claimed, "attaching a second time writes nothing");
    }
    let whole = RollMemory::<63>::default();
    let roll = Roll::new(&whole).expect("untouched");
    assert_eq!(roll.slots(), 63);
    assert!((1..=63).all(|number| roll.begin_boot(slot(number)).is_ok()));
}

#[test]
fn memory_that_is_no_roll_is_refused_and_left_alone() {
    let mut random = Random(3);
    for (magic, error) in [
        (*b"SHR\x02", Error::OtherRollVersion { found: 2 }),
        (*b"SHR\x00", Error::OtherRollVersion { found: 0 }),
        (*b"SHL\x01", Error::NotARoll { found: MAGIC }),
        (*b"SHL\x81", Error::NotARoll { found: EPOCH_MAGIC }),
        (*b"xxxx", Error::NotARoll { found: 0x7878_7878 }),
    ] {
        let mut bytes = random.bytes();
        bytes[MAGIC_AT..MAGIC_AT + 4].copy_from_slice(&magic);
        let memory = RawMemory::holding(&bytes);
        assert_eq!(memory.roll_at(0, 128).err(), Some(error));
        assert_eq!(memory.bytes(), bytes);
    }
    let memory = RawMemory::zeroed();
    assert_eq!(memory.roll_at(2, 64).err(), Some(Error::Misaligned { remainder: 2 }));
    assert_eq!(memory.roll_at(0, 23).err(), Some(Error::RollTooShort { len: 23 }));
    assert_eq!(memory.bytes(), [0; 128]);
}

#[test]
fn the_memory_of_a_lock_is_no_roll_and_left_alone() {
    for magic in [*b"SHL\x01", *b"SHL\x81", *b"SHL\x09", *b"TK\x02\x01"] {
        let mut bytes = [0; 128];
        bytes[MAGIC_AT..MAGIC_AT + 4].copy_from_slice(&magic);
        let memory = RawMemory::holding(&bytes);
        let found = u32::from_le_bytes(magic);
        assert_eq!(memory.roll_at(0, 128).err(), Some(Error::NotARoll { found }));
        assert_eq!(memory.bytes(), bytes);
    }
}

/// Whether slot 1 has booted or not, and whatever the slots contain.
#[test]
fn the_memory_of_a_roll_is_no_lock_of_any_kind_and_left_alone() {
    let refused = Some(Error::NotALock { found: ROLL_MAGIC });
    for booted in [&[][..], &[2], &[1], &[1, 2, 13]] {
        let memory = RawMemory::zeroed();
        let roll = memory.roll_at(0, 128).expect("untouched");
        for &number in booted {
            let _ = roll.begin_boot(slot(number)).expect("a slot");
        }
        let before = memory.bytes();
        assert_eq!(memory.region_at(0, 128).err(), refused, "booted: {booted:?}");
        assert_eq!(memory.epoch_region().err(), refused, "booted: {booted:?}");
        assert_eq!(memory.bytes(), before, "booted: {booted:?}");
        assert_eq!(memory.roll_at(0, 128).map(Roll::slots).ok(), Some(roll.slots()));
    }
}

#[test]
fn plain_and_epoch_tokens_are_refused_in_one_region_and_nothing_is_written() {
    let plain = RawMemory::zeroed();
    plain.region();
    let before = plain.bytes();
    assert_eq!(plain.epoch_region().err(), Some(Error::PlainTokens));
    assert_eq!(plain.bytes(), before);

    let epochs = RawMemory::zeroed();
    epochs.epoch_region().expect("untouched");
    let before = epochs.bytes();
    assert_eq!(before[MAGIC_AT..MAGIC_AT + 4], *b"SHL\x81");
    assert_eq!(epochs.region_at(0, 128).err(), Some(Error::OtherVersion { found: 129 }));
    epochs.epoch_region().expect("of boots");
    assert_eq!(epochs.bytes(), before);
}

#[test]
fn memory_of_this_program_is_refused_in_the_same_way() {
    let memory = RegionMemory::new();
    Region::new(&memory).expect("untouched");
    assert_eq!(EpochRegion::new(&memory).err(), Some(Error::PlainTokens));
    let memory = RegionMemory::new();
    EpochRegion::new(&memory).expect("untouched");
    assert_eq!(Region::new(&memory).err(), Some(Error::OtherVersion { found: 129 }));
}

#[test]
fn memory_that_is_no_lock_is_no_region_of_boots_either() {
    for (magic, error) in [
        (*b"SHL\x02", Error::OtherVersion { found: 2 }),
        (*b"SHL\x82", Error::OtherVersion { found: 0x82 }),
        (*b"SHR\x01", Error::NotALock { found: ROLL_MAGIC }),
    ] {
        let memory = RawMemory::zeroed();
        memory.put(MAGIC_AT, &magic);
        let before = memory.bytes();
        assert_eq!(memory.epoch_region().err(), Some(error));
        assert_eq!(memory.bytes(), before);
    }
}

#[test]
fn each_error_says_what_to_do() {
    for (error, words) in [
        (Error::OtherVersion { found: 129 }, "attach the handle with a boot of the lock's roll"),
        (Error::PlainTokens, "clear the region to zero"),
        (Error::NotARoll { found: 0xABCD }, "0x0000abcd"),
        (Error::OtherRollVersion { found: 9 }, "version 9, this crate speaks version 1"),
        (Error::RollTooShort { len: 15 }, "give it 24, and 8 more"),
        (Error::NoSuchSlot { slot: 9, slots: 8 }, "no slot 9, only 1 to 8"),
    ] {
        assert!(error.to_string().contains(words), "{error}");
    }
}

/// Returns a word at a border, or any other.
fn hostile_word() -> impl Strategy<Value = u32> {
    let border =
        prop_oneof![Just(0_u32), Just(1), Just(1023), Just(1024), Just(u32::MAX), 0..5000_u32];
    prop_oneof![border, any::<u32>()]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: rounds(4_000), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn only_a_boot_that_began_and_ended_is_over(
        epoch in 0_u32..1024, boots in hostile_word(), retired in hostile_word(),
        same in any::<bool>()
    ) {
        let retired = if same { boots } else { retired };
        let expected = over_by_definition(epoch, boots, retired);
        prop_assert_eq!(judged(boots, retired, 1 << 10 | epoch), expected);
        // Another slot's words say nothing of this one.
        prop_assert!(!judged(boots, retired, 2 << 10 | epoch));
    }

    /// Whatever the roll contains, a boot that begins is not over, unless its number is retired.
    #[test]
    fn a_boot_that_begins_in_a_hostile_roll_is_the_next_one_and_is_alive(
        boots in hostile_word(), retired in hostile_word(), reserved in any::<[u32; 3]>()
    ) {
        let memory = roll_with(boots, retired);
        for (offset, word) in RESERVED.into_iter().zip(reserved) {
            memory.set(offset, word);
        }
        let roll = memory.roll_at(0, roll_len(1)).expect("a roll");
        let boot = roll.begin_boot(slot(1)).expect("a slot").id();
        prop_assert_eq!(boot.number(), boots.checked_add(1).unwrap_or(1));
        prop_assert_eq!(roll.is_over(boot.token()), boot.number() == retired);
        prop_assert_eq!(memory.get(at(1) + 4), retired);
        prop_assert_eq!(RESERVED.map(|offset| memory.get(offset)), reserved);
    }

    #[test]
    fn a_hostile_roll_and_word_never_make_a_region_of_boots_panic(
        word in any::<u32>(), boots in hostile_word(), retired in hostile_word()
    ) {
        let (memory, counters) = (RawMemory::zeroed(), roll_with(boots, retired));
        memory.set(0, word);
        let roll = counters.roll_at(0, roll_len(1)).expect("a roll");
        let region = memory.epoch_region().expect("untouched");
        let boot = roll.begin_boot(slot(1)).expect("a slot");
        let ours = common::token_part(word) >> 10 == 1;
        let wake = region.recover_former_boot(&boot, shmlock_core::fence::InnerShareable);
        prop_assert_eq!(wake, ours.then(|| common::wake_owed_by(word)));
        prop_assert_eq!(memory.get(0), if ours { common::DIED } else { word });
        prop_assert_eq!(region.recoveries(), u32::from(ours));
    }
}
