//! Counts the C library's process-shared robust mutex.

use shmlock_cost::pthread::{Held, Mutex};

shmlock_cost::counted!(Mutex, Held<'_>, Mutex::lock);

fn main() {
    cost_caller(&Mutex::robust());
}
