//! Calls the interface for C in any order, with handles and options that are wrong.
#![no_main]

use shmlock_fuzz::c::Scenario;

libfuzzer_sys::fuzz_target!(|scenario: Scenario| scenario.play());
