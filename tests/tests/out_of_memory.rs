//! Checks recovery from an owner that the kernel kills because memory has run out.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use shmlock_tests::{Actor, Fixture, actor, skipped};

/// More than an actor needs, and so little that it runs out soon.
const LIMIT: &str = "32M";

/// A control group with little memory, cgroups(7) version 2. Dropping it removes it, so it must be
/// empty then.
struct Narrow(PathBuf);

impl Narrow {
    /// Creates the group. This needs privilege, and the memory controller of version 2.
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

/// Writes to an existing file. Where version 1 is mounted, the directory takes any new file, and
/// none has an effect.
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
            Err(error) => return skipped(&format!("no memory control group can be made: {error}")),
        };
        let (mut owner, mut next) = (actor!("{name} desc=greedy"), actor!("{name}"));
        group.confine(&owner);
        owner.ask("lock l");
        let record = owner.ask("holder l");
        if asleep {
            next.tell("lock l");
            owner.sees_a_waiter();
        }
        owner.tell("die memory");
        owner.ends_by(libc::SIGKILL);
        let events = group.events();
        assert!(events.contains("\noom_kill 1\n"), "the kernel did not kill it: {events}");
        if !asleep {
            next.tell("lock l");
        }
        next.done();
        assert_eq!(next.ask("recovered l"), record);
        next.ask("consistent l");
    }
}
