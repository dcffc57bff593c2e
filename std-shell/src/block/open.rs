//! Opens a block, and creates its data once.

use std::alloc::{Layout, handle_alloc_error};

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::block::SharedBlock;
use crate::block::copy::copy_out;
use crate::error::{Error, Result};
use crate::layout::header::BlockLayout;
use crate::lock::builder::Builder;
use crate::lock::handle::ShmLock;

/// The largest block in bytes: with its header it fits the file offsets of 32-bit processes.
pub(super) const BLOCK_MAX: usize = 1 << 30;

/// The strictest alignment of a block: that of its offset in the file.
const BLOCK_ALIGN: usize = 64;

impl<T: FromBytes + IntoBytes + Immutable> SharedBlock<T> {
    /// Opens the block of this name with the defaults. Creates it zeroed if it does not exist.
    ///
    /// # Errors
    /// Those of [`Builder::open_block`].
    ///
    /// # Examples
    /// ```
    /// use shmlock::SharedBlock;
    ///
    /// let mut total = SharedBlock::<u64>::open("doc-block-open")?;
    /// *total.lock()? += 1;
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    pub fn open(name: &str) -> Result<Self> {
        ShmLock::builder(name).open_block()
    }

    /// Opens the block of this name with the defaults. If it does not exist, `create` fills the
    /// zeroed data, as [`Builder::open_block_with`] describes.
    ///
    /// # Errors
    /// Those of [`Builder::open_block_with`].
    ///
    /// # Examples
    /// ```
    /// use shmlock::SharedBlock;
    ///
    /// # let name = &format!("doc-block-open-with-{}", std::process::id());
    /// let mut limits = SharedBlock::<[u32; 2]>::open_with(name, |limits| *limits = [10, 90])?;
    /// assert_eq!(*limits.lock()?, [10, 90]);
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    pub fn open_with(name: &str, create: impl FnOnce(&mut T)) -> Result<Self> {
        ShmLock::builder(name).open_block_with(create)
    }

    /// Returns the layout of `T` with this schema; `None` if the schema is too long.
    fn layout(schema: &str) -> Option<BlockLayout> {
        const {
            assert!(size_of::<T>() > 0, "a block of no bytes is a lock: use ShmLock");
            assert!(size_of::<T>() <= BLOCK_MAX, "a block has at most 1 GiB");
            assert!(
                align_of::<T>() <= BLOCK_ALIGN,
                "a block is aligned to 64 bytes, and not to more"
            );
        }
        BlockLayout::new(u32::try_from(size_of::<T>()).ok()?, schema)
    }

    /// Makes a block of the opened lock. Creates the data unless the header says it is made.
    ///
    /// *If we die before the header says so:* the next opener recovers the lock and creates the
    /// data anew.
    pub(super) fn enter(lock: ShmLock, create: impl FnOnce(&mut T)) -> Result<Self> {
        let mut private =
            T::new_box_zeroed().unwrap_or_else(|_| handle_alloc_error(Layout::new::<T>()));
        make_once(&lock, || {
            create(&mut *private);
            // `create` is foreign code: it may have forked, or the lock may be lost.
            if let Err(loss) = lock.check_hold() {
                return Err(lock.error_of(loss));
            }
            copy_out(&lock, &*private);
            Ok(())
        })?;
        Ok(Self { lock, private })
    }
}

/// Creates the data by `create`, under the lock, unless the header says that it is made.
///
/// # Errors
/// [`Error::BlockMismatch`] if the name has other data; those of `create` and of the lock.
pub(super) fn make_once(lock: &ShmLock, create: impl FnOnce() -> Result<()>) -> Result<()> {
    let (header, fence, wanted) =
        (lock.shared.header(), lock.settings.fence, lock.shared.place().shape);
    let check_layout = || match header.shape() {
        found if found == wanted => Ok(()),
        found => Err(lock.shared.place().other_block(found)),
    };
    if !header.is_made(fence) {
        let guard = lock.try_lock_for(lock.settings.open_timeout)?;
        if !header.is_made(fence) {
            if header.is_undescribed() {
                // The creator of the file could not describe it before others saw it.
                header.describe(wanted);
            }
            check_layout()?;
            create()?;
            header.set_made(fence);
            if guard.recovered().is_some() {
                guard.declare_consistent()?; // a creator died; all of the data is new
            }
        }
    }
    check_layout()
}

impl Builder {
    /// Sets the meaning of a block's bytes in words of its users, for example its type and version.
    /// The default is empty. Opening a block with another schema fails. A [`ShmLock`] ignores it.
    ///
    /// # Limits
    /// At most [`SCHEMA_MAX`](crate::SCHEMA_MAX) bytes; more are refused when the block is opened.
    pub fn schema(mut self, schema: &str) -> Self {
        schema.clone_into(&mut self.schema);
        self
    }

    /// Opens a block. Creates it zeroed if it does not exist. The lock is free afterwards.
    ///
    /// Waits while another handle creates the block, and while the last one closes it, for at most
    /// [`open_timeout`](Self::open_timeout) each.
    ///
    /// # Errors
    /// [`Error::BlockMismatch`] if the name has other data or none; [`Error::SchemaTooLong`];
    /// [`Error::TimedOut`] if another handle takes too long to create it; and those of
    /// [`open`](Self::open).
    pub fn open_block<T: FromBytes + IntoBytes + Immutable>(&self) -> Result<SharedBlock<T>> {
        self.open_block_with(|_| {})
    }

    /// Opens a block. If it does not exist, `create` fills the zeroed data.
    ///
    /// `create` runs under the lock, in the first process that opens the block. If it panics or its
    /// process dies, it runs again in the next opener. Waits as [`open_block`](Self::open_block)
    /// does.
    ///
    /// # Errors
    /// Those of [`open_block`](Self::open_block). [`Error::ForkedHandle`] in a child process, if
    /// `create` forks and the child returns from it.
    pub fn open_block_with<T: FromBytes + IntoBytes + Immutable>(
        &self,
        create: impl FnOnce(&mut T),
    ) -> Result<SharedBlock<T>> {
        let layout = SharedBlock::<T>::layout(&self.schema)
            .ok_or(Error::SchemaTooLong { len: self.schema.len() })?;
        SharedBlock::enter(self.open_shaped(layout)?, create)
    }
}
