//! Takes arbitrary bytes as a ticket lock, and runs its parties in any order, with deaths at any
//! step.
#![no_main]

use shmlock_fuzz::ticket::Scenario;

libfuzzer_sys::fuzz_target!(|scenario: Scenario| scenario.play());
