//! Acquires the mutex of asynchronous firmware, polling, and releases it.

#![no_std]
#![no_main]

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::mutex::Mutex;

type Lock = Mutex<CriticalSectionRawMutex, u32>;

static LOCK: Lock = Lock::new(0);

#[inline(never)]
fn run(lock: &'static Lock) {
    let mut future = pin!(lock.lock());
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(guard) = future.as_mut().poll(&mut context) {
            drop(guard);
            return;
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    run(core::hint::black_box(&LOCK));
    shmlock_size::end()
}
