//! Runs calls of three `RegionLock` handles on one region, and checks the result of each.

use arbitrary::Arbitrary;
use shmlock_core::{Error, FenceScope, Holder, Record, Region, RegionGuard, RegionLock, Word};

use super::RecordInput;
use super::waiting::{Deaths, Lock, Outcome, Waiting};
use crate::memory::{Bytes, DIED, Memory, token_part};

/// The first, the second and the last static token.
const TOKENS: [u16; 3] = [1, 2, 65_535];

#[derive(Debug, Arbitrary)]
pub(super) enum Act {
    TryLock,
    Lock(Waiting),
    LockOrRecover(Waiting, Vec<bool>),
    Acquire(Waiting),
    Release,
    DeclareConsistent,
    Look,
    /// This and the following use the newest guard.
    DropGuard,
    ReleaseGuard,
    ForgetGuard,
}

/// The expected state of a handle.
#[derive(Debug, Default)]
pub(super) struct Known {
    holds: u32,
    guards: u32,
    recorded: bool,
    /// The low half of the count after its last acquisition.
    counted: Option<u64>,
    record: Option<Record>,
}

pub(super) struct Handles<'l, 'a> {
    memory: &'l Memory,
    locks: &'l [Lock<'a>; 3],
    known: [Known; 3],
    guards: Vec<(usize, RegionGuard<'l, 'a, FenceScope>)>,
    alone: bool,
}

/// Opens three handles on one region.
pub(super) fn open<'a>(
    region: Region<'a>,
    fence: FenceScope,
    records: &[Option<RecordInput>; 3],
) -> [Lock<'a>; 3] {
    std::array::from_fn(|index| {
        let lock =
            RegionLock::with_fence(region, TOKENS[index].try_into().expect("not zero"), fence);
        match &records[index] {
            Some(input) => lock.with_record(input.record()),
            None => lock,
        }
    })
}

