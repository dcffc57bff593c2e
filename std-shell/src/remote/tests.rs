//! Has the tests that need a fake sysfs, or another pair of instructions than the processor's.

#![allow(unsafe_code, reason = "pairs that misbehave, in a child")]

mod fake_sysfs;
mod pairs;
