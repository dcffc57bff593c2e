//! Computes which pages hold a range of bytes, and refuses ranges that no lock can lie in.

use crate::sys::range_mapping::Pages;

/// The alignment of a region in bytes: that of its words.
const ALIGN: u64 = shmlock_core::layout::REGION_ALIGN as u64;

/// The memory of a device or a file, as mmap(2) sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The mmap offset of the memory's first page.
    pub(crate) base: u64,
    /// The bytes from there to the memory's first byte.
    pub(crate) skip: u64,
    /// The bytes of the memory, if known.
    pub(crate) size: Option<u64>,
    /// The page size.
    pub(crate) page: u64,
    /// `true` if a mapping has to begin at `base`, because another mmap offset means another
    /// memory (UIO).
    pub(crate) begins_at_base: bool,
}

/// Why a range cannot be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadRange {
    Empty,
    /// It does not begin at a multiple of four.
    Misaligned,
    /// It ends beyond the memory, or beyond the address space.
    BeyondEnd {
        end: u64,
    },
}

impl Extent {
    /// Returns the pages of the range of `len` bytes that begins `offset` bytes into the memory.
    pub(crate) fn pages(&self, offset: u64, len: usize) -> Result<Pages, BadRange> {
        let endless = BadRange::BeyondEnd { end: u64::MAX };
        let bytes = u64::try_from(len).map_err(|_| endless)?;
        if len == 0 {
            return Err(BadRange::Empty);
        }
        let end = offset.checked_add(bytes).ok_or(endless)?;
        if self.size.is_some_and(|size| end > size) {
            return Err(BadRange::BeyondEnd { end });
        }
        let begin = self.skip.checked_add(offset).ok_or(endless)?;
        if begin % ALIGN != 0 {
            return Err(BadRange::Misaligned);
        }
        let lead = if self.begins_at_base { begin } else { begin % self.page };
        let first = self.base.checked_add(begin - lead).ok_or(endless)?;
        let mapped =
            lead.checked_add(bytes).and_then(|used| used.checked_next_multiple_of(self.page));
        let mapped = mapped.filter(|mapped| first.checked_add(*mapped).is_some()).ok_or(endless)?;
        let [lead, mapped] = [lead, mapped].map(usize::try_from);
        let (lead, mapped) = (lead.map_err(|_| endless)?, mapped.map_err(|_| endless)?);
        // Longer than any object may be: the kernel would refuse it, and no pointer could reach it.
        isize::try_from(mapped).map_err(|_| endless)?;
        Ok(Pages { first, lead, len, mapped })
    }
}

#[cfg(test)]
mod tests {
    use super::{BadRange, Extent};
    use crate::sys::range_mapping::Pages;

    fn file(size: Option<u64>) -> Extent {
        Extent { base: 0, skip: 0, size, page: 4096, begins_at_base: false }
    }

    #[test]
    fn a_range_in_the_middle_of_a_page_is_mapped_with_its_whole_page() {
        let expected = Pages { first: 4096, lead: 64, len: 128, mapped: 4096 };
        assert_eq!(file(Some(8192)).pages(4096 + 64, 128), Ok(expected));
    }

    #[test]
    fn a_range_across_a_page_boundary_is_mapped_with_both_pages() {
        let expected = Pages { first: 0, lead: 4092, len: 128, mapped: 8192 };
        assert_eq!(file(Some(8192)).pages(4092, 128), Ok(expected));
    }

    #[test]
    fn a_range_may_end_where_the_memory_ends_and_not_a_byte_later() {
        assert!(file(Some(8192)).pages(8192 - 128, 128).is_ok());
        let beyond = Err(BadRange::BeyondEnd { end: 8196 });
        assert_eq!(file(Some(8192)).pages(8192 - 124, 128), beyond);
        assert!(file(None).pages(8192 - 124, 128).is_ok(), "of unknown size");
    }

    #[test]
    fn a_mapping_of_a_uio_device_begins_at_the_offset_that_selects_the_memory() {
        let base = 3 * 4096;
        let uio = Extent { base, skip: 16, size: Some(9000), page: 4096, begins_at_base: true };
        let near = Pages { first: base, lead: 20, len: 128, mapped: 4096 };
        assert_eq!(uio.pages(4, 128), Ok(near));
        let far = Pages { first: base, lead: 16 + 5000, len: 128, mapped: 8192 };
        assert_eq!(uio.pages(5000, 128), Ok(far));
    }

    #[test]
    fn odd_empty_and_endless_ranges_are_refused() {
        let endless = Err(BadRange::BeyondEnd { end: u64::MAX });
        assert_eq!(file(None).pages(2, 128), Err(BadRange::Misaligned));
        assert_eq!(Extent { skip: 2, ..file(None) }.pages(0, 128), Err(BadRange::Misaligned));
        assert_eq!(file(None).pages(0, 0), Err(BadRange::Empty));
        assert_eq!(file(None).pages(u64::MAX - 3, 128), endless);
        assert_eq!(file(None).pages(u64::MAX - 131, 128), endless);
        assert_eq!(file(None).pages(0, usize::MAX), endless);
        assert_eq!(file(None).pages(0, usize::MAX / 2 + 1), endless);
        let last_page = u64::MAX - 4095;
        assert_eq!(Extent { base: last_page, ..file(None) }.pages(4096, 4), endless);
    }
}
