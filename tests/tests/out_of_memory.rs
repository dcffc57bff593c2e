//! An owner that the kernel kills because memory has run out.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use shmlock_tests::{Actor, Fixture, actor, skipped};

/// More than an actor needs, and little enough to be used up soon.
const LIMIT: &str = "32M";

/// A control group with little memory, cgroups(7) version 2. Dropping it removes it; nobody may be
/// in it any more.
struct Narrow(PathBuf);

impl Narrow {
    /// Takes a privilege and the memory controller of version 2.
    fn new(name: &str) -> io::Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        set(&root.join("cgroup.subtree_control"), "+memory")?;
        let group = Self(root.join(name));
        fs::create_dir(&group.0)?;
        set(&group.0.join("memory.max"), LIMIT)?;
        // Missing where the kernel has no swap.
        let _ = set(&group.0.join("memory.swap.max"), "0");
        Ok(group)
    }

    fn confine(&self, actor: &Actor) {
        set(&self.0.join("cgroup.procs"), &actor.pid().to_string()).expect("the kernel moves it");
    }

    fn events(&self) -> String {
        fs::read_to_string(self.0.join("memory.events")).expect("the controller counts")
    }
}

/// Writes to a file that is there: where version 1 is mounted, the same directory takes any new
/// file, and none works.
fn set(file: &Path, value: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(file)?.write_all(value.as_bytes())
}

impl Drop for Narrow {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn an_owner_killed_for_want_of_memory_is_recovered_from() {
    let fixture = Fixture::new();
    for asleep in [true, false] {
        let name = fixture.name("l");
        let group = match Narrow::new(&name) {
            Ok(group) => group,
            Err(error) => return skipped(&format!("no memory control group to be had: {error}")),
        };
        let (mut owner, mut next) = (actor!("{name} desc=greedy"), actor!("{name}"));
        group.confine(&owner);
        owner.ask("lock l");
        let who = owner.ask("holder l");
        if asleep {
            next.tell("lock l");
            owner.sees_a_waiter();
        }
        owner.tell("die memory");
        owner.ends_by(libc::SIGKILL);
        let events = group.events();
        assert!(events.contains("\noom_kill 1\n"), "not the kernel killed it: {events}");
        if !asleep {
            next.tell("lock l");
        }
        next.done();
        assert_eq!(next.ask("recovered l"), who);
        next.ask("consistent l");
    }
}
