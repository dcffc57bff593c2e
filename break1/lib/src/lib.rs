use shmlock::ShmLock;
use std::cell::RefCell;
use std::ffi::{CStr, c_char};

/// Opens, uses and closes a lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn use_lock(name: *const c_char) -> i32 {
    let name = unsafe { CStr::from_ptr(name) }.to_str().unwrap();
    let Ok(lock) = ShmLock::open(name) else { return 1 };
    for _ in 0..3 {
        if lock.acquire().and_then(|()| lock.release()).is_err() {
            return 2;
        }
    }
    let _ = RefCell::new(0);
    0
}
