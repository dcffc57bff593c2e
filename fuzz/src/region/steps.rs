//! Takes the steps of the protocol and the calls of the region with any token, and checks them
//! against the table of `PROTOCOL.md`.

use std::convert::Infallible;
use std::fmt::Debug;
use std::sync::atomic::Ordering::Relaxed;

use arbitrary::Arbitrary;
use shmlock_core::contend::{acquire_contended, cancel_wait};
use shmlock_core::layout::Magic;
use shmlock_core::protocol::{self, Acquisition, Attempt, Wake};
use shmlock_core::snapshot::snapshot;
use shmlock_core::token::TokenRange;
use shmlock_core::{AtomicU32, FenceScope, Record, Region, Token, Word};

use super::RecordInput;
use super::waiting::{Deaths, Outcome, Waiting};
use crate::memory::{Bytes, DIED, MAGIC, Memory, WAITERS, token_part};

#[derive(Debug, Arbitrary)]
pub(super) enum Step {
    TryAcquire {
        me: TokenInput,
        waited: bool,
    },
    Contend {
        me: TokenInput,
        waiting: Waiting,
        dead: Vec<bool>,
    },
    /// With the current word, or another.
    MarkWaiting {
        seen: Option<u32>,
    },
    Release {
        me: TokenInput,
    },
    ReleaseWithoutWake {
        me: TokenInput,
    },
    ClaimWake,
    /// The fast path of acquire or release.
    Fast {
        me: TokenInput,
        releases: bool,
    },
    /// With the current word, or another.
    GiveUp {
        seen: Option<u32>,
        waited: bool,
    },
    Abandon {
        me: TokenInput,
    },
    TakeOver {
        dead: TokenInput,
        me: TokenInput,
    },
    DeclareStale {
        me: TokenInput,
    },
    DeclareConsistent {
        me: TokenInput,
    },
    Count,
    CountRecovery,
    CountContended,
    WriteRecord {
        me: TokenInput,
        input: RecordInput,
    },
    Read {
        owner: TokenInput,
    },
    /// A write outside the protocol.
    Write {
        word: u8,
        value: u32,
    },
}

/// A token.
#[derive(Debug, Arbitrary)]
pub(super) enum TokenInput {
    /// The owner.
    Named,
    /// A small number: a token of a handle, or close to one.
    Low(u8),
    Any(u32),
}

impl TokenInput {
    fn token(&self, bytes: &Bytes) -> Token {
        let bits = match self {
            Self::Named => bytes.owner(),
            Self::Low(number) => u32::from(*number),
            Self::Any(bits) => *bits,
        };
        Word::from_bits(bits).owner().or(Word::from_bits(1).owner()).expect("not zero")
    }
}

fn wake_owed_by(word: u32) -> Wake {
    if word & WAITERS == 0 { Wake::None } else { Wake::One }
}

impl Step {
    /// Takes the step. If `alone`, there is no other writer, and the table decides the result.
    pub(super) fn play(&self, memory: &Memory, region: Region<'_>, fence: FenceScope, alone: bool) {
        let before = memory.bytes();
        let (word, seen) = (region.owner_word(), before.owner());
        let is = |who: Token| token_part(seen) == who.get();
        let unmoved = Word::from_bits(seen);
        let context = StepContext { memory, before, alone };
        match self {
            Self::TryAcquire { me, waited } => {
                let attempt = if *waited { Attempt::AfterWaiting } else { Attempt::First };
                let me = me.token(&before);
                let answer = protocol::try_acquire(word, me, attempt, fence);
                let taken = seen | me.get() | if *waited { WAITERS } else { 0 };
                let (yes, no) = (Ok(found_free(seen)), Err(unmoved));
                context.expects(answer, unmoved.is_free(), taken, yes, no);
            }
            Self::Contend { me, waiting, dead } => {
                let me = me.token(&before);
                let mut deaths = Deaths(dead.iter());
                let answer =
                    acquire_contended(word, me, fence, &mut deaths, &mut waiting.begin(None));
                context.contended(answer, me, waiting.outcome(seen, me.get(), dead));
            }
            Self::MarkWaiting { seen: saw } => {
                let saw = saw.unwrap_or(seen);
                let waiting = Word::from_bits(saw | WAITERS);
                let answer = protocol::set_waiters(word, Word::from_bits(saw));
                context.expects(answer, saw == seen, waiting.bits(), Ok(waiting), Err(unmoved));
            }
            Self::Release { me } => {
                let me = me.token(&before);
                let answer = protocol::release(word, me, fence);
                context.expects(answer, is(me), seen & DIED, Ok(wake_owed_by(seen)), Err(unmoved));
            }
            Self::ReleaseWithoutWake { me } => {
                let me = me.token(&before);
                let answer = protocol::release_without_wake(word, me, fence);
                context.expects(answer, is(me), seen & (WAITERS | DIED), Ok(()), Err(unmoved));
            }
            Self::ClaimWake => {
                let owed = token_part(seen) == 0 && seen & WAITERS != 0;
                let answer = protocol::claim_wake(word);
                context.expects(answer, owed, seen & DIED, Wake::One, Wake::None);
            }
            Self::Fast { me, releases: false } => {
                let me = me.token(&before);
                let answer = protocol::try_acquire_fast(word, me, fence);
                context.expects(answer, seen == 0, me.get(), true, false);
            }
            Self::Fast { me, releases: true } => {
                let me = me.token(&before);
                let answer = protocol::release_fast(word, me, fence);
                context.expects(answer, seen == me.get(), 0, Ok(()), Err(unmoved));
            }
            Self::GiveUp { seen: saw, waited } => {
                context.given_up(word, saw.unwrap_or(seen), *waited);
            }
            Self::Abandon { me } => {
                let me = me.token(&before);
                let answer = protocol::abandon(word, me, fence);
                context.expects(answer, is(me), DIED, Ok(wake_owed_by(seen)), Err(unmoved));
            }
            Self::TakeOver { dead, me } => {
                let (dead, me) = (dead.token(&before), me.token(&before));
                let answer = protocol::take_over(word, dead, me, fence);
                let taken = Acquisition { owner_died: true, recovered_from: Some(dead) };
                context.expects(answer, is(dead), me.get() | WAITERS | DIED, Some(taken), None);
            }
            Self::DeclareStale { me } => {
                let me = me.token(&before);
                let answer = protocol::declare_stale(word, me, fence);
                context.expects(answer, is(me), DIED, Some(wake_owed_by(seen)), None);
            }
            Self::DeclareConsistent { me } => {
                let me = me.token(&before);
                let answer = protocol::declare_consistent(word, me);
                context.expects(answer, is(me), seen & !DIED, Ok(()), Err(unmoved));
            }
            _ => self.play_on_region(&context, region, fence),
        }
    }

