//! Runs on each core, from each reset on.

use core::hint;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use semihosting::experimental::env;
use semihosting::process;
use shmlock_core::Error;
use shmlock_core::wait::Spin;
use shmlock_one_memory::locks::{NoLock, TicketLock, WordLock};
use shmlock_one_memory::{Exclude, LockKind, Party, SharedMemory};

use crate::shared;

/// Attempts of a core to acquire the lock until it looks again whether it is to stop. It probes the
/// owner after the last one.
const ATTEMPTS: u32 = 1_000;

/// Spin hints of a longer start: more than another party needs to look at the lock.
const START: u32 = 10_000;

/// The first core's number among the cores of all machines. Relaxed: the second core starts later.
static FIRST: AtomicU32 = AtomicU32::new(0);

/// Reads the number from the emulator's command line. The first core calls it before the other
/// starts.
pub(crate) fn begin() {
    let arguments = env::args::<32>().expect("the emulator has arguments");
    let number = (&arguments).next().and_then(Result::ok).and_then(|word| word.parse().ok());
    // Partner: the load in `run`. Relaxed: the start of the second core orders it.
    FIRST.store(number.expect("a number"), Relaxed);
}

/// Counts on one core until the judge says stop. Never returns: the judge ends the emulator.
pub(crate) fn run(core: u32, _cores: u32) -> i32 {
    let memory = shared::attach();
    if let Some(party) = Party::of_core(FIRST.load(Relaxed) + core) {
        let is_wanted = core < memory.orders.cores();
        let sections =
            if is_wanted { begin_boot(memory, party).expect("a lock or zeros") } else { 0 };
        memory.orders.end(party, sections);
    }
    loop {
        hint::spin_loop();
    }
}

/// Begins a boot of this core: from here on, whatever the boot before held can be recovered.
fn begin_boot(memory: &SharedMemory, party: Party) -> Result<u32, Error> {
    let boot = memory.roll()?.begin_boot(party.slot())?;
    if boot.id().number() % 2 == 0 {
        // The rest of a longer start. Meanwhile another party may recover the lock.
        (0..START).for_each(|_| hint::spin_loop());
    }
    Ok(match memory.orders.lock() {
        LockKind::None => count(memory, &NoLock(party)),
        LockKind::Word => count(memory, &WordLock::new(memory, party, &boot)?),
        LockKind::Ticket => count(memory, &TicketLock::new(memory, party)?),
    })
}

/// Counts until the judge says stop. Returns the number of critical sections.
fn count(memory: &SharedMemory, lock: &impl Exclude) -> u32 {
    let mut sections = 0_u32;
    while !memory.orders.is_stopped() {
        match lock.count(memory, &mut Spin::attempts(ATTEMPTS)) {
            Ok(()) => sections = sections.wrapping_add(1),
            Err(Error::Busy { .. }) => {}
            Err(_) => memory.ledger.note_error(),
        }
    }
    sections
}

pub(crate) fn end(failed: i32) -> ! {
    process::exit(failed)
}
