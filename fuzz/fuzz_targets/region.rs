//! Arbitrary bytes as a region, and every call of the core in any order. Nobody else writes
//! meanwhile, so each byte after each call is known.
#![no_main]

use shmlock_fuzz::region::Story;

libfuzzer_sys::fuzz_target!(|story: Story| story.play_alone());
