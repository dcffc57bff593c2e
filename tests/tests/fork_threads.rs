//! Checks that several threads of a forked child may open handles at the same time, although its
//! parent has left handles in the list (`std-shell/src/process/registry.rs`).

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::thread;

use shmlock::ShmLock;
use shmlock_tests::alone;
use shmlock_tests::hostile::{Folder, Solo, fork};

/// How many handles the parent has, and each thread of a child opens.
const HANDLES: usize = 128;
const THREADS: u32 = 2;
/// How many children there are. If a slot of the parent can be claimed twice, already the first one
/// or two of them never close all their handles.
const CHILDREN: u32 = 30;

#[test]
fn threads_of_a_child_that_open_handles_at_the_same_time_get_a_slot_each() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let lock = folder.lock("l").open().expect("a lock");
        let of_the_parent: Vec<_> =
            (0..HANDLES).map(|_| lock.try_clone().expect("another")).collect();
        for _ in 0..CHILDREN {
            fork(|_| {
                let lock = folder.lock("l").open().expect("the child's own");
                let here = AtomicU32::new(0);
                thread::scope(|scope| {
                    for _ in 0..THREADS {
                        let own = lock.try_clone().expect("the thread's own");
                        scope.spawn(|| opens_at_the_same_time(own, &here));
                    }
                });
            })
            .ends_well();
        }
        drop(of_the_parent);
    });
}

/// Opens as many handles as the parent has, once all threads are here, and closes them.
#[expect(clippy::needless_pass_by_value, reason = "a handle belongs to one thread")]
fn opens_at_the_same_time(lock: ShmLock, here: &AtomicU32) {
    here.fetch_add(1, AcqRel); // partner: the load below, in the other threads
    while here.load(Acquire) < THREADS {
        std::hint::spin_loop();
    }
    let handles: Vec<_> = (0..HANDLES).map(|_| lock.try_clone().expect("another")).collect();
    drop(handles);
}
