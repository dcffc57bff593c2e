//! Acquires the ticket lock of three parties, spinning while another holds it, and releases it.

#![no_std]
#![no_main]

use core::hint::black_box;
use core::mem::ManuallyDrop;
use core::num::NonZeroU16;

use shmlock_core::{TicketLock, TicketMemory, TicketRegion, wait::Spin};

static MEMORY: TicketMemory<3> = TicketMemory::new();

#[inline(never)]
fn run(lock: &TicketLock<'static, 3>) {
    drop(lock.lock(&mut Spin::attempts(1_000)));
}

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    if let Ok(region) = TicketRegion::from_static(&MEMORY) {
        if let Ok(lock) = TicketLock::new(region, NonZeroU16::MIN) {
            let lock = ManuallyDrop::new(lock);
            run(black_box(&lock));
        }
    }
    shmlock_size::end()
}
