//! Measures shmlock beside every other lock that processes can share, by this crate's library.

fn main() -> shmlock_bench_support::Result<()> {
    shmlock_comparison::compare()
}
