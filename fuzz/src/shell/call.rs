//! Makes the calls of a scenario, and tracks the expected state of the handles.

use std::fs;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use shmlock::{Error, Guard, ShmLock};
use shmlock_tests::hostile::{Intruder, Mode, PRESENCE, byte_of};

use super::expected_errors::{given, is_one_clean_line, only, tried, waited, within};
use super::{NAME, TempDir};

#[derive(Debug, Arbitrary)]
pub(super) enum Call {
    By(u8, Act),
    /// A write outside the protocol, through another descriptor.
    Write {
        word: u8,
        value: Written,
    },
    /// Another description locks or unlocks a byte.
    Bytes {
        of: Byte,
        kind: Option<bool>,
    },
    Remove,
}

/// The written value.
#[derive(Debug, Arbitrary)]
pub(super) enum Written {
    Any(u32),
    /// The token of a handle that has held the lock, with these flags.
    TokenOf(u8, u8),
}

#[derive(Debug, Arbitrary)]
pub(super) enum Byte {
    Token(u32),
    /// The token of a handle that has held the lock. A lock on its byte makes a closed handle look
    /// alive.
    TokenOf(u8),
    Presence,
    AllTokens,
}

#[derive(Debug, Arbitrary)]
pub(super) enum Act {
    Lock(u8),
    LockUntil(u8),
    TryLock,
    Acquire(u8),
    TryAcquire,
    Release,
    ForceRelease,
    DeclareConsistent,
    Describe(String),
    Look,
    Clone,
    /// This and the following use the newest guard.
    DropGuard,
    ReleaseGuard,
    ForgetGuard,
}

/// The handles of a session.
pub(super) struct Handles<'l> {
    tempdir: &'l TempDir,
    locks: &'l [Option<ShmLock>; 3],
    guards: Vec<(usize, Guard<'l>)>,
    /// The tokens that have held the lock.
    tokens: Vec<u32>,
    intruder: Option<Intruder>,
}

fn patience(hundreds: u8) -> Duration {
    Duration::from_micros(u64::from(hundreds % 4) * 100)
}

impl<'l> Handles<'l> {
    pub(super) fn new(tempdir: &'l TempDir, locks: &'l [Option<ShmLock>; 3]) -> Self {
        let path = tempdir.path().join(format!("{NAME}.shmlock"));
        let intruder = locks.iter().any(Option::is_some).then(|| Intruder::on(&path));
        Self { tempdir, locks, guards: Vec::new(), tokens: vec![1], intruder }
    }

    pub(super) fn play(&mut self, call: &Call) {
        let Some(intruder) = &self.intruder else { return };
        match call {
            Call::By(handle, act) => {
                let index = usize::from(*handle) % self.locks.len();
                if let Some(lock) = &self.locks[index] {
                    self.act(index, lock, act);
                }
            }
            Call::Write { word, value } => {
                let value = match value {
                    Written::Any(value) => *value,
                    Written::TokenOf(which, flags) => {
                        self.token(*which) | u32::from(flags % 4) << 30
                    }
                };
                intruder.scribble(u64::from(word % 32) * 4, value);
            }
            Call::Bytes { of, kind } => {
                let bytes = self.bytes(of);
                match kind {
                    Some(write) => {
                        let mode = if *write { Mode::Write } else { Mode::Read };
                        let _ = intruder.lock(mode, &bytes);
                    }
                    None => intruder.unlock(&bytes),
                }
            }
            Call::Remove => {
                drop(fs::remove_file(self.tempdir.path().join(format!("{NAME}.shmlock"))));
            }
        }
    }

    fn token(&self, which: u8) -> u32 {
        self.tokens[usize::from(which) % self.tokens.len()]
    }

    fn bytes(&self, of: &Byte) -> RangeInclusive<i64> {
        let byte = match of {
            Byte::Token(token) => byte_of(token & ((1 << 30) - 1)),
            Byte::TokenOf(which) => byte_of(self.token(*which)),
            Byte::Presence => PRESENCE,
            Byte::AllTokens => return shmlock_tests::hostile::TOKENS,
        };
        byte..=byte
    }

