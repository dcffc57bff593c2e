//! Reads the options with which a lock is opened.
//!
//! A struct with its own size, as the system calls openat2(2) and clone3(2) have it: a program that
//! was compiled with an older header passes fewer bytes, and the rest has its default, which is
//! zero. A program with a newer header passes more; they are accepted while they are zero. There is
//! nothing to allocate and to free, and any language that knows structs can fill it in.

#![allow(unsafe_code, reason = "reads a struct of the caller's")]

use std::ffi::{c_char, c_void};
use std::ptr::null;
use std::time::Duration;

use shmlock::{BlockSignals, Builder, ShmLock, WaitStrategy};

use crate::callback::{self, InterruptFn};
use crate::error::Fault;
use crate::event::{self, Event};
use crate::pointer::checked;
use crate::status::Status;
use crate::text;

/// Flag: waiters sleep for one poll interval at a time, without futex(2) and without a thread that
/// watches. For sandboxes that refuse these.
pub const SHMLOCK_SLEEP_POLLING: u32 = 1;
/// Flag: fences reach other bus masters. For memory that is shared beyond this operating system.
pub const SHMLOCK_FULL_SYSTEM: u32 = 2;
/// Flag: measure how long this handle holds the lock, for `shmlock_state.longest_hold_ns`.
pub const SHMLOCK_MEASURE_HOLDS: u32 = 4;
/// Flag: refuse the lock by `SHMLOCK_STATUS_POISONED` while the data may be inconsistent.
pub const SHMLOCK_POISONING: u32 = 8;
/// Flag: accept files of the user `trusted_owner`, besides our own and root's.
pub const SHMLOCK_TRUST_OWNER: u32 = 16;
/// Flag: block SIGINT, SIGTERM and SIGHUP while the lock is acquired and while it is released.
pub const SHMLOCK_BLOCK_TRANSITIONS: u32 = 32;
/// Flag: block them from the acquisition to the release, but not while waiting. The lock must be
/// released on the thread that acquired it.
pub const SHMLOCK_BLOCK_WHILE_HELD: u32 = 64;

const FLAGS: u32 = SHMLOCK_SLEEP_POLLING
    | SHMLOCK_FULL_SYSTEM
    | SHMLOCK_MEASURE_HOLDS
    | SHMLOCK_POISONING
    | SHMLOCK_TRUST_OWNER
    | SHMLOCK_BLOCK_TRANSITIONS
    | SHMLOCK_BLOCK_WHILE_HELD;

/// The options with which a lock is opened. Initialise it with `SHMLOCK_OPTIONS_INIT`, which sets
/// the size; a field that is zero has its default. The library copies what it needs.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// `sizeof(shmlock_options)`.
    pub size: usize,
    /// The flags `SHMLOCK_SLEEP_POLLING` and so on.
    pub flags: u32,
    /// The permission bits of the file, exactly and whatever the umask. Default 0600. All users of
    /// a lock name the same.
    pub mode: u32,
    /// A user whose files are accepted, with `SHMLOCK_TRUST_OWNER`.
    pub trusted_owner: u32,
    /// Zero.
    pub reserved: u32,
    /// How long a waiter sleeps at a time where nothing wakes it, in nanoseconds. Default 50 ms.
    pub poll_interval_ns: u64,
    /// How long running handles may pass the lock among themselves while waiters sleep. Default
    /// 100 µs; 1 is as fair as can be; `UINT64_MAX` is no bound.
    pub fairness_interval_ns: u64,
    /// How long opening waits for another handle that is just being closed. Default 5 s.
    pub open_timeout_ns: u64,
    /// The directory of the file. Default `/dev/shm`.
    pub directory: *const c_char,
    /// What others read of this handle while it holds the lock: at most 63 bytes of UTF-8.
    pub description: *const c_char,
    /// An open event that ends every wait of this handle while it is set. It may be closed before
    /// the lock.
    pub exit_event: *const Event,
    /// Says whether a wait goes on.
    pub interrupt: InterruptFn,
    /// The first argument of `interrupt`.
    pub interrupt_context: *mut c_void,
}

impl Default for Options {
    fn default() -> Self {
        Self { size: size_of::<Self>(), ..Self::zeroed() }
    }
}

/// The longest size that is accepted. Arbitrary: a page, as for openat2(2).
const SIZE_MAX: usize = 4096;

impl Options {
    const fn zeroed() -> Self {
        Self {
            size: 0,
            flags: 0,
            mode: 0,
            trusted_owner: 0,
            reserved: 0,
            poll_interval_ns: 0,
            fairness_interval_ns: 0,
            open_timeout_ns: 0,
            directory: null(),
            description: null(),
            exit_event: null(),
            interrupt: None,
            interrupt_context: std::ptr::null_mut(),
        }
    }

