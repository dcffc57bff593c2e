//! A build without fleet locks says how to get one with them.

use shmlock_tests::hostile::Solo;
use shmlock_tests::skipped;

use crate::program::says;

#[test]
fn a_build_without_fleet_locks_says_how_to_get_them() {
    let fixture = Solo::new();
    let name = fixture.name("l");
    let url = "http://127.0.0.1:1";
    for verb in [
        &["run", &name, "--fleet", url, "true"][..],
        &["run", &name, "--ttl", "5", "true"],
        &["hold", &name, "--fleet", url],
        &["status", &name, "--fleet", url],
        &["list", "--fleet", url],
    ] {
        let refused = says(verb);
        assert_eq!((refused.code, refused.out.as_str()), (Some(64), ""));
        assert!(refused.err.contains("cargo install --path cli --features fleet"), "{refused:?}");
        assert_eq!(refused.err.lines().count(), 1);
    }
    assert!(!says(["run", "--help"]).out.contains("--fleet"));
    skipped("fleet locks with a real etcd: this build has none, see ci/fleet.sh");
}
