//! A block whose length is known when the program runs: for interfaces to other languages.
//!
//! The caller keeps the private copy. All that [`SharedBlock`](crate::SharedBlock) says about the
//! data, its creation and its layout holds here as well: both open the same files.

use crate::block::open::{BLOCK_MAX, make_once};
use crate::error::{Error, Result};
use crate::layout::header::BlockLayout;
use crate::lock::builder::Builder;
use crate::lock::handle::ShmLock;

impl Builder {
    /// Opens a block with as many bytes as `initial`, which are its data if it does not exist.
    ///
    /// Blocks as [`open_block`](Self::open_block) does.
    ///
    /// # Errors
    /// Those of [`open_block`](Self::open_block); [`Error::Unsupported`] for no bytes, and for more
    /// than 1 GiB.
    #[doc(hidden)]
    pub fn open_block_bytes(&self, initial: &[u8]) -> Result<ShmLock> {
        let len = u32::try_from(initial.len()).ok();
        let len = len.filter(|_| (1..=BLOCK_MAX).contains(&initial.len()));
        let len = len.ok_or_else(|| Error::Unsupported {
            what: "a block of no bytes or of more than 1 GiB",
            path: self.directory.join(&self.name),
            errno: None,
        })?;
        let layout = BlockLayout::new(len, &self.schema)
            .ok_or(Error::SchemaTooLong { len: self.schema.len() })?;
        let lock = self.open_shaped(layout)?;
        make_once(&lock, || write(&lock, initial))?;
        Ok(lock)
    }
}

impl ShmLock {
    /// Copies the data of a block that this handle holds into `private`. Never blocks.
    ///
    /// # Errors
    /// [`Error::NotHeld`], [`Error::Overwritten`], [`Error::ForkedHandle`];
    /// [`Error::BlockMismatch`] if `private` has another length.
    #[doc(hidden)]
    pub fn read_block(&self, private: &mut [u8]) -> Result<()> {
        self.check_hold().map_err(|loss| self.error_of(loss))?;
        match self.shared.data().filter(|data| data.len() == private.len()) {
            Some(data) => data.read_into(private),
            None => return Err(self.other_length(private.len())),
        }
        Ok(())
    }

    /// Copies `private` into the data of a block that this handle holds. Never blocks.
    ///
    /// *If we die in between:* some of the data is new and some old.
    ///
    /// # Errors
    /// Those of [`read_block`](Self::read_block).
    #[doc(hidden)]
    pub fn write_block(&self, private: &[u8]) -> Result<()> {
        self.check_hold().map_err(|loss| self.error_of(loss))?;
        write(self, private)
    }

    fn other_length(&self, len: usize) -> Error {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        Error::BlockMismatch {
            path: self.path().to_owned(),
            found: self.shared.header().shape(),
            wanted: BlockLayout::new(len, "").unwrap_or(BlockLayout::NONE),
        }
    }
}

/// Copies the bytes into the data. Only the owner calls it.
fn write(lock: &ShmLock, private: &[u8]) -> Result<()> {
    match lock.shared.data().filter(|data| data.len() == private.len()) {
        Some(data) => data.write_from(private),
        None => return Err(lock.other_length(private.len())),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::{Error, ShmLock};

    #[test]
    fn a_block_of_bytes_and_a_typed_one_are_the_same_block() {
        let name = format!("test-block-bytes-{}", std::process::id());
        let builder = || ShmLock::builder(&name).schema("two numbers");
        let bytes = builder().open_block_bytes(&[7; 8]).expect("opens");
        let mut typed = builder().open_block::<[u32; 2]>().expect("the same layout");
        assert_eq!(*typed.lock().expect("free"), [0x0707_0707; 2], "the first opener's data");
        typed.lock().expect("free")[1] = 0;
        let mut copy = [1; 8];
        let refused = bytes.read_block(&mut copy);
        assert!(matches!(refused, Err(Error::NotHeld { .. })), "{refused:?}");
        bytes.acquire().expect("free");
        bytes.read_block(&mut copy).expect("held");
        assert_eq!(copy, [7, 7, 7, 7, 0, 0, 0, 0]);
        bytes.write_block(&[1, 0, 0, 0, 2, 0, 0, 0]).expect("held");
        let refused = bytes.write_block(&[0; 9]);
        assert!(matches!(refused, Err(Error::BlockMismatch { .. })), "{refused:?}");
        bytes.release().expect("held");
        assert_eq!(*typed.lock().expect("free"), [1, 2]);
    }

    #[test]
    fn a_block_of_bytes_is_refused_without_bytes_and_with_another_length() {
        let name = format!("test-block-length-{}", std::process::id());
        let refused = ShmLock::builder(&name).open_block_bytes(&[]);
        assert!(matches!(refused, Err(Error::Unsupported { .. })), "{refused:?}");
        let lock = ShmLock::builder(&name).open_block_bytes(&[0; 3]).expect("opens");
        let refused = ShmLock::builder(&name).open_block_bytes(&[0; 4]);
        assert!(matches!(refused, Err(Error::BlockMismatch { .. })), "{refused:?}");
        drop(lock);
    }
}
