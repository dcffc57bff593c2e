//! Watches the locks that this process waits for, in one thread, so that its waiters can sleep.
//!
//! A waiter that has slept for a millisecond in vain registers the lock's *file*, and then sleeps
//! to its deadline without a timer. The watch thread wakes it when there is something to see: a
//! dead owner, a free lock whose wake was lost, a removed file. The waiter judges for itself.
//!
//! ```text
//!  a waiter                          this process's watch thread           the kernel
//!  --------                          ---------------------------           ----------
//!  sleeps 1 ms in vain
//!  registers the file, rings ------> opens the file, takes a slot,
//!  naps until it is *covered* <----- watches it, looks once
//!  sets WAITERS, sleeps              sleeps until an event or a tick  <--- the owner dies: its
//!                                                                          last reference goes
//!  is woken, finds the count  <----- looks: the owner is dead, wakes one
//!  of acquisitions unmoved,
//!  probes the owner, recovers
//! ```
//!
//! # The event
//!
//! The byte lock that proves an owner's life goes with the last reference to its description
//! (`layout/lock_bytes.rs`). That is the moment at which the kernel tells a watch of the file that
//! a description that could write was closed. So a death is an event, whatever its cause, and in
//! whatever namespace. Opening and closing a lock are events as well, and mean nothing: `budget.rs`
//! bounds what they cost. `naps.rs` says when to look again, in case that the dying process or a
//! waiter had no processor meanwhile.
//!
//! # Slots
//!
//! At most two processes watch a lock; each has a write lock on one of two bytes
//! ([`WATCHERS`](crate::layout::lock_bytes::WATCHERS)), its *slot*. One is not enough: its process
//! may be the next owner, and does not see its own death. A process without a slot relies on the
//! two. Its thread wakes once a second, looks, and takes a slot that has become free (the *tick*).
//! So if both are killed or stopped, a death is noticed within a second, or within the poll
//! interval of the waiters if that is longer.
//!
//! The only waiter of a process has no thread while both slots are taken: it ticks itself, until a
//! few ticks after the lock has changed hands (`lone.rs`).
//!
//! A watcher that leaves, or that sees the other slot become free, *recruits*: it wakes a sleeping
//! waiter. One that is woken and does not get the lock has its own process look for a slot.
//!
//! # What the thread has
//!
//! For each file a description, a mapping for reading, and a watch, all of its own; so it follows
//! no pointer of a handle, and handles come and go. Its descriptors are in a table of its own
//! (`sys/private_files.rs`): no other code can close or exchange them, and no child inherits them.
//! It runs no foreign code but the allocator's, blocks all signals, and never writes to a region.
//!
//! It notices at its next event or tick that a file has no wait left, and leaves the file a moment
//! later. The waiter that has the lock tells it nothing: a system call and a second runnable thread
//! would delay the critical section. So for about a second a process that ends needs some 10 ms
//! more, because the kernel closes an inotify instance slowly. If it dies holding the lock in that
//! time, its proof of life goes before (`sys/closed_last.rs`). The thread ends a second or two
//! after its last file.
//!
//! # Fallbacks
//!
//! | missing | then |
//! |---|---|
//! | an inotify instance, or events of this file | the watcher looks by naps (`naps.rs`) |
//! | the thread, its table, or the file's name | each waiter sleeps one interval at a time |
//! | sockets | the death of an owner that watched is noticed some 10 ms later |
//! | the bell (/proc) | a file is covered at the next tick; its waiters nap until then |
//!
//! # Fork
//!
//! A child has neither the thread nor its files, and makes its own hub (`sys/per_process.rs`). A
//! registration that it inherits does nothing.

mod budget;
mod events;
mod file;
mod hub;
mod lone;
mod naps;
mod registration;
mod thread;
mod watched;

pub(crate) use lone::Lone;
pub(crate) use registration::{Joined, Registration, join, register};
pub(crate) use watched::Cover;
