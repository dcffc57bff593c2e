//! Tests the transition table of `protocol.rs`, row by row, from every kind of word; and decoding.

mod common;

use common::{
    DIED, RESERVED, WAITERS, check, flags, found_free, token, token_part, token_parts, tokens,
    wake_owed_by, words,
};
use shmlock_core::fence::InnerShareable;
use shmlock_core::protocol::{self, Acquisition, Attempt, Wake};
use shmlock_core::token::{LIVING_MAX, LIVING_MIN, STATIC_MAX, TokenRange};
use shmlock_core::{AtomicU32, Token, Word};

/// Returns every kind of word with every kind of token.
fn words_and_tokens() -> impl Iterator<Item = (u32, Token)> {
    words().into_iter().flat_map(|bits| tokens().into_iter().map(move |token| (bits, token)))
}

#[test]
fn every_word_is_free_or_held_by_the_token_it_names_under_any_flags() {
    for bits in words() {
        let word = Word::from_bits(bits);
        assert_eq!(word.bits(), bits);
        assert_eq!(word.owner().map_or(0, Token::get), token_part(bits));
        assert_eq!(word.is_free(), token_part(bits) == 0);
        assert_eq!(word.is_free_and_consistent(), bits & !WAITERS == 0);
        assert_eq!(word.has_waiters(), bits & WAITERS != 0);
        assert_eq!(word.owner_died(), bits & DIED != 0);
        for token in tokens() {
            assert_eq!(word.is_owned_by(token), word.owner() == Some(token));
        }
    }
}

#[test]
fn a_word_prints_its_owner_and_its_flags() {
    for (bits, text) in [
        (0, "free"),
        (7, "held by 7"),
        (WAITERS, "free | WAITERS"),
        (DIED | 65_536, "held by 65536 | DIED"),
        (u32::MAX, "held by 1073741823 | WAITERS | DIED"),
    ] {
        assert_eq!(format!("{:?}", Word::from_bits(bits)), text);
    }
}

#[test]
fn the_token_ranges_meet_without_a_gap_and_leave_one_number_reserved() {
    assert_eq!((STATIC_MAX, LIVING_MIN, LIVING_MAX), (65_535, 65_536, RESERVED - 1));
    for part in token_parts().into_iter().filter(|&part| part != 0) {
        let range = match part {
            ..=65_535 => TokenRange::Static,
            RESERVED => TokenRange::Reserved,
            _ => TokenRange::Living,
        };
        assert_eq!(token(part).range(), range);
        assert_eq!(Token::living(part), (range == TokenRange::Living).then(|| token(part)));
    }
    assert_eq!([0, 1 << 30, u32::MAX].map(Token::living), [None; 3]);
    assert_eq!([1, 65_535].map(|n| Token::from_static(common::number(n)).get()), [1, 65_535]);
}

#[test]
fn an_acquisition_moves_a_free_word_to_my_token_and_keeps_both_flags() {
    for (before, me) in words_and_tokens() {
        let step =
            |word: &AtomicU32| protocol::try_acquire(word, me, Attempt::First, InnerShareable);
        if token_part(before) == 0 {
            check(before, step, me.get() | flags(before), Ok(found_free(before)));
        } else {
            check(before, step, before, Err(Word::from_bits(before)));
        }
    }
}

#[test]
fn an_acquisition_after_waiting_sets_waiters_as_well() {
    for (before, me) in words_and_tokens() {
        let step = |word: &AtomicU32| {
            protocol::try_acquire(word, me, Attempt::AfterWaiting, InnerShareable)
        };
        if token_part(before) == 0 {
            check(before, step, me.get() | WAITERS | (before & DIED), Ok(found_free(before)));
        } else {
            check(before, step, before, Err(Word::from_bits(before)));
        }
    }
}

#[test]
fn a_waiter_sets_waiters_on_exactly_the_word_that_was_seen() {
    for (before, seen) in
        words().into_iter().flat_map(|before| words().into_iter().map(move |seen| (before, seen)))
    {
        let step = |word: &AtomicU32| protocol::set_waiters(word, Word::from_bits(seen));
        if before == seen {
            check(before, step, before | WAITERS, Ok(Word::from_bits(before | WAITERS)));
        } else if seen & WAITERS == 0 {
            check(before, step, before, Err(Word::from_bits(before)));
        }
    }
}

