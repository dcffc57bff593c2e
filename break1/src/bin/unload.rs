//! A library with the lock is unloaded before a thread that used it ends.
use std::ffi::{CString, c_char, c_void};
use std::ptr::null_mut;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

static USE: AtomicUsize = AtomicUsize::new(0);
static BARRIER: std::sync::LazyLock<Barrier> = std::sync::LazyLock::new(|| Barrier::new(2));

extern "C" fn thread(name: *mut c_void) -> *mut c_void {
    let call: unsafe extern "C" fn(*const c_char) -> i32 =
        unsafe { std::mem::transmute(USE.load(SeqCst)) };
    println!("in the thread: {}", unsafe { call(name.cast()) });
    BARRIER.wait(); // used
    BARRIER.wait(); // unloaded
    null_mut()
}

fn is_mapped() -> bool {
    std::fs::read_to_string("/proc/self/maps").unwrap().contains("libbreak1_lib")
}

fn main() {
    let path = CString::new(std::env::args().nth(1).unwrap()).unwrap();
    let name = CString::new(format!("break1-{}", std::process::id())).unwrap();
    for round in 0..50 {
        let lib = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        assert!(!lib.is_null());
        USE.store(unsafe { libc::dlsym(lib, c"use_lock".as_ptr()) } as usize, SeqCst);
        let mut id = unsafe { std::mem::zeroed() };
        unsafe {
            libc::pthread_create(&mut id, std::ptr::null(), thread, name.as_ptr() as *mut c_void)
        };
        BARRIER.wait();
        let before = is_mapped();
        unsafe { libc::dlclose(lib) };
        let after = is_mapped();
        BARRIER.wait();
        unsafe { libc::pthread_join(id, null_mut()) };
        if round == 0 || round == 49 {
            println!("{round}: mapped {before}, after dlclose {after}, in the end {}", is_mapped());
        }
    }
}
