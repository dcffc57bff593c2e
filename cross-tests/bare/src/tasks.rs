//! Runs two tasks on one Cortex-M, switched by `SysTick` after any instruction: MPS2 AN385 (M3),
//! micro:bit (M0).
//!
//! Under QEMU's `-icount` a tick comes after an exact number of instructions, so runs are
//! repeatable bit for bit.

use core::arch::global_asm;
use core::cell::UnsafeCell;

use cortex_m::peripheral::{Peripherals, SYST, syst::SystClkSource};
use cortex_m_rt::{entry, exception};
use semihosting::println;

use crate::program;

// Both tasks run on the process stack, handlers on the main stack. The hardware has pushed r0-r3,
// r12, lr, pc and the flags. This saves the rest below, with instructions that the Cortex-M0 has.
global_asm!(
    ".pushsection .text.switch, \"ax\"",
    ".thumb",
    ".syntax unified",
    ".global SysTick",
    ".type SysTick, %function",
    ".thumb_func",
    "SysTick:",
    "mrs r0, psp",
    "subs r0, #32",
    "mov r1, r0",
    "stmia r1!, {{r4-r7}}",
    "mov r4, r8",
    "mov r5, r9",
    "mov r6, r10",
    "mov r7, r11",
    "stmia r1!, {{r4-r7}}",
    "push {{r3, lr}}",
    "bl {switch}",
    "adds r0, #16",
    "ldmia r0!, {{r4-r7}}",
    "mov r8, r4",
    "mov r9, r5",
    "mov r10, r6",
    "mov r11, r7",
    "msr psp, r0",
    "subs r0, #32",
    "ldmia r0!, {{r4-r7}}",
    "pop {{r3, pc}}",
    ".global begin_task",
    ".type begin_task, %function",
    ".thumb_func",
    "begin_task:", // r0: the end of its stack, r1: its entry
    "msr psp, r0",
    "movs r0, #2",
    "msr control, r0", // selects the process stack
    "isb",
    "bx r1",
    ".popsection",
    switch = sym switch,
);

unsafe extern "C" {
    /// Continues at `entry` with the process stack that ends at `stack_end`.
    fn begin_task(stack_end: *mut u32, entry: extern "C" fn() -> !) -> !;
}

const STACK_WORDS: usize = if cfg!(feature = "microbit") { 1024 } else { 4096 };
static mut STACKS: [[u32; STACK_WORDS]; 2] = [[0; STACK_WORDS]; 2];

/// The end of the stack of a task that does not run: the registers saved by `SysTick`, then those
/// saved by the hardware.
#[repr(C)]
struct Frame {
    software: [u32; 8],
    hardware: [u32; 6],
    pc: extern "C" fn() -> !,
    flags: u32,
}

impl Frame {
    const THUMB: u32 = 1 << 24;
}

/// The state of the task switch.
struct Switcher {
    /// The task that runs.
    running: usize,
    /// The stack pointer of each task that does not run.
    stacks: [u32; 2],
    switches: u32,
    random: u32,
    timer: Option<SYST>,
}

struct Guarded(UnsafeCell<Switcher>);

// SAFETY: accessed by `main` before the first tick, then by `SysTick` only, and at the end with the
// timer off.
unsafe impl Sync for Guarded {}

static SWITCHER: Guarded = Guarded(UnsafeCell::new(Switcher {
    running: 0,
    stacks: [0; 2],
    switches: 0,
    random: 12_345,
    timer: None,
}));

extern "C" fn switch(stack: u32) -> u32 {
    // SAFETY: `SysTick` does not interrupt itself, and no task runs meanwhile.
    let switcher = unsafe { &mut *SWITCHER.0.get() };
    switcher.stacks[switcher.running] = stack;
    switcher.running ^= 1;
    switcher.switches += 1;
    // The next time slice: 400..=1423 cycles, so that ticks meet every instruction of both tasks.
    switcher.random = switcher.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    if let Some(timer) = &mut switcher.timer {
        timer.set_reload(400 + (switcher.random >> 16 & 0x3ff));
        timer.clear_current();
    }
    switcher.stacks[switcher.running]
}

#[entry]
fn main() -> ! {
    program::begin();
    let mut timer = Peripherals::take().expect("only once").SYST;
    let stacks = (&raw mut STACKS).cast::<[u32; STACK_WORDS]>();
    let end = |task| stacks.wrapping_add(task).wrapping_add(1).cast::<u32>();
    let frame = end(1).cast::<Frame>().wrapping_sub(1);
    // SAFETY: inside the unused stack of task 1, aligned.
    unsafe {
        frame.write(Frame { software: [0; 8], hardware: [0; 6], pc: second, flags: Frame::THUMB });
    }
    // SAFETY: the timer is off, so `SysTick` does not run.
    let switcher = unsafe { &mut *SWITCHER.0.get() };
    switcher.stacks[1] = frame as u32;
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(1_000);
    timer.clear_current();
    timer.enable_interrupt();
    switcher.timer = Some(timer);
    // SAFETY: the stack of task 0 has no other user, and `first` does not return.
    unsafe { begin_task(end(0), first) }
}

extern "C" fn first() -> ! {
    // SAFETY: the timer is off; the reference ends here.
    if let Some(timer) = unsafe { &mut (*SWITCHER.0.get()).timer } {
        timer.enable_counter();
    }
    let failed = program::run(0, 2);
    cortex_m::interrupt::disable();
    // SAFETY: interrupts are disabled.
    let switches = unsafe { (*SWITCHER.0.get()).switches };
    println!("    {switches} switches");
    program::end(failed)
}

extern "C" fn second() -> ! {
    program::end(program::run(1, 2))
}

#[exception]
unsafe fn DefaultHandler(number: i16) {
    panic!("exception {number}");
}

#[exception]
unsafe fn HardFault(frame: &cortex_m_rt::ExceptionFrame) -> ! {
    panic!("hard fault at {:#x}", frame.pc());
}