    fn act(&mut self, index: usize, lock: &'l ShmLock, act: &Act) {
        let held = lock.is_held();
        match act {
            Act::Lock(time) => {
                let guard = within(patience(*time), || lock.try_lock_for(patience(*time)));
                self.keep(index, lock, waited(guard, held));
            }
            Act::LockUntil(time) => {
                let end = Instant::now() + patience(*time);
                let guard = within(patience(*time), || lock.try_lock_until(end));
                self.keep(index, lock, waited(guard, held));
            }
            Act::TryLock => {
                let guard = within(Duration::ZERO, || lock.try_lock());
                self.keep(index, lock, tried(guard, held).flatten());
            }
            Act::Acquire(time) => {
                let answer = within(patience(*time), || lock.try_acquire_for(patience(*time)));
                let taken = waited(answer, held).is_some();
                assert_eq!(lock.is_held(), held || taken);
            }
            Act::TryAcquire => {
                let answer = within(Duration::ZERO, || lock.try_acquire());
                let taken = tried(answer, held) == Some(true);
                assert_eq!(lock.is_held(), held || taken);
            }
            Act::Release => {
                let _ = only(lock.release(), |error| match error {
                    Error::NotHeld { .. } => !held,
                    Error::GuardsAlive { .. } => held && lock.is_held(),
                    error => !lock.is_held() && matches!(error, Error::Overwritten { .. }),
                });
            }
            Act::ForceRelease => {
                let was =
                    only(lock.force_release(), |error| matches!(error, Error::Overwritten { .. }));
                assert!(!lock.is_held() && was.is_none_or(|was| was == held));
            }
            Act::DeclareConsistent => {
                let _ = only(lock.declare_consistent(), |error| match error {
                    Error::NotHeld { .. } => !held,
                    error => !lock.is_held() && matches!(error, Error::Overwritten { .. }),
                });
            }
            Act::Describe(text) => {
                let before = lock.description();
                let changed = only(lock.set_description(text), |error| match error {
                    Error::DescriptionTooLong { len } => *len == text.len() && *len > 63,
                    _ => false,
                });
                assert_eq!(lock.description(), *if changed.is_some() { text } else { &before });
            }
            Act::Look => self.look(lock),
            Act::Clone => clone_briefly(lock),
            Act::DropGuard | Act::ReleaseGuard | Act::ForgetGuard => self.end_guard(index, act),
        }
    }

    fn keep(&mut self, index: usize, lock: &ShmLock, guard: Option<Guard<'l>>) {
        let Some(guard) = guard else { return };
        assert!(lock.is_held() && guard.fencing_token() == lock.fencing_token());
        let token = only(lock.holder(), |_| false).flatten().map(|holder| holder.token());
        self.tokens.extend(token);
        self.guards.push((index, guard));
    }

    fn look(&self, lock: &ShmLock) {
        let holder = only(lock.holder(), |_| false).flatten();
        if let Some(holder) = &holder {
            is_one_clean_line(&holder.to_string());
            assert!(holder.description().len() <= 63);
        }
        let locked = only(lock.is_locked(), |_| false);
        assert_eq!(locked, Some(holder.is_some()), "no write comes between the two");
        let health = only(lock.status(), |_| false).expect("ours");
        is_one_clean_line(&health.to_string());
        assert_eq!(health.orphaned, self.tempdir.names().is_empty());
        assert!(lock.is_held() || (lock.recovered(), lock.fencing_token()) == (None, None));
    }

    fn end_guard(&mut self, index: usize, act: &Act) {
        let Some(position) = self.guards.iter().rposition(|(of, _)| *of == index) else { return };
        let (_, guard) = self.guards.remove(position);
        match act {
            Act::ReleaseGuard => drop(given(guard.release())),
            Act::ForgetGuard => std::mem::forget(guard),
            _ => drop(guard),
        }
    }

    /// Ends the remaining guards.
    pub(super) fn end(mut self, leaks: bool) {
        for (_, guard) in self.guards.drain(..).rev() {
            if leaks { std::mem::forget(guard) } else { drop(guard) }
        }
    }
}

/// Makes a clone and closes it.
fn clone_briefly(lock: &ShmLock) {
    let clone = lock.try_clone();
    drop(only(clone, |error| match error {
        Error::System { operation, .. } => operation.starts_with("find a free token"),
        // The byte that stays unlocked is locked.
        Error::Orphaned { .. } | Error::Unsupported { .. } => true,
        error => matches!(
            error,
            Error::NotALock { .. }
                | Error::ModeTooWide { .. }
                | Error::InUseWithOtherMode { .. }
                | Error::OpenTimedOut { .. }
        ),
    }));
}
