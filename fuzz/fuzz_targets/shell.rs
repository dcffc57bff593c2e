//! An arbitrary file where a lock's should be, and every call of the shell, with arbitrary writes
//! in between.
#![no_main]

use shmlock_fuzz::shell::Story;

libfuzzer_sys::fuzz_target!(|story: Story| story.play());
