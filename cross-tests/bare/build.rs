//! Passes the linker script and the memory map of the machine. One feature of Cargo.toml is one
//! machine.

use std::path::PathBuf;
use std::{env, fs};

/// Cargo's name of the feature, the linker script, the name by which it includes the memory map,
/// and the map.
const MACHINES: [(&str, &str, &str, &str); 5] = [
    // `image.ld` and `link.x` come with aarch64-rt and cortex-m-rt.
    ("VIRT64", "image.ld", "memory.ld", "MEMORY { image : ORIGIN = 0x40080000, LENGTH = 4M }\n"),
    ("VIRT32", "virt32.ld", "memory.ld", "MEMORY { RAM : ORIGIN = 0x40010000, LENGTH = 4M }\n"),
    // The SSE-200's secure aliases: both cores leave reset in the secure state.
    (
        "AN521",
        "link.x",
        "memory.x",
        "MEMORY {\nFLASH : ORIGIN = 0x10000000, LENGTH = 512K\n\
         RAM : ORIGIN = 0x38000000, LENGTH = 1M\n}\n",
    ),
    (
        "AN385",
        "link.x",
        "memory.x",
        "MEMORY { FLASH : ORIGIN = 0, LENGTH = 4M\nRAM : ORIGIN = 0x20000000, LENGTH = 4M }\n",
    ),
    (
        "MICROBIT",
        "link.x",
        "memory.x",
        "MEMORY { FLASH : ORIGIN = 0, LENGTH = 256K\nRAM : ORIGIN = 0x20000000, LENGTH = 16K }\n",
    ),
];

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo"));
    let is_chosen = |machine: &&(&str, &str, &str, &str)| {
        env::var_os(format!("CARGO_FEATURE_{}", machine.0)).is_some()
    };
    let machine = MACHINES.iter().find(is_chosen).expect("choose one machine by --features");
    let &(_, script, memory_name, memory) = machine;
    fs::write(out.join(memory_name), memory).expect("OUT_DIR is writable");
    fs::write(out.join("virt32.ld"), include_str!("ld/virt32.ld")).expect("OUT_DIR is writable");
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg=-T{script}");
    if script == "image.ld" {
        println!("cargo::rustc-link-arg=-T{memory_name}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=ld");
}
