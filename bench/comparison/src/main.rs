//! How fast is shmlock beside every other lock that processes can share? See the library of this
//! crate.

fn main() -> shmlock_bench_support::Result<()> {
    shmlock_comparison::compare()
}
