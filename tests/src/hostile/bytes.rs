//! Accesses a lock's file as a foreign process does, without the library. Written from
//! `PROTOCOL.md` alone.

#![allow(unsafe_code, reason = "fcntl with a lock argument exists in libc only")]

use std::fs::File;
use std::io;
use std::mem::zeroed;
use std::ops::RangeInclusive;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The byte on which every open handle has a read lock.
pub const PRESENCE: i64 = 1 << 30;
/// The bytes of the processes that watch a lock: each has one.
pub const WATCHERS: RangeInclusive<i64> = PRESENCE + 2..=PRESENCE + 3;
/// The bytes of all tokens that a handle may draw.
pub const TOKENS: RangeInclusive<i64> = PRESENCE + 65536..=PRESENCE + (1 << 30) - 2;

/// Returns the byte that the handle with this token has locked.
#[must_use]
pub fn byte_of(token: u32) -> i64 {
    PRESENCE + i64::from(token)
}

/// The mode of a byte lock: what it excludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Writers.
    Read,
    /// Readers and writers.
    Write,
}

/// A descriptor on the file of a lock, beside those of the library.
#[derive(Debug)]
pub struct Intruder {
    file: File,
}

impl Intruder {
    /// Opens the file.
    ///
    /// # Panics
    /// If it cannot be opened.
    #[must_use]
    pub fn on(path: &Path) -> Self {
        let file = File::options().read(true).write(true).open(path);
        Self { file: file.unwrap_or_else(|error| panic!("{}: {error}", path.display())) }
    }

    /// Returns the descriptor.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Returns the word at this offset.
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    pub fn word_at(&self, offset: u64) -> u32 {
        let mut bytes = [0; 4];
        self.file.read_exact_at(&mut bytes, offset).expect("the file has that many bytes");
        u32::from_le_bytes(bytes)
    }

