//! Has a ticket lock of three parties and a handle in RAM, and does nothing with them.

#![no_std]
#![no_main]

use core::hint::black_box;

use shmlock_core::{TicketLock, TicketMemory};
use shmlock_size::Place;

static MEMORY: TicketMemory<3> = TicketMemory::new();
static HANDLE: Place<TicketLock<'static, 3>> = Place::new();

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    black_box((&MEMORY, &HANDLE));
    shmlock_size::end()
}
