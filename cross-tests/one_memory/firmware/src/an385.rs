//! Starts Arm's MPS2 board with image AN385: one Cortex-M3.

use cortex_m_rt::{entry, exception};

use crate::program;

#[entry]
fn main() -> ! {
    program::begin();
    program::end(program::run(0, 1))
}

#[exception]
unsafe fn HardFault(frame: &cortex_m_rt::ExceptionFrame) -> ! {
    panic!("hard fault at {:#x}", frame.pc());
}
