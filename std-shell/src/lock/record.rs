//! Describes a handle: to other processes by its owner record, to readers by its text.

use std::fmt;

use shmlock_core::Region;
use shmlock_core::record::Description;

#[cfg(doc)]
use crate::Error;
use crate::error::Result;
use crate::lock::handle::ShmLock;
use crate::lock::open::parse_description;
use crate::sys::clock::BootInstant;

impl ShmLock {
    /// Returns what others read of this handle while it holds the lock.
    #[must_use]
    pub fn description(&self) -> String {
        self.description.borrow().as_str().to_owned()
    }

    /// Changes the description. Others can read it at once if this handle holds the lock.
    ///
    /// Never blocks.
    ///
    /// # Errors
    /// [`Error::DescriptionTooLong`] and [`Error::ForkedHandle`]; nothing is changed then.
    ///
    /// # Examples
    /// ```
    /// use shmlock::ShmLock;
    ///
    /// let lock = ShmLock::open("doc-set-description")?;
    /// let _guard = lock.lock()?;
    /// lock.set_description("emptying the hopper")?;
    /// let holder = lock.holder()?.expect("this handle");
    /// assert_eq!(holder.description(), "emptying the hopper");
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    pub fn set_description(&self, text: &str) -> Result<()> {
        let description = parse_description(text)?;
        let region = self.region()?;
        self.record.borrow_mut().set_description(&description);
        self.description.replace(description);
        self.recorded.set(false);
        self.close_fast_path();
        if self.is_held() {
            self.write_new_record(region);
        }
        Ok(())
    }

    /// Writes the record of an acquisition without a wait. This reads the clock.
    #[cold]
    pub(crate) fn write_new_record(&self, region: Region<'_>) {
        self.write_record(region, None);
    }

    /// Writes the record into the region. Only the owner calls it. `since` is when it acquired the
    /// lock, if a clock was read then.
    #[inline]
    pub(crate) fn write_record(&self, region: Region<'_>, since: Option<BootInstant>) {
        // No system call: process and namespace were read when the handle was opened, and cannot
        // change while it is good.
        let Ok(record) = self.record.try_borrow() else {
            // A signal handler that interrupts `set_description`, which leaves `recorded` unset:
            // the next acquisition writes the record.
            return;
        };
        let since = since.unwrap_or_else(BootInstant::now).seconds();
        region.write_encoded(self.token, &record, since, self.settings.fence);
        drop(record);
        self.recorded.set(true);
    }

    /// Returns the description; `None` in a signal handler that interrupts
    /// [`set_description`](Self::set_description). It may be logging, so it does not panic.
    fn text(&self) -> Option<Description> {
        self.description.try_borrow().ok().map(|text| text.clone())
    }
}

impl fmt::Debug for ShmLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShmLock")
            .field("name", &self.name.as_str())
            .field("uuid", &self.uuid)
            .field("description", &self.text().unwrap_or_default().as_str())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ShmLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lock {:?} ({})", self.name.as_str(), self.uuid)?;
        match self.text().unwrap_or_default().as_str() {
            "" => Ok(()),
            text => write!(f, ": {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::ShmLock;

    #[test]
    fn handles_that_are_given_one_uuid_are_known_by_it_and_exclude_each_other() {
        let name = format!("test-given-uuid-{}", std::process::id());
        let uuid = uuid::Uuid::from_u128(7);
        let open = || ShmLock::builder(&name).uuid(uuid).open().expect("opens");
        let (lock, other) = (open(), open());
        let guard = lock.lock().expect("free");
        assert!(other.try_lock().expect("no error").is_none());
        assert!(!other.is_held() && lock.is_held());
        let holder = other.holder().expect("no error").expect("held");
        assert_eq!(holder.uuid(), Some(uuid));
        drop(guard);
        assert!(other.try_lock().expect("no error").is_some());
    }

    #[test]
    fn a_handler_that_interrupts_a_change_of_the_description_can_print_the_handle() {
        let name = format!("test-described-{}", std::process::id());
        let lock = ShmLock::builder(&name).description("refilling").open().expect("opens");
        assert!(lock.to_string().ends_with(": refilling"), "{lock}");
        let changing = lock.description.borrow_mut(); // as the handler finds it
        assert!(lock.to_string().ends_with(')'), "{lock}");
        assert!(format!("{lock:?}").contains("description: \"\""), "{lock:?}");
        drop(changing);
        assert!(lock.to_string().ends_with(": refilling"), "{lock}");
    }
}
