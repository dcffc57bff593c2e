//! How fast is shmlock beside every other lock that processes can share? See the library of this
//! crate.

fn main() -> shmlock_examples::Result<()> {
    shmlock_comparison::compare()
}
