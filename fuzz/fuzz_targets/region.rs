//! Takes arbitrary bytes as a region, and makes every call of the core in any order. There is no
//! other writer, so each byte after each call is known.
#![no_main]

use shmlock_fuzz::region::Scenario;

libfuzzer_sys::fuzz_target!(|scenario: Scenario| scenario.play_alone());
