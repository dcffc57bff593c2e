//! What does the poll interval of shmlock cost, and what does it buy? See the library of this
//! crate.

fn main() -> shmlock_bench_support::Result<()> {
    shmlock_comparison::sweep()
}
