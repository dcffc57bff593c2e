//! Defines the functions of programs whose instructions are counted. Each program acquires and
//! releases one kind of lock a hundred times, uncontended.
//! `../count.sh` counts from the first instruction of `cost_acquire` or `cost_release` until
//! `cost_caller` continues. It finds the three by their names in the symbol table.

pub mod pthread;

/// Defines the three functions for a kind of lock, its guard, and the expression that acquires.
/// Dropping the guard releases the lock.
#[macro_export]
macro_rules! counted {
    ($lock:ty, $guard:ty, $acquire:expr) => {
        #[allow(clippy::no_mangle_with_rust_abi, reason = "found by name, called from Rust")]
        #[unsafe(no_mangle)]
        #[inline(never)]
        fn cost_acquire(lock: &$lock) -> Option<$guard> {
            $acquire(lock)
        }

        #[allow(clippy::no_mangle_with_rust_abi, reason = "found by name, called from Rust")]
        #[unsafe(no_mangle)]
        #[inline(never)]
        fn cost_release(guard: $guard) {
            drop(guard);
        }

        #[allow(clippy::no_mangle_with_rust_abi, reason = "found by name, called from Rust")]
        #[unsafe(no_mangle)]
        #[inline(never)]
        fn cost_caller(lock: &$lock) {
            for _ in 0..100 {
                let guard = cost_acquire(std::hint::black_box(lock)).expect("free");
                cost_release(std::hint::black_box(guard));
            }
        }
    };
}