    /// Takes a step of the region, beside the owner word.
    fn play_on_region(&self, context: &StepContext<'_>, region: Region<'_>, fence: FenceScope) {
        let before = context.before;
        match self {
            Self::Count => {
                region.count_acquisition(fence);
                context.leaves(before.counted());
                context.check_eq(region.fencing_token(), before.counted().generation());
            }
            Self::CountRecovery => {
                region.count_recovery();
                context.leaves(before.recovered());
                context.check_eq(region.recoveries(), before.recovered().recoveries());
            }
            Self::CountContended => {
                region.count_contended();
                context.leaves(before.contended());
                context.check_eq(region.contended(), before.contended().contentions());
            }
            Self::WriteRecord { me, input } => {
                context.recorded(region, me.token(&before), &input.record(), fence);
            }
            Self::Read { owner } => context.read(region, owner.token(&before), fence),
            Self::Write { word, value } => {
                let words = context.memory.words();
                words[usize::from(*word) % words.len()].store(*value, Relaxed);
            }
            _ => unreachable!("a step of the owner word: {self:?}"),
        }
    }
}

fn found_free(word: u32) -> Acquisition {
    Acquisition { owner_died: word & DIED != 0, recovered_from: None }
}

/// The memory before a step.
struct StepContext<'a> {
    memory: &'a Memory,
    before: Bytes,
    alone: bool,
}

impl StepContext<'_> {
    fn check_eq<R: PartialEq + Debug>(&self, answer: R, expected: R) {
        assert!(
            !self.alone || answer == expected,
            "{answer:?} instead of {expected:?} from {:?}",
            self.before
        );
    }

    fn leaves(&self, expected: Bytes) {
        self.check_eq(self.memory.bytes(), expected);
    }

    /// If `moves`, the word must become `word` and the result be `yes`; otherwise nothing changes
    /// and it is `no`.
    fn expects<R: PartialEq + Debug>(&self, answer: R, moves: bool, word: u32, yes: R, no: R) {
        self.check_eq(answer, if moves { yes } else { no });
        self.leaves(if moves { self.before.with_owner(word) } else { self.before });
    }

    fn given_up(&self, word: &AtomicU32, saw: u32, waited: bool) {
        let seen = self.before.owner();
        let answer = cancel_wait(
            word,
            Word::from_bits(saw),
            if waited { Attempt::AfterWaiting } else { Attempt::First },
        );
        // A contender that has not waited, or saw the lock free, owes no wake.
        let looks = waited && token_part(saw) != 0;
        let now = Word::from_bits(if looks { seen } else { saw });
        self.expects(answer, looks && token_part(seen) != 0, seen | WAITERS, now, now);
    }

    fn recorded(&self, region: Region<'_>, me: Token, record: &Record, fence: FenceScope) {
        region.write_record(me, record, fence);
        self.check_eq(self.memory.bytes().without_record(), self.before.without_record());
        self.check_eq(region.record_of(me, fence), Some(record.clone()));
        self.check_eq(region.record_describes(me), true);
    }

    fn read(&self, region: Region<'_>, owner: Token, fence: FenceScope) {
        let Self { memory, before, .. } = self;
        self.check_eq(region.record_of(owner, fence), before.record_of(owner.get()));
        self.check_eq(region.record_describes(owner), before.describes(owner.get()));
        self.check_eq(region.acquisitions(), before.generation());
        let Ok(copy) = snapshot(fence, || Ok::<_, Infallible>(memory.bytes().0));
        let copied =
            Region::new(&copy).ok().map(|copy| (copy.word(), copy.record_of(owner, fence)));
        let is_ours = matches!(Magic::decode(before.word(MAGIC)), Magic::Ours | Magic::Untouched);
        self.check_eq(
            copied,
            is_ours.then(|| (Word::from_bits(before.owner()), before.record_of(owner.get()))),
        );
        self.check_eq(Token::living(owner.get()).is_some(), owner.range() == TokenRange::Living);
        self.leaves(*before);
    }

    fn contended(&self, answer: Result<Acquisition, Word>, me: Token, outcome: Option<Outcome>) {
        match outcome {
            Some(Outcome::Taken { word, recovers }) => {
                self.check_eq(answer.map(|taken| taken.recovered_from.is_some()), Ok(recovers));
                self.leaves(self.before.with_owner(word));
            }
            Some(Outcome::Busy { word }) => {
                self.check_eq(answer.map(|_| false), Err(Word::from_bits(word)));
                self.leaves(self.before.with_owner(word));
            }
            None if answer.is_ok() => {
                self.check_eq(token_part(self.memory.bytes().owner()), me.get());
            }
            None => {}
        }
    }
}
