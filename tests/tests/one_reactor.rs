//! Checks that threads whose first task waits begin at the same moment share one waiting thread.

use std::fs::read_dir;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use shmlock::{ShmLock, WaitStrategy};
use shmlock_tests::hostile::{Solo, fork};
use shmlock_tests::{Capability, TestWaker, alone, can, poll, rounds};

/// Returns the number of threads of this process, which counts a new one before it has its name.
fn threads() -> usize {
    read_dir("/proc/self/task").expect("proc is mounted").count()
}

/// With two waiting threads, a closing handle would miss the waits of one of them. That thread
/// would then read the owner word after it is unmapped. Each round is a fresh process. The waits
/// last for an hour, because the waiting thread ends soon after the last one.
#[test]
fn threads_that_begin_to_wait_at_once_share_one_waiting_thread() {
    const THREADS: usize = 4;
    const HOUR: Duration = Duration::from_secs(3600);
    if !can(Capability::KeepMemoryFromChildren) {
        return;
    }
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        for round in 0..rounds(200) {
            let process = fork(|_| {
                let start = Barrier::new(THREADS);
                let all_wait = Barrier::new(THREADS + 1);
                let counted = Barrier::new(THREADS + 1);
                thread::scope(|scope| {
                    for _ in 0..THREADS {
                        scope.spawn(|| {
                            let holder = ShmLock::open(&name).expect("a lock");
                            let _held = holder.try_lock().expect("a lock");
                            let waiter = ShmLock::builder(&name)
                                .poll_interval(HOUR)
                                .wait_strategy(WaitStrategy::SleepPolling);
                            let waiter = waiter.open().expect("another handle");
                            let waker = TestWaker::new();
                            let mut waiting = waiter.lock_async();
                            start.wait();
                            assert!(poll(&mut waiting, &waker).is_pending());
                            all_wait.wait();
                            counted.wait();
                        });
                    }
                    all_wait.wait();
                    let count = threads();
                    counted.wait();
                    assert_eq!(count, 1 + THREADS + 1, "round {round}");
                });
            });
            process.ends_well();
        }
    });
}
