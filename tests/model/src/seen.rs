//! Stores every world once, with a number and the way by which it was first reached.

use std::hash::{Hash, Hasher};

/// A free slot of the table.
const FREE: u32 = u32::MAX;

/// Stores the worlds, in the order in which they were found. The hash table has their numbers only,
/// so that a world is stored once.
pub struct Seen<W> {
    worlds: Vec<W>,
    parents: Vec<u32>,
    table: Vec<u32>,
}

impl<W: Copy + Eq + Hash> Seen<W> {
    /// Creates the set with one world, which has no parent and the number 0.
    #[must_use]
    pub fn from(start: W) -> Self {
        let mut seen = Self { worlds: Vec::new(), parents: Vec::new(), table: vec![FREE; 1 << 10] };
        seen.insert(start, 0);
        seen
    }

    /// Returns the number of worlds, at least one.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.worlds.len()
    }

    /// Returns the world with this number.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn world(&self, number: u32) -> &W {
        &self.worlds[number as usize]
    }

    /// Returns the number of a world; `None` if it was not found yet.
    #[must_use]
    pub fn find(&self, world: &W) -> Option<u32> {
        Some(self.table[self.slot(world)]).filter(|&number| number != FREE)
    }

    /// Returns the number of a world, which is added if it is new.
    ///
    /// # Panics
    /// If there are 2^32 - 1 worlds already.
    pub fn insert(&mut self, world: W, parent: u32) -> u32 {
        let slot = self.slot(&world);
        if self.table[slot] != FREE {
            return self.table[slot];
        }
        let number = u32::try_from(self.worlds.len())
            .ok()
            .filter(|&number| number != FREE)
            .expect("fewer than 2^32 worlds");
        self.table[slot] = number;
        self.worlds.push(world);
        self.parents.push(parent);
        if self.worlds.len() * 2 > self.table.len() {
            self.grow();
        }
        number
    }

    /// Returns the worlds on a shortest way from the first to this one.
    #[must_use]
    pub fn way_to(&self, mut number: u32) -> Vec<W> {
        let mut way = vec![*self.world(number)];
        while number != 0 {
            number = self.parents[number as usize];
            way.push(*self.world(number));
        }
        way.reverse();
        way
    }

    /// Returns the memory that this takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let worlds = self.worlds.capacity() * size_of::<W>();
        worlds + (self.parents.capacity() + self.table.capacity()) * size_of::<u32>()
    }

    /// Returns the slot of the world in the table, or the free slot for it.
    fn slot(&self, world: &W) -> usize {
        let mask = self.table.len() - 1;
        let mut mixer = Mixer::default();
        world.hash(&mut mixer);
        #[allow(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
        let mut slot = mixer.finish() as usize & mask;
        while self.table[slot] != FREE && self.world(self.table[slot]) != world {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn grow(&mut self) {
        self.table = vec![FREE; self.table.len() * 2];
        for number in 0..self.worlds.len() {
            let slot = self.slot(&self.worlds[number]);
            self.table[slot] = u32::try_from(number).expect("counted by `insert`");
        }
    }
}

/// A hash of bytes, seven at a time. The worlds are this program's own: none is chosen to collide.
#[derive(Default)]
struct Mixer {
    hash: u64,
    pending: u64,
}

impl Mixer {
    fn mix(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    }
}

impl Hasher for Mixer {
    fn write_u8(&mut self, byte: u8) {
        // A leading one bit says how many are pending.
        self.pending = if self.pending == 0 { 1 << 8 } else { self.pending << 8 } | u64::from(byte);
        if self.pending >> 56 != 0 {
            let word = std::mem::take(&mut self.pending);
            self.mix(word);
        }
    }

    // A derived `Hash` writes this for an enum: a small number.
    fn write_isize(&mut self, value: isize) {
        self.write_u8(value.to_le_bytes()[0]);
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u8(byte);
        }
    }

    // Arrays begin with their length, which is always the same.
    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        let mut last = Self { hash: self.hash, pending: 0 };
        last.mix(self.pending);
        last.mix(self.hash >> 32);
        last.hash ^ last.hash >> 32
    }
}
