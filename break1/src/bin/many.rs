//! Opens many handles, and says what an open, the end of a thread and a reuse of anchors cost.
use std::time::Instant;
use shmlock::ShmLock;
fn main() {
    let most: usize = std::env::args().nth(1).map_or(20_000, |n| n.parse().unwrap());
    let name = format!("break1-{}", std::process::id());
    let mut handles = Vec::new();
    let mut begin = Instant::now();
    for n in 1..=most {
        match ShmLock::open(&name) {
            Ok(lock) => handles.push(lock),
            Err(error) => {
                println!("refused at {n}: {error}");
                break;
            }
        }
        if n % (most / 4) == 0 {
            println!("{n}: {:?}", begin.elapsed());
            begin = Instant::now();
        }
    }
    for lock in &handles {
        for _ in 0..2 {
            lock.acquire().unwrap();
            lock.release().unwrap();
        }
    }
    println!("two pairs each: {:?}", begin.elapsed());
    for _ in 0..2 {
        let begin = Instant::now();
        let lock = &handles.pop().unwrap();
        let at = std::ptr::from_ref(lock) as usize;
        std::thread::spawn(move || {
            let lock = unsafe { &*(at as *const ShmLock) };
            lock.acquire().unwrap();
            lock.release().unwrap();
        })
        .join()
        .unwrap();
        println!("a thread that locks once: {:?}", begin.elapsed());
        let begin = Instant::now();
        std::thread::spawn(|| ()).join().unwrap();
        println!("a thread that does not: {:?}", begin.elapsed());
    }
    let begin = Instant::now();
    for n in (0..handles.len()).rev().step_by(2) {
        drop(handles.swap_remove(n));
    }
    println!("half closed: {:?}", begin.elapsed());
    let begin = Instant::now();
    for _ in 0..most / 4 {
        handles.push(ShmLock::open(&name).unwrap());
    }
    println!("a quarter opened: {:?}", begin.elapsed());
    for lock in &handles {
        lock.acquire().unwrap();
        lock.release().unwrap();
    }
    drop(handles);
}
