//! Tells the harness for which target it is built: the runner of an emulated target is named after
//! it.

fn main() {
    let target = std::env::var("TARGET").expect("cargo sets TARGET for build scripts");
    println!("cargo::rustc-env=SHMLOCK_TESTS_TARGET={target}");
    println!("cargo::rerun-if-changed=build.rs");
}
