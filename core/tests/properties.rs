//! Tests laws for every word, token and byte, on the values that proptest generates; it shrinks a
//! failure to its smallest form. `state_table.rs` tests the table of transitions, row by row.

mod common;

use common::{
    DIED, RESERVED, RawMemory, WAITERS, flags, found_free, token, token_part, wake_owed_by,
};
use core::num::{NonZeroU16, NonZeroU32};
use core::sync::atomic::Ordering::Relaxed;
use proptest::collection::vec;
use proptest::prelude::*;
use shmlock_core::fence::InnerShareable;
use shmlock_core::layout::{DESCRIPTION_MAX, LAYOUT_VERSION, MAGIC, Magic, REGION_LEN};
use shmlock_core::protocol::{self, Attempt};
use shmlock_core::record::description;
use shmlock_core::token::{InvalidToken, TokenRange};
use shmlock_core::uuid::Uuid;
use shmlock_core::{AtomicU32, Error, Holder, Record, Token, Word};

const FENCE: InnerShareable = InnerShareable;

/// Returns the number of cases of each law: Miri is slow. Failures are not kept in files, for they
/// are printed in full.
fn cases() -> ProptestConfig {
    ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 1024 },
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Words as they occur: any bits, a small token or none, the ends of the ranges.
fn any_word() -> impl Strategy<Value = u32> {
    let part =
        prop_oneof![Just(0), 1..4_u32, 65_534..65_538_u32, RESERVED - 1..=RESERVED, any::<u32>()];
    (part, any::<u32>()).prop_map(|(part, flagged)| token_part(part) | flags(flagged))
}

fn any_token() -> impl Strategy<Value = Token> {
    any_word().prop_filter_map("no token is 0", |bits| Word::from_bits(bits).owner())
}

/// Text of at most this many bytes, with characters of every length.
fn any_text(bytes: usize) -> impl Strategy<Value = String> {
    let of = |chars: BoxedStrategy<char>, most| vec(chars, 0..=most).prop_map(String::from_iter);
    prop_oneof![
        of(any::<char>().boxed(), bytes / 4),
        of(prop::char::range('\0', '\x7F').boxed(), bytes)
    ]
}

fn any_record() -> impl Strategy<Value = Record> {
    (any::<u128>(), any::<[u32; 2]>(), any::<u64>(), any_text(DESCRIPTION_MAX)).prop_map(
        |(uuid, [pid, pid_namespace], since, text)| Record {
            uuid: Uuid::from_u128(uuid),
            pid,
            pid_namespace,
            since,
            description: description(&text).expect("short enough"),
        },
    )
}

fn any_bytes() -> impl Strategy<Value = [u8; REGION_LEN]> {
    any::<[u32; REGION_LEN / 4]>().prop_map(|words| {
        let mut bytes = [0; REGION_LEN];
        for (bytes, word) in bytes.chunks_exact_mut(4).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    })
}

