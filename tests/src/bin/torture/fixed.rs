//! Contends with a static token on a lock of the shell: the core alone, on a mapping of the file.
//!
//! The death of a static owner cannot be proven, so this worker is never killed. It cannot wake
//! waiters that sleep in the kernel, so they probe at their own intervals. A handle of the shell,
//! which holds nothing, keeps the file present.

#![allow(unsafe_code, reason = "maps the file of a lock")]

use std::num::NonZeroU16;
use std::ptr::{NonNull, null_mut};
use std::thread;
use std::time::Duration;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use shmlock::uuid::Uuid;
use shmlock_core::layout::REGION_LEN;
use shmlock_core::record::description;
use shmlock_core::{Record, Region, RegionLock};
use shmlock_tests::hostile::Intruder;

use crate::contender;
use crate::memory::Doing;
use crate::operations::hold;
use crate::oracle::Told;
use crate::plan::Plan;
use crate::role::MIXED;
use crate::tally::Count;
use crate::visit::{Operation, Visit};
use crate::worker::Worker;

/// The number of attempts of one operation, and the sleep between them.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_micros(500);

/// The token of every process on this seat; there is one at a time.
const TOKEN: NonZeroU16 = NonZeroU16::MIN;

struct Mapped(NonNull<u8>);

impl Mapped {
    fn of(file: &std::fs::File) -> Self {
        let flags = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let memory = unsafe { mmap(null_mut(), REGION_LEN, flags, MapFlags::SHARED, file, 0) }
            .expect("memory for it");
        Self(NonNull::new(memory.cast()).expect("no mapping is at the null page"))
    }

    fn region(&self) -> Region<'_> {
        // SAFETY:
        // - mapped in `of` with this length, and for as long as `self` is borrowed; no process
        //   truncates the file.
        // - all accesses are 32-bit atomics.
        unsafe { Region::from_raw(self.0, REGION_LEN) }.expect("a lock")
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: mapped in `of` with this length; no reference to it is left.
        let _ = unsafe { munmap(self.0.as_ptr().cast(), REGION_LEN) };
    }
}

/// Follows the visits of the plan.
pub(crate) fn follow(worker: &mut Worker<'_>, plan: Plan) {
    for operation in plan {
        let Operation::Visit(visit) = operation else { return };
        if worker.session.memory.is_over() {
            return;
        }
        if worker.open(MIXED, &visit.make) {
            visit_as_core(worker, &visit);
        }
        if !visit.keep {
            worker.close(MIXED);
        }
    }
}

fn visit_as_core(worker: &Worker<'_>, visit: &Visit) {
    let (Some(presence), me) = (&worker.handles[MIXED], &worker.me) else { return };
    let mapped = Mapped::of(Intruder::on(&worker.session.path_of(MIXED)).file());
    let lock = RegionLock::new(mapped.region(), TOKEN).with_record(record(me.number()));
    me.does(Doing::Acquiring);
    me.life().set_may_hold(MIXED);
    for _ in 0..ATTEMPTS {
        if let Ok(Some(guard)) = lock.try_lock() {
            let told = Told { died: guard.owner_died(), dead: None, fence: guard.fencing_token() };
            let section = me.enter(MIXED, presence, &told);
            me.work(&section, || hold(visit.hold));
            if told.died && visit.declare {
                guard.declare_consistent().expect("held");
                me.note_consistent(&section);
            }
            me.leave(section);
            guard.release().expect("held");
            return me.released(MIXED);
        }
        thread::sleep(PAUSE);
    }
    me.life().clear_may_hold(MIXED);
    me.does(Doing::Nothing);
    me.count(Count::TryFailed);
}

fn record(life: u64) -> Record {
    let uuid = Uuid::from_u64_pair(life, u64::from(std::process::id()));
    let text = contender::description(life, &uuid.simple().to_string());
    Record {
        uuid,
        pid: std::process::id(),
        pid_namespace: pid_namespace(),
        since: 0,
        description: description(&text).expect("short enough"),
    }
}

fn pid_namespace() -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self/ns/pid").map_or(0, |meta| u32::try_from(meta.ino()).unwrap_or(0))
}