    /// Overwrites the word at this offset.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn scribble(&self, offset: u64, word: u32) {
        self.file.write_all_at(&word.to_le_bytes(), offset).expect("the file can be written");
    }

    /// Returns the owner word.
    #[must_use]
    pub fn owner_word(&self) -> u32 {
        self.word_at(0)
    }

    /// Locks these bytes; returns `false` if another lock is in the way.
    ///
    /// # Panics
    /// If the system cannot lock bytes.
    #[must_use]
    pub fn lock(&self, mode: Mode, bytes: &RangeInclusive<i64>) -> bool {
        let kind = if mode == Mode::Read { libc::F_RDLCK } else { libc::F_WRLCK };
        match self.ask(libc::F_OFD_SETLK, kind, bytes) {
            Ok(_) => true,
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => false,
            Err(error) => panic!("F_OFD_SETLK: {error}"),
        }
    }

    /// Unlocks these bytes.
    ///
    /// # Panics
    /// If the system cannot.
    pub fn unlock(&self, bytes: &RangeInclusive<i64>) {
        self.ask(libc::F_OFD_SETLK, libc::F_UNLCK, bytes).expect("F_OFD_SETLK");
    }

    /// Returns a lock that another description has on these bytes, if there is one.
    ///
    /// # Panics
    /// If the call fails.
    #[must_use]
    pub fn lock_of_others(
        &self,
        bytes: &RangeInclusive<i64>,
    ) -> Option<(Mode, RangeInclusive<i64>)> {
        let lock = self.ask(libc::F_OFD_GETLK, libc::F_WRLCK, bytes).expect("F_OFD_GETLK");
        let mode = match libc::c_int::from(lock.l_type) {
            libc::F_UNLCK => return None,
            libc::F_RDLCK => Mode::Read,
            _ => Mode::Write,
        };
        let (start, len) = (widened(lock.l_start), widened(lock.l_len));
        Some((mode, start..=if len == 0 { i64::MAX } else { start + len - 1 }))
    }

    /// Returns how many processes watch the lock.
    #[must_use]
    pub fn watchers(&self) -> usize {
        WATCHERS.filter(|byte| self.lock_of_others(&(*byte..=*byte)).is_some()).count()
    }

    /// Returns all locks of other descriptions from byte 0 to the last but one that 31 bits can
    /// name, sorted.
    #[must_use]
    pub fn locks_of_others(&self) -> Vec<(Mode, RangeInclusive<i64>)> {
        let mut found = Vec::new();
        self.look_between(0, i64::from(i32::MAX) - 1, &mut found);
        found
    }

    /// Returns the locks that handles have, sorted: all but those of the processes that watch,
    /// which
    /// keep theirs for a moment after a wait.
    #[must_use]
    pub fn locks_of_handles(&self) -> Vec<(Mode, RangeInclusive<i64>)> {
        let mut locks = self.locks_of_others();
        locks.retain(|(_, bytes)| !WATCHERS.contains(bytes.start()));
        locks
    }

    /// The kernel returns any lock in the way, not the first one.
    fn look_between(&self, first: i64, last: i64, found: &mut Vec<(Mode, RangeInclusive<i64>)>) {
        let Some((mode, bytes)) =
            (first <= last).then(|| self.lock_of_others(&(first..=last))).flatten()
        else {
            return;
        };
        let (start, end) = (*bytes.start(), *bytes.end());
        self.look_between(first, start - 1, found);
        found.push((mode, bytes));
        self.look_between(end.saturating_add(1), last, found);
    }

    /// Locks the byte of every unlocked token except one.
    pub fn occupy_all_tokens_but(&self, spared: Option<u32>) {
        self.occupy_all_tokens_outside(spared.map(|token| token..=token));
    }

    /// Locks the byte of every unlocked token except these.
    pub fn occupy_all_tokens_outside(&self, spared: Option<RangeInclusive<u32>>) {
        let mut taken: Vec<_> =
            self.locks_of_others().into_iter().map(|(_, bytes)| bytes).collect();
        taken.extend(spared.map(|tokens| byte_of(*tokens.start())..=byte_of(*tokens.end())));
        taken.sort_by_key(|bytes| *bytes.start());
        let mut from = *TOKENS.start();
        for bytes in taken.iter().filter(|bytes| TOKENS.contains(bytes.start())) {
            self.occupy(from, bytes.start() - 1);
            from = bytes.end() + 1;
        }
        self.occupy(from, *TOKENS.end());
    }

    fn occupy(&self, first: i64, last: i64) {
        assert!(
            first > last || self.lock(Mode::Write, &(first..=last)),
            "another process has locked one of these bytes meanwhile"
        );
    }

    /// Calls fcntl(2) with a lock argument. On 32-bit targets, too, glibc takes `flock` and not
    /// `flock64` here.
    fn ask(&self, command: i32, kind: i32, bytes: &RangeInclusive<i64>) -> io::Result<libc::flock> {
        // SAFETY: plain integers, for which all zero is valid.
        let mut lock: libc::flock = unsafe { zeroed() };
        lock.l_type = libc::c_short::try_from(kind).expect("a small number");
        lock.l_whence = libc::c_short::try_from(libc::SEEK_SET).expect("a small number");
        lock.l_start = narrowed(*bytes.start());
        lock.l_len = narrowed(bytes.end() - bytes.start() + 1);
        // SAFETY: these commands take a pointer to a `flock` that they may read and write; the file
        // is open.
        let answer = unsafe { libc::fcntl(self.file.as_raw_fd(), command, &raw mut lock) };
        if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(lock) }
    }
}

#[allow(
    clippy::useless_conversion,
    clippy::unnecessary_fallible_conversions,
    reason = "32 bits on some targets"
)]
fn narrowed(offset: i64) -> libc::off_t {
    libc::off_t::try_from(offset).expect("no offset has more than 31 bits")
}

#[allow(clippy::useless_conversion, reason = "32 bits on some targets")]
fn widened(offset: libc::off_t) -> i64 {
    i64::from(offset)
}
