//! Typed data beside its lock, under one name.
//!
//! # Why a private copy
//!
//! A guard gives `&mut T`. That cannot be a reference to the shared memory: Rust assumes that
//! nothing else writes what a `&mut T` points to, and any process that may open the file can write
//! it, with or without the lock. The soundness of this process would depend on every other process.
//! So the guard refers to a private copy. Locking copies the data in by atomic loads; releasing
//! copies it out by atomic stores, if it was touched. A write by a process without the lock can
//! make the data wrong. It cannot cause undefined behaviour.
//!
//! The copy also makes a critical section all or nothing. One that panics, or whose process dies
//! before the data is copied out, leaves the data as it was. Only a death during the copy leaves
//! it half-written. The price is the two copies: [`SharedBlock`], "Cost".

mod bytes;
mod copy;
mod guard;
mod open;
#[cfg(doctest)]
mod refused;

use std::fmt;
use std::time::{Duration, Instant};

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::error::Result;
use crate::lock::handle::ShmLock;

pub use guard::BlockGuard;

/// Data that processes share under a name, and its lock.
///
/// The first opener creates the data, zeroed ([`open`](Self::open)) or by a function
/// ([`open_with`](Self::open_with)), exactly once, even if a creator dies. The data exists while a
/// handle is open; the last handle to close removes it. The kernel counts the handles, so a killed
/// process does not keep it. If an owner dies *holding* the lock, the data stays until a later
/// owner has declared it consistent.
///
/// # What may be shared
///
/// * [`FromBytes`]: any bytes that another process writes are a valid `T`. It has no `bool`, no
///   `char`, no enum and no pointer.
/// * [`IntoBytes`]: `T` has no padding. All of it is copied out, and with it no other byte of this
///   process's memory.
/// * [`Immutable`]: only `&mut T` can change it, which shows when to copy. An atomic in the copy
///   would be shared with no process.
///
/// Derive them by `#[derive(FromBytes, IntoBytes, Immutable)]` of the crate [`zerocopy`], with
/// `#[repr(C)]`. A `T` without bytes, of more than 1 GiB, or aligned to more than 64 bytes does not
/// compile. A type whose size differs between processes (`usize`) is refused on opening: use `u64`.
///
/// # Do all processes use the same type?
///
/// Opening compares the size and the [schema](crate::Builder::schema), a text that the users
/// choose, such as `"position v2"`. It compares nothing else: compilers and crates name one type
/// differently. The alignment may differ, because a type without padding has the same bytes at any
/// alignment.
///
/// **Without a schema, two types of one size count as the same.** That cannot cause undefined
/// behaviour, but it can give meaningless data.
///
/// # Cost
///
/// Locking copies the data in; releasing copies it out if it was touched.
/// `cargo run --release -p shmlock-costs` measures both. If a critical section touches little of
/// many megabytes, keep these elsewhere and lock them with a [`ShmLock`].
///
/// # In a forked child
/// The handle is refused there, as for [`ShmLock`]. A guard refers to the child's own copy of the
/// data, which is not written back.
///
/// # Examples
/// ```
/// use shmlock::SharedBlock;
/// use zerocopy::{FromBytes, Immutable, IntoBytes};
///
/// #[derive(FromBytes, IntoBytes, Immutable)]
/// #[repr(C)]
/// struct Position {
///     x: f64,
///     y: f64,
/// }
///
/// let mut position = SharedBlock::<Position>::open("doc-position")?;
/// position.lock()?.x += 1.0;
/// # Ok::<(), shmlock::Error>(())
/// ```
pub struct SharedBlock<T> {
    lock: ShmLock,
    /// The memory of the guard's copy. It lies here, so that locking does not allocate and a large
    /// `T` is never on the stack.
    private: Box<T>,
}

impl<T: FromBytes + IntoBytes + Immutable> SharedBlock<T> {
    /// Opens another handle on the same block, for another thread, with the same settings and
    /// description.
    ///
    /// # Errors
    /// Those of [`ShmLock::try_clone`].
    pub fn try_clone(&self) -> Result<Self> {
        Self::enter(self.lock.try_clone()?, |_| {})
    }

    /// Closes the handle, and returns what its drop can only log.
    ///
    /// # Errors
    /// Those of [`ShmLock::close`].
    pub fn close(self) -> Result<()> {
        self.lock.close()
    }

    /// Locks the block and copies the data in. Waits without a limit, as [`ShmLock::lock`] does.
    ///
    /// A handle has one guard at a time: two guards would be two copies.
    ///
    /// # Errors
    /// Those of [`ShmLock::lock`].
    #[inline]
    pub fn lock(&mut self) -> Result<BlockGuard<'_, T>> {
        let guard = self.lock.lock()?;
        Ok(BlockGuard::new(guard, &mut *self.private))
    }

    /// Locks the block if it is free; `None` otherwise. Does not wait, like [`ShmLock::try_lock`].
    ///
    /// # Errors
    /// Those of [`ShmLock::try_lock`].
    ///
    /// # Examples
    /// ```
    /// use shmlock::SharedBlock;
    ///
    /// let mut total = SharedBlock::<u64>::open("doc-block-try-lock")?;
    /// if let Some(mut guard) = total.try_lock()? {
    ///     *guard += 1;
    /// }
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    pub fn try_lock(&mut self) -> Result<Option<BlockGuard<'_, T>>> {
        let guard = self.lock.try_lock()?;
        Ok(guard.map(|guard| BlockGuard::new(guard, &mut *self.private)))
    }

    /// Locks the block. Waits at most for `timeout`, as [`ShmLock::try_lock_for`] does.
    ///
    /// # Errors
    /// Those of [`ShmLock::try_lock_for`].
    pub fn try_lock_for(&mut self, timeout: Duration) -> Result<BlockGuard<'_, T>> {
        let guard = self.lock.try_lock_for(timeout)?;
        Ok(BlockGuard::new(guard, &mut *self.private))
    }

    /// Locks the block. Waits at most until `deadline`, as [`ShmLock::try_lock_until`] does.
    ///
    /// # Errors
    /// Those of [`ShmLock::try_lock_until`].
    pub fn try_lock_until(&mut self, deadline: Instant) -> Result<BlockGuard<'_, T>> {
        let guard = self.lock.try_lock_until(deadline)?;
        Ok(BlockGuard::new(guard, &mut *self.private))
    }

    /// Locks the block. Waits in a task, as [`ShmLock::lock_async`] does.
    ///
    /// # Errors
    /// Those of [`ShmLock::lock_async`].
    pub async fn lock_async(&mut self) -> Result<BlockGuard<'_, T>> {
        let guard = self.lock.lock_async().await?;
        Ok(BlockGuard::new(guard, &mut *self.private))
    }

    /// Returns the lock of the block, for its owner, status and statistics. Holding it without a
    /// [`BlockGuard`] excludes other handles as well.
    #[must_use]
    pub fn as_lock(&self) -> &ShmLock {
        &self.lock
    }
}

impl<T: FromBytes + IntoBytes + Immutable> fmt::Debug for SharedBlock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBlock")
            .field("lock", &self.lock)
            .field("shape", &self.lock.shared.place().shape)
            .finish_non_exhaustive()
    }
}
