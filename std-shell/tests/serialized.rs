//! Tests the serialised form of an inspected lock.

#![cfg(feature = "serde")]

use serde_json::{Value, json};
use shmlock::{LockState, OwnerState, ShmLock};
use shmlock_tests::Fixture;

fn serialized(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).expect("representable in JSON")
}

#[test]
fn a_holder_is_serialized_as_its_accessors_show_it() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let lock = ShmLock::builder(&name).description("belt 7").open().expect("a new lock");
    let guard = lock.lock().expect("free");
    let holder = lock.holder().expect("ours").expect("held");
    let mut seen = serialized(&holder);
    // The clock advances between the two.
    let seconds = seen.as_object_mut().expect("an object").remove("held_seconds");
    assert!(seconds.is_some_and(|seconds| seconds.as_u64().is_some()));
    let expected = json!({
        "token": holder.token(),
        "pid": std::process::id(),
        "pid_namespace": holder.pid_namespace(),
        "pid_is_ours": holder.pid_is_ours(),
        "uuid": holder.uuid().expect("its record").to_string(),
        "description": "belt 7",
    });
    assert_eq!(seen, expected);
    drop(guard);
}

#[test]
fn status_and_statistics_are_serialized_by_their_fields() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let lock = ShmLock::builder(&name).measure_holds(true).open().expect("a new lock");
    drop(lock.lock().expect("free"));
    let status = json!({
        "state": "unlocked",
        "waiters": false,
        "owner_died": false,
        "recoveries": 0,
        "orphaned": false,
    });
    assert_eq!(serialized(&lock.status().expect("ours")), status);
    let statistics = lock.statistics().expect("ours");
    let expected = json!({
        "acquisitions": 1,
        "contended": 0,
        "recoveries": 0,
        "longest_hold": statistics.longest_hold.expect("measured").as_secs_f64(),
    });
    assert_eq!(serialized(&statistics), expected);
}

#[test]
fn states_are_serialized_in_snake_case() {
    assert_eq!(serialized(&LockState::HeldByThisHandle), json!("held_by_this_handle"));
    assert_eq!(serialized(&LockState::Held(OwnerState::Dead)), json!({ "held": "dead" }));
}
