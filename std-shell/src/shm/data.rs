//! Copies the data behind the header in and out, by atomics: another process may write it at any
//! time.

#![allow(unsafe_code, reason = "turns an address and a length into a reference to atomics")]

use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU8, AtomicUsize};

/// The length of a word. The data is copied in words of this process's own width, which no other
/// process needs to know.
const WORD: usize = size_of::<AtomicUsize>();

/// A copyable reference to the data in shared memory.
///
/// # Invariants
///
/// 1. `len` bytes from `start` on are readable and writable for `'a`, and `start` is a multiple of
///    [`WORD`].
/// 2. This process accesses them by atomics only, those of whole words by whole words.
#[derive(Clone, Copy)]
pub(crate) struct Data<'a> {
    start: NonNull<u8>,
    len: usize,
    lifetime: PhantomData<&'a [AtomicU8]>,
}

impl<'a> Data<'a> {
    /// Refers to the data at this address.
    ///
    /// # Safety
    ///
    /// `len` bytes from `start`, a multiple of 8, are readable and writable for `'a`, and accessed
    /// by this type only.
    pub(crate) unsafe fn from_raw(start: NonNull<u8>, len: usize) -> Self {
        Self { start, len, lifetime: PhantomData }
    }

    /// Returns its bytes.
    pub(crate) fn len(self) -> usize {
        self.len
    }

    fn words(self) -> &'a [AtomicUsize] {
        // SAFETY: aligned, mapped for `'a`, and accessed by atomics of this width: invariants 1, 2.
        // Any bits are a word.
        unsafe { std::slice::from_raw_parts(self.start.cast().as_ptr(), self.len / WORD) }
    }

    /// Returns the bytes behind the last whole word.
    fn rest(self) -> &'a [AtomicU8] {
        let rest = self.len % WORD;
        // SAFETY: inside the data, or at its end if there is no rest: invariant 1.
        let start = unsafe { self.start.add(self.len - rest) };
        // SAFETY: mapped for `'a`, and accessed by atomics of this width: invariants 1, 2.
        unsafe { std::slice::from_raw_parts(start.cast().as_ptr(), rest) }
    }

    /// Copies the data into private memory of the same length.
    ///
    /// The copy is consistent if the caller holds the lock and all processes respect it. Otherwise
    /// some bytes are older than others.
    pub(crate) fn read_into(self, private: &mut [u8]) {
        debug_assert_eq!(private.len(), self.len);
        let mut chunks = private.chunks_exact_mut(WORD);
        for (chunk, word) in (&mut chunks).zip(self.words()) {
            // Partner: `write_from` of the previous owner. Relaxed: the fences of the lock order.
            chunk.copy_from_slice(&word.load(Relaxed).to_ne_bytes());
        }
        for (byte, shared) in chunks.into_remainder().iter_mut().zip(self.rest()) {
            *byte = shared.load(Relaxed); // partner: as above
        }
    }

    /// Copies private memory of the same length into the data. Only the owner calls it.
    ///
    /// *If we die in between:* some of it is new and some old.
    pub(crate) fn write_from(self, private: &[u8]) {
        debug_assert_eq!(private.len(), self.len);
        let chunks = private.chunks_exact(WORD);
        let remainder = chunks.remainder();
        for (word, chunk) in self.words().iter().zip(chunks) {
            let mut bytes = [0; WORD];
            bytes.copy_from_slice(chunk);
            // Partner: `read_into` of the next owner. Relaxed: the fences of the lock order.
            word.store(usize::from_ne_bytes(bytes), Relaxed);
        }
        for (shared, byte) in self.rest().iter().zip(remainder) {
            shared.store(*byte, Relaxed); // partner: as above
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_of_every_length_is_copied_in_and_out_and_no_byte_beyond() {
        for len in 1..=4 * WORD {
            let shared: Vec<AtomicUsize> = (0..6).map(|_| AtomicUsize::new(usize::MAX)).collect();
            let start = NonNull::from(&*shared).cast();
            // SAFETY: the words are longer than `len`, live until the end of the loop, and are read
            // below only after use.
            let data = unsafe { Data::from_raw(start, len) };
            let ours: Vec<u8> = (1..=u8::try_from(len).unwrap()).collect();
            data.write_from(&ours);
            let mut back = vec![0; len];
            data.read_into(&mut back);
            assert_eq!(back, ours);
            let all: Vec<u8> =
                shared.iter().flat_map(|word| word.load(Relaxed).to_ne_bytes()).collect();
            assert!(all[len..].iter().all(|&byte| byte == 0xff), "{len}: {all:?}");
        }
    }
}
