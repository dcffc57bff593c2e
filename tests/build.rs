//! Tells the harness its target: cargo's runner of an emulated target is named after it.

fn main() {
    let target = std::env::var("TARGET").expect("cargo sets TARGET for build scripts");
    println!("cargo::rustc-env=SHMLOCK_TESTS_TARGET={target}");
    println!("cargo::rerun-if-changed=build.rs");
}
