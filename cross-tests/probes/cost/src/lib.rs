//! Programs whose instructions are counted. Each takes and gives one kind of lock a hundred times, undisturbed.
//!
//! `../count.sh` counts what runs from the first instruction of `cost_acquire` or `cost_release` until `cost_caller` goes
//! on, whatever they call. It finds the three by their names in the symbol table.

pub mod pthread;

/// The three functions, for a kind of lock, its guard, and how to get one. Dropping the guard gives the lock back.
#[macro_export]
macro_rules! counted {
    ($lock:ty, $guard:ty, $take:expr) => {
        #[allow(clippy::no_mangle_with_rust_abi, reason = "found by name, called by ourselves")]
        #[unsafe(no_mangle)]
        #[inline(never)]
        fn cost_acquire(lock: &$lock) -> Option<$guard> {
            $take(lock)
        }

        #[allow(clippy::no_mangle_with_rust_abi, reason = "found by name, called by ourselves")]
        #[unsafe(no_mangle)]
        #[inline(never)]
        fn cost_release(guard: $guard) {
            drop(guard);
        }

        #[allow(clippy::no_mangle_with_rust_abi, reason = "found by name, called by ourselves")]
        #[unsafe(no_mangle)]
        #[inline(never)]
        fn cost_caller(lock: &$lock) {
            for _ in 0..100 {
                let guard = cost_acquire(std::hint::black_box(lock)).expect("nobody else has it");
                cost_release(std::hint::black_box(guard));
            }
        }
    };
}
