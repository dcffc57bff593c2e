//! Shows what a block refuses at compile time.
//!
//! A type with invalid byte values:
//! ```compile_fail,E0277
//! shmlock::SharedBlock::<bool>::open("x");
//! ```
//! A pointer, which has no meaning in another process:
//! ```compile_fail,E0277
//! shmlock::SharedBlock::<&'static u8>::open("x");
//! ```
//! ```compile_fail,E0277
//! shmlock::SharedBlock::<[*const u8; 2]>::open("x");
//! ```
//! A type with interior mutability:
//! ```compile_fail,E0277
//! shmlock::SharedBlock::<std::sync::atomic::AtomicU32>::open("x");
//! ```
//! Padding:
//! ```compile_fail,E0277
//! # use zerocopy::{FromBytes, Immutable, IntoBytes};
//! #[derive(FromBytes, Immutable, IntoBytes)]
//! #[repr(C)]
//! struct Padded(u8, u32);
//! ```
//! A type without bytes, and one with an alignment beyond that of a block:
//! ```compile_fail,E0080
//! shmlock::SharedBlock::<()>::open("x");
//! ```
//! ```compile_fail,E0080
//! # use zerocopy::{FromBytes, Immutable, IntoBytes};
//! #[derive(FromBytes, Immutable, IntoBytes)]
//! #[repr(C, align(128))]
//! struct Wide([u8; 128]);
//! shmlock::SharedBlock::<Wide>::open("x");
//! ```
//! Two guards of one handle:
//! ```compile_fail,E0499
//! # fn both(block: &mut shmlock::SharedBlock<u64>) -> shmlock::Result<()> {
//! let (one, other) = (block.lock()?, block.lock()?);
//! # Ok(())
//! # }
//! ```
//! An alignment of 64 bytes is accepted:
//! ```
//! # use zerocopy::{FromBytes, Immutable, IntoBytes};
//! #[derive(FromBytes, Immutable, IntoBytes)]
//! #[repr(C, align(64))]
//! struct Aligned([u64; 8]);
//! let mut block = shmlock::SharedBlock::<Aligned>::open("doc-aligned")?;
//! block.lock()?.0[7] = 1;
//! # Ok::<(), shmlock::Error>(())
//! ```
