//! Acquires the mutex of asynchronous firmware if it is free, and releases it.

#![no_std]
#![no_main]

use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::mutex::Mutex;

type Lock = Mutex<CriticalSectionRawMutex, u32>;

static LOCK: Lock = Lock::new(0);

#[inline(never)]
fn run(lock: &'static Lock) {
    drop(lock.try_lock());
}

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    run(core::hint::black_box(&LOCK));
    shmlock_size::end()
}
