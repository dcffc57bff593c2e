//! Typed data beside its lock, under one name.
//!
//! # A copy of one's own
//!
//! Who locks a block gets `&mut T`. That cannot be a reference to the shared memory itself: Rust
//! may assume that nobody else writes what a `&mut T` points to, and here any process that may open
//! the file can, whether it holds the lock or not. With such a reference the soundness of this
//! process would hang on the good behaviour of every other one. So the guard refers to a private
//! copy: locking copies the data in, by atomic loads, and giving back copies it out, by atomic
//! stores, if it was touched. What others write at the wrong moment can be wrong data. It cannot be
//! undefined behaviour.
//!
//! Besides, it makes a section all or nothing: one that panics, or whose process is killed before
//! the copying out, has left the data as it was. Only a death within the copying out tears it. The
//! price is the two copies: see [`SharedBlock`], and `examples/costs.rs`, which measures it.

mod guard;

use std::alloc::{Layout, handle_alloc_error};
use std::fmt;
use std::time::{Duration, Instant};

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::error::Result;
use crate::layout::header::BlockLayout;
use crate::lock::builder::Builder;
use crate::lock::handle::ShmLock;

pub use guard::BlockGuard;

/// The largest block, in bytes: with its header it still fits the file offsets of 32-bit processes.
const BLOCK_MAX: usize = 1 << 30;

/// The strictest alignment that a block can offer to those who map it: that of the offset at which
/// it begins.
const BLOCK_ALIGN: usize = 64;

/// Data that processes share under a name, and the lock that keeps them in order.
///
/// It is created by the first who opens it: zeroed ([`open`](Self::open)) or by a function
/// ([`open_with`](Self::open_with)), once, whoever dies meanwhile. It lives as long as anybody has
/// it open, which the kernel counts, so that a killed process does not keep it; the last one to
/// close removes it. But for one case: if an owner dies *holding* it, the data stays until somebody
/// has declared it consistent.
///
/// # What may be shared
///
/// | bound | because |
/// |---|---|
/// | [`FromBytes`] | whatever bytes another process writes are a valid `T`: no `bool`, no `char`, no enum, no pointer |
/// | [`IntoBytes`] | `T` has no padding: all of it is copied out, and no byte of our own memory with it |
/// | [`Immutable`] | only `&mut T` can change it, so we know when to copy; an atomic in it would be shared with nobody |
///
/// `#[derive(FromBytes, IntoBytes, Immutable)]` of the crate [`zerocopy`] and `#[repr(C)]` say so.
/// A `T` of no bytes, of more than 1 GiB or aligned to more than 64 bytes is refused when it is
/// compiled. What has another size elsewhere (`usize`) is refused when it is opened there: use
/// `u64`.
///
/// # Whether all mean the same
///
/// The size is compared, and the [schema](Builder::schema), a text of the users' own choice such as
/// `"position v2"`. Nothing else is: Rust's name of a type is not the same in every compiler and
/// every crate. The alignment need not agree, for a type without padding has the same bytes
/// whatever its alignment. **Without a schema two types of one size are taken for the same.** That
/// cannot be undefined behaviour, but it can be nonsense.
///
/// # Cost
///
/// Locking copies the data in, and giving back copies it out if it was touched. Measured on an AMD
/// EPYC by `cargo run --release --example costs`: beside the 13 ns of the lock itself, 8 ns for 64
/// bytes that are only read and 16 ns if they are changed; 0.3 and 0.5 µs for 4 KiB; 3 and 6 µs for
/// 64 KiB; 53 and 135 µs for 1 MiB. For megabytes of which a section touches little, put them
/// elsewhere and lock them by a [`ShmLock`].
///
/// # In a forked child
/// As [`ShmLock`]. What a guard refers to is the child's own copy, and goes nowhere.
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
pub struct SharedBlock<T: FromBytes + IntoBytes + Immutable> {
    lock: ShmLock,
    /// What a guard refers to. Here, so that locking allocates nothing and a large `T` never lies
    /// on the stack.
    private: Box<T>,
}

impl<T: FromBytes + IntoBytes + Immutable> SharedBlock<T> {
    /// Opens the block of this name with the defaults, creating it zeroed if it is not there.
    ///
    /// # Errors
    /// As [`Builder::open_block`].
    pub fn open(name: &str) -> Result<Self> {
        ShmLock::builder(name).open_block()
    }

