//! Holds what the measuring programs share.
//!
//! | file | contents |
//! |---|---|
//! | [`args`] | the options of a command line |
//! | [`child`] | a second copy of the running program |
//! | [`failure`] | the error that ends a program |
//! | [`histogram`] | counts of waiting times, and their quantiles |

pub mod args;
pub mod child;
pub mod failure;
pub mod histogram;

pub use failure::Result;
