//! Acquires and releases the lock in a shared library: `ci/instructions.sh` looks at its code.

use shmlock::ShmLock;

#[allow(clippy::no_mangle_with_rust_abi, reason = "found by name, never called")]
#[unsafe(no_mangle)]
pub fn pair_guard(lock: &ShmLock) -> bool {
    lock.lock().is_ok()
}

#[allow(clippy::no_mangle_with_rust_abi, reason = "found by name, never called")]
#[unsafe(no_mangle)]
pub fn pair_unguarded(lock: &ShmLock) -> bool {
    lock.acquire().is_ok() && lock.release().is_ok()
}
