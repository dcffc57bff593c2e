//! Measures the cost and the benefit of shmlock's poll interval, by this crate's library.

fn main() -> shmlock_bench_support::Result<()> {
    shmlock_comparison::sweep()
}
