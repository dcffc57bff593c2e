//! Does the same as `region`, while a thread writes arbitrary words to the region.
#![no_main]

use shmlock_fuzz::region::Scenario;

libfuzzer_sys::fuzz_target!(|scenario: Scenario| scenario.play_beside_a_scribbler());