    /// As [`open`](Self::open); `create` fills in the zeroed data if it is not there.
    ///
    /// # Errors
    /// As [`Builder::open_block`].
    pub fn open_with(name: &str, create: impl FnOnce(&mut T)) -> Result<Self> {
        ShmLock::builder(name).open_block_with(create)
    }

    /// What is shared, with this schema.
    pub(crate) fn shape(schema: &str) -> Option<BlockLayout> {
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

    /// Makes the opened file a block: creates the data, unless somebody has.
    ///
    /// *If we die before it is said to be made:* the next who comes takes the lock over and creates
    /// it anew.
    pub(crate) fn enter(lock: ShmLock, create: impl FnOnce(&mut T)) -> Result<Self> {
        let mut private =
            T::new_box_zeroed().unwrap_or_else(|_| handle_alloc_error(Layout::new::<T>()));
        let (header, fence, wanted) =
            (lock.shared.header(), lock.settings.fence, lock.shared.place().shape);
        let agree = || match header.shape() {
            found if found == wanted => Ok(()),
            found => Err(lock.shared.place().other_block(found)),
        };
        if !header.is_made(fence) {
            let guard = lock.try_lock_for(lock.settings.open_timeout)?;
            if !header.is_made(fence) {
                if header.is_undescribed() {
                    header.describe(wanted); // where the maker of the file could not do it before others saw it
                }
                agree()?;
                create(&mut *private);
                // It is foreign code: it may have forked, or the lock be lost by now.
                if let Err(loss) = lock.check_hold() {
                    return Err(lock.error_of(loss));
                }
                lock.write_data(&*private);
                header.set_made(fence);
                if guard.recovered().is_some() {
                    guard.declare_consistent()?; // somebody died creating it; it is all new now
                }
            }
        }
        agree()?;
        Ok(Self { lock, private })
    }

    /// Another handle on the same block, for another thread; with the same settings and
    /// description.
    ///
    /// # Errors
    /// As [`ShmLock::try_clone`].
    pub fn try_clone(&self) -> Result<Self> {
        Self::enter(self.lock.try_clone()?, |_| {})
    }

    /// Locks the block, waiting as long as it takes, and copies it in.
    ///
    /// One handle has one guard at a time: two would be two copies.
    ///
    /// # Errors
    /// As [`ShmLock::lock`].
    #[inline]
    pub fn lock(&mut self) -> Result<BlockGuard<'_, T>> {
        let guard = self.lock.lock()?;
        Ok(BlockGuard::new(guard, &mut *self.private))
    }

    /// As [`lock`](Self::lock), without waiting; see [`ShmLock::try_lock`].
    ///
    /// # Errors
    /// As [`ShmLock::try_lock`].
    pub fn try_lock(&mut self) -> Result<Option<BlockGuard<'_, T>>> {
        let guard = self.lock.try_lock()?;
        Ok(guard.map(|guard| BlockGuard::new(guard, &mut *self.private)))
    }

    /// As [`lock`](Self::lock), waiting at most `timeout`; see [`ShmLock::try_lock_for`].
    ///
    /// # Errors
    /// As [`ShmLock::try_lock_for`].
    pub fn try_lock_for(&mut self, timeout: Duration) -> Result<BlockGuard<'_, T>> {
        let guard = self.lock.try_lock_for(timeout)?;
        Ok(BlockGuard::new(guard, &mut *self.private))
    }

    /// As [`lock`](Self::lock), until a moment; see [`ShmLock::try_lock_until`].
    ///
    /// # Errors
    /// As [`ShmLock::try_lock_until`].
    pub fn try_lock_until(&mut self, deadline: Instant) -> Result<BlockGuard<'_, T>> {
        let guard = self.lock.try_lock_until(deadline)?;
        Ok(BlockGuard::new(guard, &mut *self.private))
    }

    /// As [`lock`](Self::lock), waiting in a task; see [`ShmLock::lock_async`].
    ///
    /// # Errors
    /// As [`ShmLock::lock_async`].
    pub async fn lock_async(&mut self) -> Result<BlockGuard<'_, T>> {
        let guard = self.lock.lock_async().await?;
        Ok(BlockGuard::new(guard, &mut *self.private))
    }

    /// The lock itself: who holds it, whether it is healthy, how much it is used. Holding it
    /// without a [`BlockGuard`] keeps others out as well.
    #[must_use]
    pub fn as_lock(&self) -> &ShmLock {
        &self.lock
    }
}

