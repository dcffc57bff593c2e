//! Attacks on shared attachments.

#![allow(unsafe_code, reason = "fork, affinity, shared memory")]
#![allow(clippy::pedantic, clippy::multiple_unsafe_ops_per_block, reason = "a stress")]

use std::path::Path;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};
use std::{fs, mem, thread};

use shmlock::ShmLock;
use shmlock_tests::hostile::{Folder, Intruder, Solo, fork};
use shmlock_tests::{alone, skipped, until};

fn open(folder: &Folder) -> ShmLock {
    folder.lock("l").poll_interval(Duration::from_millis(50)).open().expect("a lock")
}

fn descriptors_of(file: &Path) -> usize {
    let entries = fs::read_dir("/proc/self/fd").expect("/proc").flatten();
    entries.filter(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == file)).count()
}

fn on_one_processor() {
    // SAFETY: plain data, and a valid pointer.
    unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(0, &mut set);
        assert_eq!(libc::sched_setaffinity(0, mem::size_of_val(&set), &raw const set), 0);
    }
}

#[test]
fn a_waiter_on_the_same_attachment_recovers_at_once_from_a_closed_handle_with_a_leaked_guard() {
    alone!(|| {
        on_one_processor();
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let _many: Vec<_> = (0..80).map(|_| open(&folder)).collect();
        for _ in 0..5 {
            let (last, lock) = (open(&folder), open(&folder));
            mem::forget(last.lock().expect("free"));
            let (drop_at, got_at) = thread::scope(|scope| {
                let waiter = scope.spawn(move || {
                    let first = libc::sched_param { sched_priority: 1 };
                    // SAFETY: a valid pointer. The waiter runs as soon as it is woken.
                    let set =
                        unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const first) };
                    if set != 0 {
                        skipped("a thread that runs as soon as it is woken");
                    }
                    let guard = lock.try_lock_for(Duration::from_secs(4)).expect("in the end");
                    let now = Instant::now();
                    assert!(guard.recovered().is_some());
                    guard.declare_consistent().expect("held");
                    now
                });
                until(|| last.status().expect("ours").waiters);
                thread::sleep(Duration::from_millis(50)); // registered and covered
                let drop_at = Instant::now();
                drop(last);
                (drop_at, waiter.join().expect("no panic"))
            });
            let took = got_at.saturating_duration_since(drop_at);
            assert!(took < Duration::from_millis(200), "{took:?}");
        }
    });
}

#[test]
fn a_child_forked_while_a_further_handle_is_opened_inherits_no_stray_descriptor() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let many: Vec<_> = (0..80).map(|_| open(&folder)).collect();
        let file = folder.file("l");
        let base = descriptors_of(&file);
        let stop = AtomicBool::new(false);
        let mut stray = 0;
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    drop(open(&folder));
                }
            });
            for _ in 0..300 {
                // SAFETY: the child makes simple calls and ends.
                let pid = unsafe { libc::fork() };
                if pid == 0 {
                    let code = i32::from(descriptors_of(&file) > base);
                    // SAFETY: ends the child.
                    unsafe { libc::_exit(code) };
                }
                let mut status = 0;
                // SAFETY: a child of ours.
                unsafe { libc::waitpid(pid, &raw mut status, 0) };
                stray += i32::from(status != 0);
            }
            stop.store(true, Relaxed);
        });
        drop(many);
        assert_eq!(stray, 0, "children of 300 with a descriptor that no code closes");
    });
}

#[test]
fn a_process_that_has_closed_a_lock_survives_its_truncation() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let owner = fork(|line| {
            let lock = open(&folder);
            lock.acquire().expect("free");
            line.ready();
            line.wait();
            lock.release().expect("held");
            mem::forget(lock);
            line.wait();
        });
        owner.line().wait();
        let victim = fork(|line| {
            let lock = open(&folder);
            line.ready();
            drop(lock.lock().expect("in the end"));
            drop(lock);
            line.ready();
            line.wait();
        });
        victim.line().wait();
        until(|| {
            let seen = folder.lock("l").inspect().expect("there").expect("there");
            seen.status.waiters
        });
        thread::sleep(Duration::from_millis(100));
        owner.line().ready();
        victim.line().wait();
        let intruder = Intruder::on(&folder.file("l"));
        intruder.file().set_len(0).expect("a peer may");
        drop(intruder);
        thread::sleep(Duration::from_millis(1500));
        victim.line().ready();
        victim.ends_well();
        drop(owner);
    });
}

#[test]
fn beside_handles_of_a_removed_file_descriptors_still_grow_slower_than_the_handles() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let many: Vec<_> = (0..100).map(|_| open(&folder)).collect();
        fs::remove_file(folder.file("l")).expect("ours");
        let more: Vec<_> = (0..2000).map(|_| open(&folder)).collect();
        let descriptors = descriptors_of(&folder.file("l"));
        assert!(descriptors < 10, "{descriptors}");
        drop((many, more));
    });
}

struct Account {
    inside: AtomicU64,
    stolen: AtomicU64,
    untold: AtomicU64,
    starved: AtomicU64,
    stop: AtomicU64,
    entered: AtomicU64,
    recovered: AtomicU64,
    opened: AtomicU64,
}

fn account() -> &'static Account {
    // SAFETY: new shared memory of zeros, never unmapped.
    unsafe {
        let address = libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        assert_ne!(address, libc::MAP_FAILED);
        &*address.cast::<Account>()
    }
}

