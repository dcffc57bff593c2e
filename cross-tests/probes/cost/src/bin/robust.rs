//! The C library's robust mutex between processes.

use shmlock_cost::pthread::{Held, Mutex};

shmlock_cost::counted!(Mutex, Held<'_>, Mutex::lock);

fn main() {
    cost_caller(&Mutex::robust());
}