impl Builder {
    /// What a block's bytes mean, in words of its users: its type and version, for example. At most
    /// 39 bytes, default empty. Who opens the block with another schema is refused. A [`ShmLock`]
    /// ignores it.
    pub fn schema(mut self, schema: &str) -> Self {
        schema.clone_into(&mut self.schema);
        self
    }

    /// Opens a block, creating it zeroed if it is not there. Holds nothing when it returns.
    ///
    /// Blocks while somebody else is creating it or just closing it, for at most
    /// [`open_timeout`](Self::open_timeout) each.
    ///
    /// # Errors
    /// [`Error::BlockMismatch`](crate::Error::BlockMismatch) if the name has other data or none;
    /// [`Error::SchemaTooLong`](crate::Error::SchemaTooLong);
    /// [`Error::TimedOut`](crate::Error::TimedOut) while somebody else creates it; and as
    /// [`open`](Self::open).
    pub fn open_block<T: FromBytes + IntoBytes + Immutable>(&self) -> Result<SharedBlock<T>> {
        self.open_block_with(|_| {})
    }

    /// As [`open_block`](Self::open_block); `create` fills in the zeroed data if it is not there.
    ///
    /// It runs under the lock, in the one process that comes first. Should that die or panic in it,
    /// it runs again in the next. A child that it forks must not return from it: there the call is
    /// [`Error::ForkedHandle`](crate::Error::ForkedHandle).
    ///
    /// # Errors
    /// As [`open_block`](Self::open_block).
    pub fn open_block_with<T: FromBytes + IntoBytes + Immutable>(
        &self,
        create: impl FnOnce(&mut T),
    ) -> Result<SharedBlock<T>> {
        let shape = SharedBlock::<T>::shape(&self.schema)
            .ok_or(crate::Error::SchemaTooLong { len: self.schema.len() })?;
        SharedBlock::enter(self.open_shaped(shape)?, create)
    }
}

impl ShmLock {
    /// Copies the data in. Only the holder calls it.
    fn read_data(&self, private: &mut (impl FromBytes + IntoBytes)) {
        if let Some(data) = self.shared.data() {
            data.read_into(private.as_mut_bytes());
        }
    }

    /// Copies the data out. Only the holder calls it; in a forked child it does nothing.
    fn write_data(&self, private: &(impl IntoBytes + Immutable)) {
        if let Some(data) = self.shared.data() {
            data.write_from(private.as_bytes());
        }
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

/// What may not lie in a block, and is refused when it is compiled.
///
/// A value of which some bytes are none:
/// ```compile_fail,E0277
/// shmlock::SharedBlock::<bool>::open("x");
/// ```
/// A pointer, which means nothing elsewhere:
/// ```compile_fail,E0277
/// shmlock::SharedBlock::<&'static u8>::open("x");
/// ```
/// ```compile_fail,E0277
/// shmlock::SharedBlock::<[*const u8; 2]>::open("x");
/// ```
/// What changes behind a shared reference:
/// ```compile_fail,E0277
/// shmlock::SharedBlock::<std::sync::atomic::AtomicU32>::open("x");
/// ```
/// Padding:
/// ```compile_fail,E0277
/// # use zerocopy::{FromBytes, Immutable, IntoBytes};
/// #[derive(FromBytes, Immutable, IntoBytes)]
/// #[repr(C)]
/// struct Padded(u8, u32);
/// ```
/// Nothing at all, and an alignment of more than a block has:
/// ```compile_fail,E0080
/// shmlock::SharedBlock::<()>::open("x");
/// ```
/// ```compile_fail,E0080
/// # use zerocopy::{FromBytes, Immutable, IntoBytes};
/// #[derive(FromBytes, Immutable, IntoBytes)]
/// #[repr(C, align(128))]
/// struct Wide([u8; 128]);
/// shmlock::SharedBlock::<Wide>::open("x");
/// ```
/// Two guards of one handle:
/// ```compile_fail,E0499
/// # fn both(block: &mut shmlock::SharedBlock<u64>) -> shmlock::Result<()> {
/// let (one, other) = (block.lock()?, block.lock()?);
/// # Ok(())
/// # }
/// ```
/// But this is good:
/// ```
/// # use zerocopy::{FromBytes, Immutable, IntoBytes};
/// #[derive(FromBytes, Immutable, IntoBytes)]
/// #[repr(C, align(64))]
/// struct Aligned([u64; 8]);
/// let mut block = shmlock::SharedBlock::<Aligned>::open("doc-aligned")?;
/// block.lock()?.0[7] = 1;
/// # Ok::<(), shmlock::Error>(())
/// ```
#[cfg(doctest)]
struct Refused;
