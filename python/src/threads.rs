//! Gives each thread that uses an object a handle of its own.
//!
//! A handle is one contender, and must not be used by two threads at once. The object's table owns
//! the handles. A thread finds its own by a small cache in thread-local memory, without a mutex.
//!
//! * When the object is gone, all of its handles are closed.
//! * When a thread ends, its handles of all objects are closed: what it held is released.
//!
//! # Fork
//!
//! A child inherits the table, whose mutex may be locked for ever there. So the process is compared
//! before the mutex is taken, and the drop takes no mutex.

#![allow(unsafe_code, reason = "a thread refers to its handle without a mutex")]

use std::cell::{Cell, RefCell};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use shmlock::{Error, ShmLock};

use crate::contender::{Contender, Settings};

/// The objects whose handles a thread finds without a mutex. Arbitrary: few threads use more in
/// turn. A power of two.
const CACHED: usize = 8;

/// The next number of an object, of a thread or of a handle. Numbers are never used again.
static NEXT: AtomicU64 = AtomicU64::new(1);

fn next() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed) // only uniqueness matters
}

thread_local! {
    /// By the object's number: this thread's handle. 0 is no object's number.
    static CACHE: [Cell<(u64, *const Contender)>; CACHED] =
        const { [const { Cell::new((0, ptr::null())) }; CACHED] };
    /// Closes this thread's handles at its end.
    static END: ThreadEnd = ThreadEnd { thread: next(), tables: RefCell::new(Vec::new()) };
}

/// The handles of one object.
pub(crate) struct Table {
    number: u64,
    pub(crate) settings: Settings,
    handles: Mutex<Vec<Entry>>,
    /// Keeps the data of a block for as long as the object exists, whichever threads use it.
    keeper: Mutex<Option<ShmLock>>,
}

/// One thread's handle. It lies on the heap, so that it keeps its address.
struct Entry {
    thread: u64,
    /// The handle's.
    number: u64,
    contender: NonNull<Contender>,
}

// SAFETY:
// * A `Contender` is `Send`: it owns a `ShmLock`, which is, and values without references.
// * Only the thread of the entry uses it, or the code that drops the entry. By then that thread has
//   ended, or no reference to the table is left.
unsafe impl Send for Entry {}

impl Drop for Entry {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw` in `Table::open`, and dropped once, with its entry. No
        // reference is left, as above.
        drop(unsafe { Box::from_raw(self.contender.as_ptr()) });
    }
}

impl Table {
    pub(crate) fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            number: next(),
            settings,
            handles: Mutex::new(Vec::new()),
            keeper: Mutex::new(None),
        })
    }

    /// Opens the block, and creates its data if it does not exist. Blocks as
    /// [`Builder::open_block_bytes`](shmlock::Builder::open_block_bytes) does.
    ///
    /// # Errors
    /// Those of [`Builder::open_block_bytes`](shmlock::Builder::open_block_bytes).
    pub(crate) fn keep(&self, initial: &[u8], schema: &str) -> Result<(), Error> {
        let lock = self.settings.builder("").schema(schema).open_block_bytes(initial)?;
        *self.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(lock);
        Ok(())
    }

    fn slot(&self) -> usize {
        usize::try_from(self.number % CACHED as u64).unwrap_or(0)
    }

    /// Returns this thread's handle, if it has one.
    #[inline]
    pub(crate) fn find(&self) -> Option<&Contender> {
        let (number, contender) = CACHE.try_with(|cache| cache[self.slot()].get()).ok()?;
        if number == self.number {
            // SAFETY: this thread's handle of the object with this number, which is this one, since
            // numbers are not used again. Its entry is in the table, which outlives the reference.
            // It is removed at the end of this thread, which is in no call then, and empties the
            // cache before.
            return Some(unsafe { &*contender });
        }
        self.find_in_table()
    }

    /// Returns this thread's handle from the table, and puts it into the cache.
    #[cold]
    fn find_in_table(&self) -> Option<&Contender> {
        if !self.settings.is_ours() {
            return None; // a forked child: the mutex may be locked for ever
        }
        let thread = END.try_with(|end| end.thread).ok()?;
        let handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        let contender = handles.iter().find(|entry| entry.thread == thread)?.contender;
        drop(handles);
        self.cache(contender);
        // SAFETY: as in `find`.
        Some(unsafe { contender.as_ref() })
    }

    /// Returns `true` if the handle of this number is open, in whichever thread.
    pub(crate) fn has(&self, number: u64) -> bool {
        if !self.settings.is_ours() {
            return true; // a forked child cannot know; its uses are refused
        }
        let handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        handles.iter().any(|entry| entry.number == number)
    }

    fn cache(&self, contender: NonNull<Contender>) {
        let entry = (self.number, contender.as_ptr().cast_const());
        let _ = CACHE.try_with(|cache| cache[self.slot()].set(entry));
    }

    /// Opens a handle for this thread, which has none. Blocks as [`Contender::open`] does.
    ///
    /// # Errors
    /// Those of [`Contender::open`].
    pub(crate) fn open(self: &Arc<Self>, description: &str) -> Result<(), Error> {
        let forked = || Error::ForkedHandle { name: self.settings.name.clone() };
        if !self.settings.is_ours() {
            return Err(forked());
        }
        // A thread that has run its destructors gets no handle: nothing would close it.
        let thread = END.try_with(|end| end.thread).map_err(|_| forked())?;
        let number = next();
        let contender = Box::new(Contender::open(&self.settings, description, number)?);
        let contender = NonNull::from(Box::leak(contender));
        let entry = Entry { thread, number, contender };
        self.handles.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        let _ = END.try_with(|end| {
            let mut tables = end.tables.borrow_mut();
            tables.retain(|table| table.strong_count() > 0);
            tables.push(Arc::downgrade(self));
        });
        self.cache(contender);
        Ok(())
    }

    /// Removes the handle of a thread from the table, and returns it.
    fn remove(&self, thread: u64) -> Option<Entry> {
        if !self.settings.is_ours() {
            return None;
        }
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        let at = handles.iter().position(|entry| entry.thread == thread)?;
        Some(handles.swap_remove(at))
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // Another thread of the parent may have been in the middle of a change when it forked. Its
        // mutex is locked for ever, and what it protects may be half a list: it is forgotten.
        if !self.settings.is_ours() && self.handles.try_lock().is_err() {
            let handles = self.handles.get_mut().unwrap_or_else(PoisonError::into_inner);
            std::mem::forget(std::mem::take(handles));
        }
    }
}

/// The objects of which a thread has handles.
struct ThreadEnd {
    thread: u64,
    tables: RefCell<Vec<Weak<Table>>>,
}

impl Drop for ThreadEnd {
    fn drop(&mut self) {
        // Code of Python may run on this thread once more, in a handler of exit(3): it finds no
        // handle.
        let _ = CACHE.try_with(|cache| cache.iter().for_each(|entry| entry.set((0, ptr::null()))));
        for table in self.tables.take() {
            if let Some(table) = table.upgrade() {
                drop(table.remove(self.thread)); // the mutex is free again: the drop may wait
            }
        }
    }
}