/// Drops the handles. Holds of `acquire` are released, holds of a leaked guard stay.
pub(super) fn close(memory: &Memory, locks: [Lock<'_>; 3], known: &[Known; 3], alone: bool) {
    for (lock, known) in locks.into_iter().zip(known) {
        let (before, me) = (memory.bytes(), lock.token().get());
        drop(lock);
        let releases = known.holds > 0 && known.guards == 0 && token_part(before.owner()) == me;
        let expected = if releases { before.with_owner(before.owner() & DIED) } else { before };
        assert!(!alone || memory.bytes() == expected);
    }
}

impl<'l, 'a> Handles<'l, 'a> {
    pub(super) fn new(
        memory: &'l Memory,
        locks: &'l [Lock<'a>; 3],
        records: &[Option<RecordInput>; 3],
        alone: bool,
    ) -> Self {
        let known = records.each_ref().map(|input| Known {
            record: input.as_ref().map(RecordInput::record),
            ..Known::default()
        });
        Self { memory, locks, known, guards: Vec::new(), alone }
    }

    /// Ends the remaining guards.
    pub(super) fn end(mut self, leaks: bool) -> [Known; 3] {
        while let Some((index, _)) = self.guards.last() {
            self.act(*index, if leaks { &Act::ForgetGuard } else { &Act::DropGuard });
        }
        self.known
    }

    pub(super) fn act(&mut self, index: usize, act: &Act) {
        let lock = &self.locks[index];
        let before = self.memory.bytes();
        match act {
            Act::TryLock => {
                let busy = Error::Busy { seen: lock.word() };
                let answer = lock.try_lock().and_then(|guard| guard.ok_or(busy));
                self.check_guard(index, &before, answer, &Waiting::Spin(0), &[]);
            }
            Act::Lock(waiting) => {
                let answer = lock.lock(&mut waiting.begin(Some(lock)));
                self.check_guard(index, &before, answer, waiting, &[]);
            }
            Act::LockOrRecover(waiting, dead) => {
                let answer =
                    lock.lock_or_recover(&mut waiting.begin(Some(lock)), &mut Deaths(dead.iter()));
                self.check_guard(index, &before, answer, waiting, dead);
            }
            Act::Acquire(waiting) => {
                let answer = lock.acquire(&mut waiting.begin(Some(lock)));
                self.check_acquire(index, &before, answer, waiting, &[]);
            }
            Act::Release => self.check_explicit_release(index, &before, lock.release()),
            Act::DeclareConsistent => self.check_declare(index, &before, lock.declare_consistent()),
            Act::Look => self.check_look(index, &before),
            Act::DropGuard | Act::ReleaseGuard | Act::ForgetGuard => self.end_guard(index, act),
        }
        let holds = self.known[index].holds > 0;
        let ours = token_part(self.memory.bytes().owner()) == lock.token().get();
        assert!(if self.alone {
            lock.is_held() == (holds && ours)
        } else {
            holds || !lock.is_held()
        });
    }

    fn check_guard(
        &mut self,
        index: usize,
        before: &Bytes,
        answer: Result<RegionGuard<'l, 'a, FenceScope>, Error>,
        waiting: &Waiting,
        dead: &[bool],
    ) {
        let outermost = self.known[index].holds == 0;
        let guard = match answer {
            Ok(guard) => guard,
            Err(error) => return self.check_acquire(index, before, Err(error), waiting, dead),
        };
        self.check_acquire(index, before, Ok(()), waiting, dead);
        self.known[index].guards += 1;
        if self.alone {
            let after = self.memory.bytes();
            assert_eq!(guard.fencing_token(), after.generation());
            assert!(!outermost || guard.owner_died() == (after.owner() & DIED != 0));
        }
        self.guards.push((index, guard));
    }

    /// Checks the result of an acquisition.
    fn check_acquire(
        &mut self,
        index: usize,
        before: &Bytes,
        answer: Result<(), Error>,
        waiting: &Waiting,
        dead: &[bool],
    ) {
        let (me, after) = (self.locks[index].token().get(), self.memory.bytes());
        let nested = self.known[index].holds > 0;
        match answer {
            Ok(()) => self.known[index].holds += 1,
            Err(Error::Busy { .. }) => assert!(!nested),
            Err(Error::Overwritten { .. }) => {
                assert!(nested && (!self.alone || token_part(before.owner()) != me));
            }
            Err(error) => panic!("{error:?}"),
        }
        if !self.alone || nested {
            assert!(
                !self.alone
                    || after == *before && answer.is_ok() == (token_part(before.owner()) == me)
            );
            self.known[index].recorded |= answer.is_ok();
            return;
        }
        // It may take its record for the present one then, whatever has been written over it.
        let is_undisturbed = before.owner() == 0
            && self.known[index].counted == Some(low(before))
            && low(before) != u64::from(u32::MAX);
        if answer.is_ok() {
            self.known[index].counted = Some(low(&after));
        }
        match (waiting.outcome(before.owner(), me, dead), answer) {
            (Some(Outcome::Taken { word, recovers }), Ok(())) => {
                let expected = before.with_owner(word).counted();
                let expected = if recovers { expected.recovered().contended() } else { expected };
                assert_eq!(after.without_record(), expected.without_record());
                if is_undisturbed {
                    assert_eq!(after, expected);
                } else {
                    self.check_record(index, me, &expected, &after);
                }
            }
            (Some(Outcome::Busy { word }), Err(_)) => assert_eq!(after, before.with_owner(word)),
            (None, Ok(())) => {
                assert_eq!(token_part(after.owner()), me);
                self.check_record(index, me, before, &after);
            }
            (None, Err(_)) => assert_eq!(after.with_owner(0), before.with_owner(0)),
            (Some(_), answer) => panic!("{answer:?} from {before:?}"),
        }
    }

    /// Checks the owner record. It is written only if this handle has not written it already.
    fn check_record(&mut self, index: usize, me: u32, before: &Bytes, after: &Bytes) {
        let known = &mut self.known[index];
        let stands = before.describes(me);
        let written = match &known.record {
            Some(record) if !stands || !known.recorded => Some(record.clone()),
            None if stands && !known.recorded => Some(Record::default()),
            _ => None,
        };
        match written {
            Some(record) => assert_eq!(after.record_of(me), Some(record)),
            None => assert_eq!(after.record_of(me), before.record_of(me)),
        }
        known.recorded = true;
    }

    fn check_explicit_release(&mut self, index: usize, before: &Bytes, answer: Result<(), Error>) {
        let Known { holds, guards, .. } = self.known[index];
        match (holds, guards) {
            (0, _) => assert_eq!(answer, Err(Error::NotHeld)),
            _ if holds == guards => assert_eq!(answer, Err(Error::GuardsAlive { guards })),
            _ => return self.check_release(index, before, Some(answer)),
        }
        self.unchanged(before);
    }

    /// Checks the result of a release. A drop has no result.
    fn check_release(&mut self, index: usize, before: &Bytes, answer: Option<Result<(), Error>>) {
        let (me, word) = (self.locks[index].token().get(), before.owner());
        self.known[index].holds -= 1;
        let ours = token_part(word) == me;
        let (expected, after) = match self.known[index].holds {
            0 if ours => (Ok(()), before.with_owner(word & DIED)),
            0 => (Err(Error::Overwritten { found: Word::from_bits(word) }), *before),
            _ => (Ok(()), *before),
        };
        if self.alone {
            assert!(
                answer.is_none_or(|answer| answer == expected),
                "{answer:?} instead of {expected:?}"
            );
            assert_eq!(self.memory.bytes(), after);
        } else {
            assert!(
                matches!(answer, None | Some(Ok(()) | Err(Error::Overwritten { .. }))),
                "{answer:?}"
            );
        }
    }

    fn check_declare(&self, index: usize, before: &Bytes, answer: Result<(), Error>) {
        let (me, word) = (self.locks[index].token().get(), before.owner());
        if self.known[index].holds == 0 {
            assert_eq!(answer, Err(Error::NotHeld));
            self.unchanged(before);
        } else if self.alone && token_part(word) == me {
            assert_eq!(answer, Ok(()));
            self.unchanged(&before.with_owner(word & !DIED));
        } else if self.alone {
            assert_eq!(answer, Err(Error::Overwritten { found: Word::from_bits(word) }));
            self.unchanged(before);
        }
    }

    fn check_look(&self, index: usize, before: &Bytes) {
        let lock = &self.locks[index];
        let holder = lock.holder();
        let text = format!(
            "{:?} {}",
            lock.word(),
            holder.as_ref().map(Holder::to_string).unwrap_or_default()
        );
        assert!(!text.contains(char::is_control), "{text:?} has control characters");
        if self.alone {
            let owner = token_part(before.owner());
            let shown = holder.map(|holder| (holder.token.get(), holder.record));
            assert_eq!(shown, (owner != 0).then(|| (owner, before.record_of(owner))));
            assert_eq!(lock.word().bits(), before.owner());
        }
        self.unchanged(before);
    }

    fn end_guard(&mut self, index: usize, act: &Act) {
        let Some(position) = self.guards.iter().rposition(|(of, _)| *of == index) else { return };
        let (_, guard) = self.guards.remove(position);
        let before = self.memory.bytes();
        match act {
            Act::ReleaseGuard => {
                let answer = guard.release();
                self.known[index].guards -= 1;
                self.check_release(index, &before, Some(answer));
            }
            Act::ForgetGuard => std::mem::forget(guard), // stays counted
            _ => {
                drop(guard);
                self.known[index].guards -= 1;
                self.check_release(index, &before, None);
            }
        }
    }

    fn unchanged(&self, before: &Bytes) {
        assert!(
            !self.alone || self.memory.bytes() == *before,
            "{:?} was {before:?}",
            self.memory.bytes()
        );
    }
}

/// Returns the low half of the count of acquisitions.
fn low(bytes: &Bytes) -> u64 {
    bytes.generation() & u64::from(u32::MAX)
}
