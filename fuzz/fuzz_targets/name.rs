//! Takes arbitrary text as the name of a lock and of an event, and as a description.
#![no_main]

libfuzzer_sys::fuzz_target!(|texts: (String, String)| shmlock_fuzz::name::play(&texts.0, &texts.1));