#[test]
fn a_word_seen_with_waiters_that_has_changed_is_returned() {
    for (before, seen) in
        words().into_iter().flat_map(|before| words().into_iter().map(move |seen| (before, seen)))
    {
        if before != seen && seen & WAITERS != 0 {
            let step = |word: &AtomicU32| protocol::set_waiters(word, Word::from_bits(seen));
            check(before, step, before, Err(Word::from_bits(before)));
        }
    }
}

#[test]
fn a_release_frees_my_word_keeps_died_and_owes_a_wake_for_waiters() {
    for (before, me) in words_and_tokens() {
        let step = |word: &AtomicU32| protocol::release(word, me, InnerShareable);
        if token_part(before) == me.get() {
            check(before, step, before & DIED, Ok(wake_owed_by(before)));
        } else {
            check(before, step, before, Err(Word::from_bits(before)));
        }
    }
}

#[test]
fn the_fast_steps_move_a_word_without_flags_and_no_other() {
    for (before, me) in words_and_tokens() {
        let acquire = |word: &AtomicU32| protocol::try_acquire_fast(word, me, InnerShareable);
        check(before, acquire, if before == 0 { me.get() } else { before }, before == 0);
        let release = |word: &AtomicU32| protocol::release_fast(word, me, InnerShareable);
        if before == me.get() {
            check(before, release, 0, Ok(()));
        } else {
            check(before, release, before, Err(Word::from_bits(before)));
        }
    }
}

#[test]
fn a_release_without_wake_frees_my_word_and_keeps_both_flags() {
    for (before, me) in words_and_tokens() {
        let step = |word: &AtomicU32| protocol::release_without_wake(word, me, InnerShareable);
        if token_part(before) == me.get() {
            check(before, step, flags(before), Ok(()));
        } else {
            check(before, step, before, Err(Word::from_bits(before)));
        }
    }
}

#[test]
fn a_claimed_wake_clears_waiters_on_a_free_word_and_on_no_other() {
    for before in words() {
        if token_part(before) == 0 && before & WAITERS != 0 {
            check(before, protocol::claim_wake, before & DIED, Wake::One);
        } else {
            check(before, protocol::claim_wake, before, Wake::None);
        }
    }
}

#[test]
fn abandoning_frees_my_word_and_sets_died() {
    for (before, me) in words_and_tokens() {
        let step = |word: &AtomicU32| protocol::abandon(word, me, InnerShareable);
        if token_part(before) == me.get() {
            check(before, step, DIED, Ok(wake_owed_by(before)));
        } else {
            check(before, step, before, Err(Word::from_bits(before)));
        }
    }
}

#[test]
fn taking_over_moves_the_dead_owners_word_to_mine_with_both_flags() {
    for (before, dead) in words_and_tokens() {
        for me in [token(1), token(65_536), token(RESERVED - 1), dead] {
            let step = |word: &AtomicU32| protocol::take_over(word, dead, me, InnerShareable);
            if token_part(before) == dead.get() {
                let recovered = Acquisition { owner_died: true, recovered_from: Some(dead) };
                check(before, step, me.get() | WAITERS | DIED, Some(recovered));
            } else {
                check(before, step, before, None);
            }
        }
    }
}

#[test]
fn declaring_stale_frees_the_word_of_my_new_token_and_sets_died() {
    for (before, mine) in words_and_tokens() {
        let step = |word: &AtomicU32| protocol::declare_stale(word, mine, InnerShareable);
        if token_part(before) == mine.get() {
            check(before, step, DIED, Some(wake_owed_by(before)));
        } else {
            check(before, step, before, None);
        }
    }
}

#[test]
fn declaring_consistent_clears_died_from_my_word_and_nothing_else() {
    for (before, me) in words_and_tokens() {
        let step = |word: &AtomicU32| protocol::declare_consistent(word, me);
        if token_part(before) == me.get() {
            check(before, step, before & !DIED, Ok(()));
        } else {
            check(before, step, before, Err(Word::from_bits(before)));
        }
    }
}
