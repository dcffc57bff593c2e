//! Who holds it, and is it healthy? Looking changes nothing.

use std::fmt;
use std::os::fd::AsFd;
use std::time::Duration;

use shmlock_core::{FenceScope, Region, Token, Word};
use uuid::Uuid;

use crate::descriptor::Descriptor;
use crate::liveness::{OwnerState, life_of, life_of_owner};
use crate::moment::BootInstant;
use crate::shm::Attachment;

/// Who holds a lock, as far as it can be read.
///
/// The owner writes its record after it has the lock, so for an instant a holder is known by its
/// token only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    inner: shmlock_core::Holder,
}

impl Holder {
    /// Reads who holds the lock of `region`.
    pub(crate) fn read(region: Region<'_>, fence: FenceScope) -> Option<Self> {
        region.holder(fence).map(|inner| Self { inner })
    }

    /// What is known of `token`, whoever holds the lock now.
    pub(crate) fn former(region: Region<'_>, token: Token, fence: FenceScope) -> Self {
        Self { inner: shmlock_core::Holder { token, record: region.record_of(token, fence) } }
    }

    /// The number in the owner word.
    #[must_use]
    pub fn token(&self) -> u32 {
        self.inner.token.get()
    }

    /// The handle's uuid; `None` if its record could not be read.
    #[must_use]
    pub fn uuid(&self) -> Option<Uuid> {
        self.inner.record.as_ref().map(|record| record.uuid)
    }

    /// The owner's process id, **in its own pid namespace**; `None` if its record could not be
    /// read.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.inner.record.as_ref().map(|record| record.pid)
    }

    /// Whether [`pid`](Self::pid) means the same process to us as to the owner; `None` if that is
    /// not known.
    #[must_use]
    pub fn pid_is_ours(&self) -> Option<bool> {
        let theirs = self.inner.record.as_ref().map(|record| record.pid_namespace)?;
        let ours = pid_namespace();
        (theirs != 0 && ours != 0).then_some(theirs == ours)
    }

    /// The pid namespace in which [`pid`](Self::pid) is a process: the number of its inode, as in
    /// lsns(8). `None` if the owner did not know it, or its record could not be read.
    #[must_use]
    pub fn pid_namespace(&self) -> Option<u32> {
        self.inner
            .record
            .as_ref()
            .map(|record| record.pid_namespace)
            .filter(|namespace| *namespace != 0)
    }

    /// What the owner says it holds the lock for; empty if it says nothing.
    #[must_use]
    pub fn description(&self) -> &str {
        self.inner.record.as_ref().map_or("", |record| record.description.as_str())
    }

    /// For how long the owner has held the lock without anybody else in between, in whole seconds.
    /// A handle that takes its lock again and again, undisturbed, counts from the first time.
    ///
    /// The record has the second in which the hold began. It is taken to have begun in the middle
    /// of it, so that the answer is wrong by half a second at most, before it is cut to whole
    /// seconds.
    ///
    /// Too long, by the time that it was suspended, if the machine was so in the very second in
    /// which the hold began.
    #[must_use]
    pub fn since(&self) -> Option<Duration> {
        let then = self.inner.record.as_ref().map(|record| record.since)?;
        let begin = Duration::from_secs(then).saturating_add(Duration::from_millis(500));
        Some(Duration::from_secs(BootInstant::now().since_boot().saturating_sub(begin).as_secs()))
    }
}

/// What the accessors return, `null` for what is not known: `token`, `pid`, `pid_namespace`,
/// `pid_is_ours`, `uuid` as text, `description`, and [`since`](Holder::since) as `held_seconds`.
#[cfg(feature = "serde")]
impl serde::Serialize for Holder {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;

        let mut fields = serializer.serialize_struct("Holder", 7)?;
        fields.serialize_field("token", &self.token())?;
        fields.serialize_field("pid", &self.pid())?;
        fields.serialize_field("pid_namespace", &self.pid_namespace())?;
        fields.serialize_field("pid_is_ours", &self.pid_is_ours())?;
        fields.serialize_field("uuid", &self.uuid().map(|uuid| uuid.to_string()))?;
        fields.serialize_field("description", self.description())?;
        fields.serialize_field("held_seconds", &self.since().map(|since| since.as_secs()))?;
        fields.end()
    }
}

impl fmt::Display for Holder {
    /// One line, escaped. A process id is marked if it is not one of ours: it is no number for
    /// kill(2) here.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(record) = &self.inner.record else { return write!(f, "{}", self.inner) };
        write!(f, "pid {}", record.pid)?;
        match (self.pid_is_ours(), self.pid_namespace()) {
            (Some(true), _) => {}
            (Some(false), Some(namespace)) => write!(f, " of another pid namespace, {namespace}")?,
            (_, _) => f.write_str(" of an unknown pid namespace")?,
        }
        write!(f, ", uuid {}", record.uuid)?;
        if !record.description.is_empty() {
            write!(f, ", \"{}\"", record.description.escape_debug())?;
        }
        self.since().map_or(Ok(()), |since| write!(f, ", for {}", Span(since)))
    }
}

/// A time as its two largest units: "40d00h".
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
        match seconds {
            0..60 => write!(f, "{seconds}s"),
            60..3600 => write!(f, "{minutes}m{:02}s", seconds % 60),
            3600..86400 => write!(f, "{hours}h{:02}m", minutes % 60),
            _ => write!(f, "{days}d{:02}h", hours % 24),
        }
    }
}

/// Whether the lock is held, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum LockState {
    /// Nobody holds it.
    Unlocked,
    /// This handle holds it.
    HeldByThisHandle,
    /// Another handle holds it; this is known of its life.
    Held(OwnerState),
}

