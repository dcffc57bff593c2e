//! Handles a panic in an archive that is built without unwinding: stops. No function of the header
//! can panic; `ci/ffi.sh` checks.

#![allow(unsafe_code, reason = "exports a symbol by its name")]

use core::panic::PanicInfo;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// Satisfies the tables of the precompiled `core`, which is built for unwinding on hosted targets.
/// Never called, because nothing unwinds.
#[cfg(not(target_os = "none"))]
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