/// Runs a step on a word; returns its answer and the word afterwards.
fn step<R>(before: u32, step: impl Fn(&AtomicU32) -> R) -> (R, u32) {
    let word = AtomicU32::new(before);
    (step(&word), word.load(Relaxed))
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_word_is_its_token_and_its_two_flags_and_nothing_else(bits: u32) {
        let word = Word::from_bits(bits);
        prop_assert_eq!(word.bits(), bits);
        let flag = |set: bool, flag| if set { flag } else { 0 };
        let flags = flag(word.has_waiters(), WAITERS) | flag(word.owner_died(), DIED);
        let parts = word.owner().map_or(0, Token::get) | flags;
        prop_assert_eq!(parts, bits);
        prop_assert_eq!(word.is_free(), word.owner().is_none());
    }

    #[test]
    fn each_transition_makes_the_word_that_its_name_says(bits in any_word(), me in any_token()) {
        let word = Word::from_bits(bits);
        prop_assert!(word.acquired_by(me).is_owned_by(me) || !word.is_free());
        prop_assert!(word.recovered_by(me).is_owned_by(me));
        let waiting = word.with_waiters();
        prop_assert!(waiting.has_waiters() && waiting.owner() == word.owner());
        let released = word.released();
        prop_assert!(released.is_free() && released.owner_died() == word.owner_died());
        prop_assert!(word.abandoned().is_free() && word.abandoned().owner_died());
        let consistent = word.declared_consistent();
        prop_assert!(!consistent.owner_died() && consistent.owner() == word.owner());
        prop_assert_eq!(consistent.has_waiters(), word.has_waiters());
    }

    #[test]
    fn a_number_is_of_one_range_and_only_a_living_one_makes_a_living_token(number in 1..=RESERVED) {
        let range = token(number).range();
        prop_assert_eq!(token(number).get(), number);
        prop_assert_eq!(range == TokenRange::Static, number <= 0xFFFF);
        prop_assert_eq!(range == TokenRange::Reserved, number == RESERVED);
        let living = (range == TokenRange::Living).then(|| token(number));
        prop_assert_eq!(Token::living(number), living);
        let short = u16::try_from(number).ok().and_then(NonZeroU16::new);
        let fixed = short.map(Token::from_static);
        prop_assert_eq!(short.map(Token::from), fixed);
        prop_assert_eq!(fixed, (range == TokenRange::Static).then(|| token(number)));
    }

    #[test]
    fn a_number_is_a_token_if_a_word_can_name_it_and_converts_back(
        number in prop_oneof![0..4_u32, RESERVED - 2..RESERVED + 3, any::<u32>()],
        other in any_token(),
    ) {
        match Token::try_from(number) {
            Ok(token) => {
                prop_assert_eq!(Word::from_bits(number), Word::held_by(token));
                prop_assert_eq!(u32::from(token), number);
                prop_assert_eq!(NonZeroU32::from(token).get(), number);
                prop_assert_eq!(token.cmp(&other), number.cmp(&other.get()));
            }
            Err(error) => {
                prop_assert_eq!(error, InvalidToken { number });
                prop_assert!(number == 0 || number > RESERVED);
                prop_assert!(error.to_string().starts_with(&number.to_string()));
            }
        }
    }

    #[test]
    fn no_number_of_more_than_30_bits_is_a_living_token(number in RESERVED..) {
        prop_assert_eq!(Token::living(number), None);
    }

    #[test]
    fn a_magic_word_is_untouched_ours_another_version_or_foreign(word: u32, version: u8) {
        let expected = match word.to_le_bytes() {
            [0, 0, 0, 0] => Magic::Untouched,
            [b'S', b'H', b'L', found] => Magic::OtherVersion(found),
            _ => Magic::Foreign,
        };
        prop_assert!(word == MAGIC || Magic::decode(word) == expected);
        let ours = Magic::decode(u32::from_le_bytes([b'S', b'H', b'L', version]));
        prop_assert_eq!(ours == Magic::Ours, version == LAYOUT_VERSION);
        prop_assert_eq!(ours == Magic::OtherVersion(version), version != LAYOUT_VERSION);
    }

    #[test]
    fn an_acquisition_and_a_release_leave_the_word_as_it_was_without_waiters(
        flagged: u32,
        me in any_token(),
    ) {
        let before = flags(flagged);
        let (taken, held) =
            step(before, |word| protocol::try_acquire(word, me, Attempt::First, FENCE));
        prop_assert_eq!(taken, Ok(found_free(before)));
        prop_assert_eq!(held, me.get() | before);
        let (wake, after) = step(held, |word| protocol::release(word, me, FENCE));
        prop_assert_eq!(wake, Ok(wake_owed_by(before)));
        prop_assert_eq!(after, before & DIED);
    }

    #[test]
    fn a_step_by_a_token_that_the_word_does_not_name_changes_nothing(
        bits in any_word(),
        me in any_token(),
    ) {
        prop_assume!(token_part(bits) != me.get());
        let found = Word::from_bits(bits);
        let released = step(bits, |word| protocol::release(word, me, FENCE));
        prop_assert_eq!(released, (Err(found), bits));
        let abandoned = step(bits, |word| protocol::abandon(word, me, FENCE));
        prop_assert_eq!(abandoned, (Err(found), bits));
        let declared = step(bits, |word| protocol::declare_consistent(word, me));
        prop_assert_eq!(declared, (Err(found), bits));
        let freed = step(bits, |word| protocol::declare_stale(word, me, FENCE));
        prop_assert_eq!(freed, (None, bits));
        let recovered = step(bits, |word| protocol::take_over(word, me, me, FENCE));
        prop_assert_eq!(recovered, (None, bits));
    }

    #[test]
    fn a_held_word_is_recovered_from_its_dead_owner_only(
        dead in any_token(),
        me in any_token(),
        flagged: u32,
    ) {
        let bits = dead.get() | flags(flagged);
        let tried =
            step(bits, |word| protocol::try_acquire(word, me, Attempt::AfterWaiting, FENCE));
        prop_assert_eq!(tried, (Err(Word::from_bits(bits)), bits));
        let (taken, after) = step(bits, |word| protocol::take_over(word, dead, me, FENCE));
        prop_assert_eq!(taken.and_then(|taken| taken.recovered_from), Some(dead));
        prop_assert_eq!(after, me.get() | WAITERS | DIED);
    }

    #[test]
    fn a_record_reads_as_it_was_written_over_any_garbage(
        garbage in any_bytes(),
        me in any_token(),
        record in any_record(),
    ) {
        let memory = RawMemory::holding(&garbage);
        memory.set(8, MAGIC);
        let (region, before) = (memory.region(), memory.bytes());
        region.write_record(me, &record, FENCE);
        prop_assert_eq!(region.record_of(me, FENCE), Some(record.clone()));
        prop_assert!(region.record_describes(me));
        for part in [0..16, 48..52, 60..64] {
            prop_assert_eq!(&memory.bytes()[part.clone()], &before[part], "not the record's");
        }
        memory.set(0, me.get());
        let holder = Holder { token: me, record: Some(record) };
        prop_assert_eq!(region.holder(FENCE), Some(holder));
    }

    #[test]
    fn any_bytes_read_as_nothing_or_as_a_whole_record(
        bytes in any_bytes(),
        owner in any_token(),
        even: bool,
    ) {
        let memory = RawMemory::holding(&bytes);
        memory.set(8, MAGIC);
        memory.set(56, owner.get());
        memory.set(52, u32::from(!even));
        memory.set(0, owner.get());
        let before = memory.bytes();
        let holder = memory.region().holder(FENCE).expect("held");
        prop_assert_eq!(memory.bytes(), before, "a read changes nothing");
        prop_assert_eq!(holder.token, owner);
        prop_assert_eq!(holder.record.is_some(), even);
        let text = holder.to_string();
        prop_assert!(!text.contains(char::is_control), "{} reaches a terminal", text);
        if let Some(record) = holder.record {
            // Written again it is the same, except that a garbage description is empty.
            let copy = RawMemory::zeroed();
            copy.region().write_record(owner, &record, FENCE);
            prop_assert_eq!(&copy.bytes()[16..48], &before[16..48]);
            let len = record.description.len();
            prop_assert!(len == 0 || copy.bytes()[64..=64 + len] == before[64..=64 + len]);
        }
    }

    #[test]
    fn a_description_is_kept_as_it_is_or_refused_with_its_length(
        text in any_text(2 * DESCRIPTION_MAX),
    ) {
        match description(&text) {
            Ok(kept) => prop_assert!(*kept == *text && text.len() <= DESCRIPTION_MAX),
            Err(error) => {
                prop_assert_eq!(error, Error::DescriptionTooLong { len: text.len() });
                prop_assert!(text.len() > DESCRIPTION_MAX);
            }
        }
    }
}
