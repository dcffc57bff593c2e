//! Acquires a spin lock if it is free, and releases it.

#![no_std]
#![no_main]

use spin::Mutex;

static LOCK: Mutex<u32> = Mutex::new(0);

#[inline(never)]
fn run(lock: &'static Mutex<u32>) {
    drop(lock.try_lock());
}

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    run(core::hint::black_box(&LOCK));
    shmlock_size::end()
}
