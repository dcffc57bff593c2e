//! What does the poll interval of shmlock cost, and what does it buy? See the library of this
//! crate.

fn main() -> shmlock_examples::Result<()> {
    shmlock_comparison::sweep()
}
