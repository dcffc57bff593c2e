//! Does nothing: the zero of all differences.

#![no_std]
#![no_main]

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    shmlock_size::end()
}