    /// Reads the caller's options; the defaults for NULL.
    ///
    /// # Errors
    /// [`Status::Misaligned`], [`Status::BadOptions`].
    ///
    /// # Safety
    /// Unless it is NULL or misaligned, `from` points to as many readable bytes as its size says.
    unsafe fn read(from: *const Self) -> Result<Self, Status> {
        if from.is_null() {
            return Ok(Self::default());
        }
        let from = checked(from)?.as_ptr().cast_const();
        // SAFETY: inside the struct that the caller guarantees; no reference to all of it is made.
        let size = unsafe { &raw const (*from).size };
        // SAFETY: the first field; readable: guaranteed by the caller.
        let size = unsafe { size.read() };
        if !(size_of::<Self>()..=SIZE_MAX).contains(&size) {
            return Err(Status::BadOptions);
        }
        // SAFETY: `size` bytes are readable, and that is at least one `Options`, in which any bytes
        // are a value: the callback is a pointer that may be NULL.
        let options = unsafe { from.read() };
        // SAFETY: inside the `size` bytes, or at their end.
        let rest = unsafe { from.add(1) }.cast::<u8>();
        // SAFETY: the rest of the `size` bytes, which no other thread writes meanwhile.
        let rest = unsafe { std::slice::from_raw_parts(rest, size - size_of::<Self>()) };
        let is_known = rest.iter().all(|byte| *byte == 0)
            && options.reserved == 0
            && options.flags & !FLAGS == 0;
        if is_known { Ok(options) } else { Err(Status::BadOptions) }
    }

    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

/// Returns the options, and the builder of a lock with this name in their directory.
///
/// # Errors
/// Those of reading the name and the options.
///
/// # Safety
/// `name` is NULL or a string. Unless it is NULL or misaligned, `options` points to as many
/// readable bytes as its size says, whose pointers are NULL or valid.
unsafe fn place(
    name: *const c_char,
    options: *const Options,
) -> Result<(Builder, Options), Status> {
    // SAFETY: guaranteed by the caller.
    let name = unsafe { text::name(name) }?;
    // SAFETY: guaranteed by the caller.
    let options = unsafe { Options::read(options) }?;
    // SAFETY: guaranteed by the caller.
    let directory = unsafe { text::directory(options.directory) };
    Ok((ShmLock::builder(name).directory(directory), options))
}

/// Returns the builder of a lock that is only looked at, or removed.
///
/// # Errors
/// Those of [`place`].
///
/// # Safety
/// That of [`place`].
pub(crate) unsafe fn builder_from_outside(
    name: *const c_char,
    options: *const Options,
) -> Result<Builder, Fault> {
    // SAFETY: guaranteed by the caller.
    let (builder, _) = unsafe { place(name, options) }?;
    Ok(builder)
}

/// Returns the builder of a lock with this name and these options.
///
/// # Errors
/// Those of [`place`]; [`Status::BadText`]; [`Status::NotOpen`] for an event that is not open.
///
/// # Safety
/// That of [`place`].
pub(crate) unsafe fn builder(
    name: *const c_char,
    options: *const Options,
) -> Result<Builder, Fault> {
    // SAFETY: guaranteed by the caller.
    let (builder, options) = unsafe { place(name, options) }?;
    let mut builder = builder
        .measure_holds(options.has(SHMLOCK_MEASURE_HOLDS))
        .poisoning(options.has(SHMLOCK_POISONING));
    if options.has(SHMLOCK_SLEEP_POLLING) {
        builder = builder.wait_strategy(WaitStrategy::SleepPolling);
    }
    if options.has(SHMLOCK_FULL_SYSTEM) {
        builder = builder.fence_scope(shmlock::FenceScope::FullSystem);
    }
    if options.has(SHMLOCK_TRUST_OWNER) {
        builder = builder.trust_owner(options.trusted_owner);
    }
    if options.has(SHMLOCK_BLOCK_WHILE_HELD) {
        builder = builder.block_signals(BlockSignals::WhileHeld);
    } else if options.has(SHMLOCK_BLOCK_TRANSITIONS) {
        builder = builder.block_signals(BlockSignals::Transitions);
    }
    if options.mode != 0 {
        builder = builder.mode(options.mode);
    }
    if options.poll_interval_ns != 0 {
        builder = builder.poll_interval(Duration::from_nanos(options.poll_interval_ns));
    }
    match options.fairness_interval_ns {
        0 => {}
        u64::MAX => builder = builder.fairness_interval(Duration::MAX),
        interval => builder = builder.fairness_interval(Duration::from_nanos(interval)),
    }
    if options.open_timeout_ns != 0 {
        builder = builder.open_timeout(Duration::from_nanos(options.open_timeout_ns));
    }
    // SAFETY: guaranteed by the caller.
    if let Some(description) = unsafe { text::text(options.description) }? {
        builder = builder.description(description);
    }
    if !options.exit_event.is_null() {
        // SAFETY: guaranteed by the caller.
        builder = builder.exit_event(unsafe { event::of(options.exit_event) }?);
    }
    if let Some(interrupt) = options.interrupt {
        // SAFETY: guaranteed by the caller.
        builder =
            builder.interrupt(unsafe { callback::interrupt(interrupt, options.interrupt_context) });
    }
    Ok(builder)
}
