//! Says which handle holds a lock, or died holding it, as far as its record can be read.

use std::fmt;
use std::time::Duration;

use shmlock_core::{FenceScope, Region, Token};
use uuid::Uuid;

use crate::sys::clock::BootInstant;
use crate::sys::process::pid_namespace;

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

/// An owner died, and nobody has declared the protected data consistent since.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// The dead owner that this very acquisition replaced. `None` if an earlier one did, and did
    /// not call [`declare_consistent`](crate::Guard::declare_consistent); or if the dead one was an exit
    /// handler's doing.
    pub dead: Option<Holder>,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Span;
    use crate::ShmLock;
    use crate::sys::clock::BootInstant;

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
