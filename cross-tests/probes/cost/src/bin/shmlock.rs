//! Counts `shmlock::ShmLock`, as in a program on Linux.

use shmlock::{Guard, ShmLock};

shmlock_cost::counted!(ShmLock, Guard<'_>, |lock| ShmLock::lock(lock).ok());

fn main() -> Result<(), shmlock::Error> {
    let lock = ShmLock::open(&format!("cost-{}", std::process::id()))?;
    cost_caller(&lock);
    Ok(())
}
