//! Holds what the measuring programs share.
//!
//! | file | contents |
//! |---|---|
//! | [`args`] | the options of a command line |
//! | [`child`] | a second copy of the running program |
//! | [`failure`] | the error that ends a program |

pub mod args;
pub mod child;
pub mod failure;

pub use failure::Result;
