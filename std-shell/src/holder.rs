//! Describes the owner of a lock, alive or dead, from its owner record.

use std::fmt;
use std::time::Duration;

use shmlock_core::{FenceScope, Region, Token};
use uuid::Uuid;

use crate::sys::clock::BootInstant;
use crate::sys::process::pid_namespace;

/// The owner of a lock, as far as its record can be read.
///
/// The owner writes its record after it has acquired the lock. Until then only its token is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    inner: shmlock_core::Holder,
}

impl Holder {
    /// Reads the present owner of the lock in `region`.
    pub(crate) fn read(region: Region<'_>, fence: FenceScope) -> Option<Self> {
        region.holder(fence).map(|inner| Self { inner })
    }

    /// Reads the record of `token`, whichever handle owns the lock now.
    pub(crate) fn former(region: Region<'_>, token: Token, fence: FenceScope) -> Self {
        Self { inner: shmlock_core::Holder { token, record: region.record_of(token, fence) } }
    }

    /// Returns the token in the owner word.
    #[must_use]
    pub fn token(&self) -> u32 {
        self.inner.token.get()
    }

    /// Returns the uuid of the handle; `None` if its record could not be read.
    #[must_use]
    pub fn uuid(&self) -> Option<Uuid> {
        self.inner.record.as_ref().map(|record| record.uuid)
    }

    /// Returns the process id of the owner **in its own pid namespace**; `None` if its record
    /// could not be read.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.inner.record.as_ref().map(|record| record.pid)
    }

    /// Returns `true` if the owner's pid namespace is that of this process: then
    /// [`pid`](Self::pid) names the owner here, too. `None` if one of the two is not known.
    #[must_use]
    pub fn pid_is_ours(&self) -> Option<bool> {
        let theirs = self.inner.record.as_ref().map(|record| record.pid_namespace)?;
        let ours = pid_namespace();
        (theirs != 0 && ours != 0).then_some(theirs == ours)
    }

    /// Returns the inode number of the pid namespace to which [`pid`](Self::pid) belongs, as
    /// lsns(8) shows it. `None` if the owner did not know it, or its record could not be read.
    #[must_use]
    pub fn pid_namespace(&self) -> Option<u32> {
        self.inner
            .record
            .as_ref()
            .map(|record| record.pid_namespace)
            .filter(|namespace| *namespace != 0)
    }

    /// Returns the description that the owner has given; empty if it has given none.
    #[must_use]
    pub fn description(&self) -> &str {
        self.inner.record.as_ref().map_or("", |record| record.description.as_str())
    }

    /// Returns how long the owner has had the lock without another owner in between, in whole
    /// seconds. A handle that acquires its lock repeatedly counts from the first acquisition.
    ///
    /// # Limits
    /// The record has the second in which the hold began, and the middle of that second counts as
    /// its beginning. So the result is wrong by half a second at most, before it is cut to whole
    /// seconds. If the machine was suspended in that second, the result includes the suspension.
    #[must_use]
    pub fn since(&self) -> Option<Duration> {
        let then = self.inner.record.as_ref().map(|record| record.since)?;
        let begin = Duration::from_secs(then).saturating_add(Duration::from_millis(500));
        Some(Duration::from_secs(BootInstant::now().since_boot().saturating_sub(begin).as_secs()))
    }
}

/// Serialises the values of the accessors, `null` for an unknown one: `token`, `pid`,
/// `pid_namespace`, `pid_is_ours`, `uuid` as text, `description`, and [`since`](Holder::since) as
/// `held_seconds`.
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
    /// Writes one line, escaped. A process id of another pid namespace is named as such: kill(2)
    /// would hit another process here.
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
        self.since().map_or(Ok(()), |since| write!(f, ", for {}", TwoUnits(since)))
    }
}

/// A duration in its two largest units: "40d00h".
struct TwoUnits(Duration);

impl fmt::Display for TwoUnits {
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

/// The notice that an owner died and no later owner has declared the protected data consistent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Recovered {
    /// The dead owner from which this acquisition recovered the lock. `None` if an earlier
    /// acquisition did so without a call of
    /// [`declare_consistent`](crate::Guard::declare_consistent), if an exit handler released the
    /// lock of the dying owner, or if it panicked
    /// ([`Builder::poisoning`](crate::Builder::poisoning)).
    pub dead: Option<Holder>,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::TwoUnits;
    use crate::ShmLock;
    use crate::sys::clock::BootInstant;

    #[test]
    fn a_duration_is_shown_in_its_two_largest_units() {
        let shown = [0, 59, 60, 3599, 3600, 86399, 86400, 3_456_000]
            .map(|s| TwoUnits(Duration::from_secs(s)).to_string());
        assert_eq!(shown, ["0s", "59s", "1m00s", "59m59s", "1h00m", "23h59m", "1d00h", "40d00h"]);
    }

    #[test]
    fn a_hold_of_less_than_half_a_second_is_reported_as_zero_seconds() {
        let name = format!("test-since-{}", std::process::id());
        let lock = ShmLock::open(&name).expect("opens");
        // The hold lasts from the end of one second of the clock into the next.
        let wait_until =
            |reached: &dyn Fn(Duration) -> bool| while !reached(BootInstant::now().since_boot()) {};
        wait_until(&|now| (880..900).contains(&now.subsec_millis()));
        // In this order: the hold is not longer than the time since `begin`.
        let (begin, guard) = (BootInstant::now(), lock.lock().expect("free"));
        wait_until(&|now| now.as_secs() > begin.seconds());
        let since = lock.holder().expect("ours").expect("held").since().expect("its record");
        if begin.elapsed() < Duration::from_millis(500) {
            assert_eq!(since, Duration::ZERO);
        }
        drop(guard);
    }
}
