//! A thread ends by the bare system call, and a successor with its thread pointer uses its handle.
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::SeqCst};
use shmlock::{Error, ShmLock};

static LOCK: AtomicPtr<ShmLock> = AtomicPtr::new(null_mut());
static POINTER: AtomicUsize = AtomicUsize::new(0);

extern "C" fn first(_: *mut c_void) -> *mut c_void {
    let lock = unsafe { &*LOCK.load(SeqCst) };
    for _ in 0..3 {
        lock.acquire().unwrap();
        lock.release().unwrap();
    }
    POINTER.store(unsafe { libc::pthread_self() } as usize, SeqCst);
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    null_mut()
}

extern "C" fn second(_: *mut c_void) -> *mut c_void {
    if unsafe { libc::pthread_self() } as usize != POINTER.load(SeqCst) {
        println!("another thread pointer");
        return null_mut();
    }
    let lock = unsafe { &*LOCK.load(SeqCst) };
    lock.acquire().unwrap();
    let other = ShmLock::open(lock.name()).unwrap();
    let waited = other.try_acquire_for(std::time::Duration::from_millis(50));
    println!("same thread pointer; WouldDeadlock expected: {waited:?}");
    if !matches!(waited, Err(Error::WouldDeadlock { .. })) {
        println!("*** the slot names the ended thread ***");
    }
    lock.release().unwrap();
    null_mut()
}

fn run(f: extern "C" fn(*mut c_void) -> *mut c_void) {
    let mut thread = unsafe { std::mem::zeroed() };
    unsafe { libc::pthread_create(&mut thread, std::ptr::null(), f, null_mut()) };
    unsafe { libc::pthread_join(thread, null_mut()) };
}

fn main() {
    let lock = ShmLock::open(&format!("break1-{}", std::process::id())).unwrap();
    LOCK.store(std::ptr::from_ref(&lock).cast_mut(), SeqCst);
    for _ in 0..5 {
        run(first);
        run(second);
    }
}
