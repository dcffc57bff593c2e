//! What happens at a panic in an archive that was built without unwinding: nothing more. No
//! function of the header leads to one; `ci/ffi.sh` looks.

#![allow(unsafe_code, reason = "exports a symbol by its name")]

use core::panic::PanicInfo;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// Named by the tables of the precompiled `core`, which is made for unwinding on a hosted target.
/// Nobody calls it, for nothing unwinds.
#[cfg(not(target_os = "none"))]
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
