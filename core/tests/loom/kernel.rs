//! Stands for the parts of an operating system that the protocol uses: byte locks and a futex.

use loom::sync::{Condvar, Mutex};
use shmlock_core::contend::Liveness;
use shmlock_core::{AtomicU32, Token, Word};
use std::sync::atomic::Ordering::Relaxed;

/// One lock orders all system calls, as the kernel's own locks do.
pub(crate) struct Kernel {
    bytes: Mutex<Vec<ByteLock>>,
    sleepers: Condvar,
}

struct ByteLock {
    byte: Token,
    process: Token,
}

impl Kernel {
    pub(crate) fn new() -> Self {
        Self { bytes: Mutex::new(Vec::new()), sleepers: Condvar::new() }
    }

    /// Locks a byte for a process; returns `true` if it was free.
    pub(crate) fn lock_byte(&self, byte: Token, process: Token) -> bool {
        let mut bytes = self.bytes.lock().unwrap();
        let free = bytes.iter().all(|lock| lock.byte != byte);
        if free {
            bytes.push(ByteLock { byte, process });
        }
        free
    }

    fn unlock_byte(&self, byte: Token) {
        self.bytes.lock().unwrap().retain(|lock| lock.byte != byte);
    }

    /// Ends a process, and its byte locks with it. **One** sleeping waiter tries again, the one
    /// whose interval ends next. If all did, they would hide a wake that the protocol forgets.
    pub(crate) fn end_process(&self, process: Token) {
        let mut bytes = self.bytes.lock().unwrap();
        bytes.retain(|lock| lock.process != process);
        self.sleepers.notify_one();
    }

    /// Sleeps until woken, if the word still has this value. No waiter sleeps behind a dead owner,
    /// for that sleep ends with its interval.
    pub(crate) fn sleep(&self, word: &AtomicU32, marked: Word) {
        let bytes = self.bytes.lock().unwrap();
        let unchanged = word.load(Relaxed) == marked.bits();
        let alive = bytes.iter().any(|lock| marked.is_owned_by(lock.byte));
        if unchanged && alive {
            drop(self.sleepers.wait(bytes).unwrap());
        }
    }

    pub(crate) fn wake_one(&self) {
        let _calls = self.bytes.lock().unwrap();
        self.sleepers.notify_one();
    }
}

/// Proof of death for a process: the dead owner's byte, locked while the proof is needed.
pub(crate) struct Probe<'a> {
    pub(crate) kernel: &'a Kernel,
    pub(crate) process: Token,
}

impl Liveness for Probe<'_> {
    fn while_dead<R>(&mut self, owner: Token, act: impl FnOnce() -> R) -> Option<R> {
        if !self.kernel.lock_byte(owner, self.process) {
            return None;
        }
        let answer = act();
        self.kernel.unlock_byte(owner);
        Some(answer)
    }
}
