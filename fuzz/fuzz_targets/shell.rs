//! Takes an arbitrary file as a lock, and makes every call of the shell, with arbitrary writes in
//! between.
#![no_main]

use shmlock_fuzz::shell::Scenario;

libfuzzer_sys::fuzz_target!(|scenario: Scenario| scenario.play());
