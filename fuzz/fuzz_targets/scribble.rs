//! As `region`, while a thread writes arbitrary words all over the region.
#![no_main]

use shmlock_fuzz::region::Story;

libfuzzer_sys::fuzz_target!(|story: Story| story.play_beside_a_scribbler());
