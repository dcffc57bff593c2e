//! Takes arbitrary bytes as a roll of boots and a region with epoch tokens, and runs their cores in
//! any order, with resets at any step.
#![no_main]

use shmlock_fuzz::boots::Scenario;

libfuzzer_sys::fuzz_target!(|scenario: Scenario| scenario.play());