fn churn(folder: &Folder, account: &Account, seed: u64, most: usize) {
    let mut state = seed;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % below
    };
    let mut handles: Vec<ShmLock> = Vec::new();
    let enter = |lock: &ShmLock, leak: bool, me: u64| {
        let guard = match lock.try_lock_for(Duration::from_secs(20)) {
            Ok(guard) => guard,
            Err(error) => {
                eprintln!("{error}");
                account.starved.fetch_add(1, SeqCst);
                return;
            }
        };
        let before = account.inside.swap(me, SeqCst);
        account.entered.fetch_add(1, Relaxed);
        if guard.recovered().is_some() {
            account.recovered.fetch_add(1, Relaxed);
            guard.declare_consistent().expect("held");
        } else if before != 0 {
            account.untold.fetch_add(1, SeqCst);
        }
        for _ in 0..20 {
            std::hint::spin_loop();
        }
        if account.inside.compare_exchange(me, 0, SeqCst, SeqCst).is_err() {
            account.stolen.fetch_add(1, SeqCst);
        }
        if leak {
            mem::forget(guard);
        }
    };
    let mut turn = 0;
    while account.stop.load(Relaxed) == 0 {
        turn += 1;
        let me = (seed << 24) ^ turn ^ 1 << 60;
        match random(16) {
            0..=5 if handles.len() < most => {
                let lock = folder.lock("l").poll_interval(Duration::from_millis(20)).open();
                let Ok(lock) = lock else { continue };
                handles.push(lock);
                account.opened.fetch_add(1, Relaxed);
            }
            6..=9 if !handles.is_empty() => {
                let at = random(handles.len() as u64) as usize;
                drop(handles.swap_remove(at));
            }
            10 if !handles.is_empty() => {
                let at = random(handles.len() as u64) as usize;
                let lock = handles.swap_remove(at);
                enter(&lock, true, me);
                drop(lock);
            }
            11 if random(400) == 0 => handles.clear(),
            _ if !handles.is_empty() => {
                let at = random(handles.len() as u64) as usize;
                enter(&handles[at], false, me);
            }
            _ => {}
        }
    }
}

fn close_some(folder: &Folder, account: &Account) {
    let file = folder.file("l");
    while account.stop.load(Relaxed) == 0 {
        let entries = fs::read_dir("/proc/self/fd").expect("/proc").flatten();
        let numbers: Vec<i32> = entries
            .filter(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == file))
            .map(|entry| entry.file_name().to_str().expect("ASCII").parse().expect("a number"))
            .collect();
        for number in numbers.iter().skip(account.entered.load(Relaxed) as usize % 7).step_by(7) {
            // SAFETY: what other code may do.
            unsafe { libc::close(*number) };
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn fork_some(folder: &Folder, account: &Account, seed: u64) {
    let mut round = 0;
    while account.stop.load(Relaxed) == 0 {
        round += 1;
        // SAFETY: glibc keeps the allocator whole in the child.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            for index in 0..70 {
                let lock = folder.lock("l").open().expect("a lock");
                let Ok(guard) = lock.try_lock_for(Duration::from_secs(20)) else {
                    account.starved.fetch_add(1, SeqCst);
                    continue;
                };
                let me = (seed << 24) ^ (round * 128 + index) ^ 1 << 61;
                let before = account.inside.swap(me, SeqCst);
                if guard.recovered().is_some() {
                    guard.declare_consistent().expect("held");
                } else if before != 0 {
                    account.untold.fetch_add(1, SeqCst);
                }
                if account.inside.compare_exchange(me, 0, SeqCst, SeqCst).is_err() {
                    account.stolen.fetch_add(1, SeqCst);
                }
                mem::forget(guard);
                if index % 2 == 0 {
                    mem::forget(lock);
                    break;
                }
            }
            // SAFETY: ends the child.
            unsafe { libc::_exit(0) };
        }
        let mut status = 0;
        // SAFETY: a child of ours.
        unsafe { libc::waitpid(pid, &raw mut status, 0) };
        if status != 0 {
            account.stolen.fetch_add(1_000_000, SeqCst);
        }
    }
}

#[test]
#[ignore = "a stress: STORM seconds, with FORKS, with STRAY closes"]
fn a_storm_of_handles_and_kills() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let account = account();
        let seconds = std::env::var("STORM").ok().and_then(|s| s.parse().ok()).unwrap_or(3);
        let start = |seed: u64| {
            let folder = &folder;
            fork(move |_line| {
                thread::scope(|scope| {
                    for index in 0..8 {
                        scope.spawn(move || churn(folder, account, (seed << 3 | index) + 1, 312));
                    }
                    if std::env::var_os("STRAY").is_some() {
                        scope.spawn(move || close_some(folder, account));
                    }
                    if std::env::var_os("FORKS").is_some() {
                        scope.spawn(move || fork_some(folder, account, seed));
                    }
                });
            })
        };
        let begin = Instant::now();
        let mut children = vec![start(1), start(2)];
        let mut seed = 2;
        while begin.elapsed() < Duration::from_secs(seconds) {
            thread::sleep(Duration::from_millis(150 + seed * 37 % 400));
            children.remove(0).kill();
            seed += 1;
            children.push(start(seed));
        }
        account.stop.store(1, SeqCst);
        for child in children {
            child.ends_well();
        }
        let get = |n: &AtomicU64| n.load(SeqCst);
        eprintln!(
            "killed {} opened {} entered {} recovered {}; stolen {} untold {} starved {}",
            seed - 2,
            get(&account.opened),
            get(&account.entered),
            get(&account.recovered),
            get(&account.stolen),
            get(&account.untold),
            get(&account.starved)
        );
        let last = open(&folder);
        let guard = last.lock().expect("free");
        let _ = guard.declare_consistent();
        drop(guard);
        drop(last);
        assert!(folder.names().is_empty(), "{:?}", folder.names());
        assert_eq!((get(&account.stolen), get(&account.untold), get(&account.starved)), (0, 0, 0));
    });
}