/// The state of a lock, as one look shows it. By the time it is read it may be different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LockStatus {
    /// Whether it is held.
    pub occupancy: LockState,
    /// Whether somebody asked to be woken. May be true after the last of them has gone.
    pub waiters: bool,
    /// Whether an owner died, and nobody has declared the data consistent since.
    pub owner_died: bool,
    /// How many dead owners have been replaced in the life of this file.
    pub recoveries: u32,
    /// Whether the file was removed: whoever opens the name now gets another lock.
    pub orphaned: bool,
}

/// How often to look again at an owner that seems dead but is no owner any more. Arbitrary: a
/// second time is rare.
pub(crate) const LOOKS: u32 = 16;

impl LockStatus {
    /// Judges a copy of the region, for a caller without a handle; `probe` is any description of
    /// the file. True only if the probe is itself afterwards.
    pub(crate) fn of_copy(copy: Region<'_>, probe: &Descriptor) -> Self {
        let word = copy.word();
        let life = |owner| LockState::Held(life_of(probe.as_fd(), owner));
        Self {
            occupancy: word.owner().map_or(LockState::Unlocked, life),
            waiters: word.has_waiters(),
            owner_died: word.owner_died(),
            recoveries: copy.recoveries(),
            orphaned: probe.links() == Some(0),
        }
    }

    pub(crate) fn look(shared: &Attachment, me: Token, held: bool) -> Self {
        let region = shared.region();
        let (word, occupancy) = occupancy(
            || region.word(),
            |owner| match owner == me {
                true if held => LockState::HeldByThisHandle,
                // Nobody else can have our token: whatever wrote it is no owner.
                true => LockState::Held(OwnerState::Dead),
                false => LockState::Held(life_of_owner(shared, owner)),
            },
        );
        Self {
            occupancy,
            waiters: word.has_waiters(),
            owner_died: word.owner_died(),
            recoveries: region.recoveries(),
            orphaned: shared.is_orphaned(),
        }
    }

    /// Whether nothing needs anybody's attention: the file is there, and no owner died whose data
    /// nobody has declared consistent since, whether the lock has been taken over already or not.
    /// The data may be half-written.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        !self.orphaned && !self.owner_died && self.occupancy != LockState::Held(OwnerState::Dead)
    }
}

impl fmt::Display for LockStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.occupancy {
            LockState::Unlocked => "free",
            LockState::HeldByThisHandle => "held by this handle",
            LockState::Held(OwnerState::Alive) => "held",
            LockState::Held(OwnerState::Dead) => {
                "held by a dead owner; the next comer takes it over"
            }
            LockState::Held(OwnerState::Unknown) => "held by an owner whose life cannot be proven",
        })?;
        for (flag, text) in [
            (self.waiters, "; somebody waits"),
            (self.owner_died, "; an owner died and the data has not been declared consistent"),
            (self.orphaned, "; its file was removed"),
        ] {
            if flag {
                f.write_str(text)?;
            }
        }
        Ok(())
    }
}

/// Who has the word that `look` shows, by `judge`.
///
/// An owner that gave the lock back and closed its handle between the look at the word and that at
/// its life has not died: the word says so, for a dead owner stands there until it is replaced.
fn occupancy(look: impl Fn() -> Word, judge: impl Fn(Token) -> LockState) -> (Word, LockState) {
    let mut word = look();
    for _ in 0..LOOKS {
        let Some(owner) = word.owner() else { return (word, LockState::Unlocked) };
        let occupancy = judge(owner);
        let now = look();
        if occupancy != LockState::Held(OwnerState::Dead) || now.owner() == Some(owner) {
            return (word, occupancy);
        }
        word = now;
    }
    (word, LockState::Held(OwnerState::Unknown))
}

/// Our process id, as our own pid namespace sees it, getpid(2).
pub(crate) fn process_id() -> u32 {
    rustix::process::getpid().as_raw_nonzero().get().unsigned_abs()
}

/// The inode number of our pid namespace, namespaces(7); 0 without /proc.
#[allow(clippy::unnecessary_cast, reason = "another width on other targets")]
pub(crate) fn pid_namespace() -> u32 {
    rustix::fs::stat("/proc/self/ns/pid")
        .map_or(0, |stat| u32::try_from(stat.st_ino as u64).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Span;
    use crate::ShmLock;
    use crate::moment::BootInstant;

    #[test]
    fn a_time_has_its_two_largest_units() {
        let spans = [0, 59, 60, 3599, 3600, 86399, 86400, 3_456_000]
            .map(|s| Span(Duration::from_secs(s)).to_string());
        assert_eq!(spans, ["0s", "59s", "1m00s", "59m59s", "1h00m", "23h59m", "1d00h", "40d00h"]);
    }

    #[test]
    fn a_hold_of_less_than_half_a_second_is_not_said_to_be_one_second_old() {
        let name = format!("test-since-{}", std::process::id());
        let lock = ShmLock::open(&name).expect("opens");
        // From the end of one second of the clock into the next one; which moment that is does not
        // matter.
        let until = |is: &dyn Fn(Duration) -> bool| while !is(BootInstant::now().since_boot()) {};
        until(&|now| (880..900).contains(&now.subsec_millis()));
        let (guard, begin) = (lock.lock().expect("free"), BootInstant::now());
        until(&|now| now.as_secs() > begin.seconds());
        let since = lock.holder().expect("ours").expect("held").since().expect("its record");
        if begin.elapsed() < Duration::from_millis(500) {
            assert_eq!(since, Duration::ZERO);
        }
        drop(guard);
    }
}
