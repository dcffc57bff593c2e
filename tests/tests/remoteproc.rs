//! Tests which deaths remoteproc's files prove: every state, and files that change, vanish or are
//! none, in a tree that stands for `/sys/class/remoteproc`.

use std::cell::Cell;
use std::fs;
use std::num::NonZeroU16;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;

use shmlock::Errno;
use shmlock::remote::{
    HeldDown, Remoteproc, RemoteprocError, RemoteprocLiveness, RemoteprocReading,
    RemoteprocRecovery, RemoteprocState,
};
use shmlock_core::contend::Liveness;
use shmlock_core::fence::FullSystem;
use shmlock_core::roll::{BootLiveness, Roll, RollMemory, Slot};
use shmlock_core::wait::Spin;
use shmlock_core::{
    EpochRegion, RegionLock, RegionMemory, TicketLock, TicketMemory, TicketRegion, Token,
};
use shmlock_tests::hostile::{Folder, as_root, be_user};
use shmlock_tests::{Fixture, alone};

/// A user that owns nothing.
const NOBODY: u32 = 65_534;

/// A tree with one processor.
struct Tree {
    folder: Folder,
    // Last: it checks that the folder has gone.
    _fixture: Fixture,
}

impl Tree {
    fn new(state: &str, recovery: &str) -> Self {
        let fixture = Fixture::new();
        let tree = Self { folder: Folder::new(&fixture), _fixture: fixture };
        fs::create_dir(tree.directory()).expect("a folder");
        tree.write("state", state);
        tree.write("recovery", recovery);
        tree
    }

    fn directory(&self) -> PathBuf {
        self.folder.path().join("remoteproc0")
    }

    fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        fs::write(self.directory().join(file), content).expect("our own tree");
    }

    fn remove(&self, file: &str) {
        fs::remove_file(self.directory().join(file)).expect("our own tree");
    }

    fn processor(&self) -> Remoteproc {
        Remoteproc::in_class(self.folder.path(), "remoteproc0")
    }
}

fn reading(state: RemoteprocState, recovery: RemoteprocRecovery) -> RemoteprocReading {
    RemoteprocReading { state, recovery }
}

/// Returns what came of an action, which must not have run unless it says so.
fn held_down(processor: &Remoteproc) -> Result<HeldDown<()>, RemoteprocError> {
    let ran = Cell::new(false);
    let result = processor.while_held_down(|| ran.set(true));
    let says = matches!(result, Ok(HeldDown::Throughout(()) | HeldDown::InDoubt { .. }));
    assert_eq!(ran.get(), says, "{result:?}");
    result
}

#[test]
fn a_processor_is_held_down_if_it_is_offline_or_crashed_and_is_not_recovered() {
    let tree = Tree::new("", "");
    let proves = |state: &str, recovery: &str| {
        tree.write("state", format!("{state}\n"));
        tree.write("recovery", format!("{recovery}\n"));
        let [both, strict] = [tree.processor(), tree.processor().only_when_offline()]
            .map(|processor| held_down(&processor) == Ok(HeldDown::Throughout(())));
        (both, strict)
    };
    assert_eq!(proves("offline", "disabled"), (true, true));
    assert_eq!(proves("crashed", "disabled"), (true, false));
    for state in ["offline", "crashed"] {
        for recovery in ["enabled", "recover", "Disabled", "disabled?"] {
            assert_eq!(proves(state, recovery), (false, false), "{state} {recovery}");
        }
    }
    for state in [
        "suspended",
        "running",
        "deleted",
        "attached",
        "detached",
        "invalid",
        "Offline",
        "offlined",
        "paused",
    ] {
        assert_eq!(proves(state, "disabled"), (false, false), "{state}");
    }
}

#[test]
fn each_word_of_the_kernel_has_a_state_and_others_are_kept() {
    use RemoteprocRecovery::{Disabled, Enabled};

    let tree = Tree::new("", "");
    let of = |state: &str, recovery: &str| {
        tree.write("state", state);
        tree.write("recovery", recovery);
        tree.processor().read()
    };
    for (word, state) in [
        ("offline", RemoteprocState::Offline),
        ("suspended", RemoteprocState::Suspended),
        ("running", RemoteprocState::Running),
        ("crashed", RemoteprocState::Crashed),
        ("deleted", RemoteprocState::Deleted),
        ("attached", RemoteprocState::Attached),
        ("detached", RemoteprocState::Detached),
        ("invalid", RemoteprocState::Other("invalid".into())),
        ("paused", RemoteprocState::Other("paused".into())),
    ] {
        let with_line_end = format!("{word}\n");
        assert_eq!(of(&with_line_end, "enabled\n"), Ok(reading(state.clone(), Enabled)));
        assert_eq!(of(word, "disabled"), Ok(reading(state, Disabled)), "without a line end");
    }
    let later = RemoteprocRecovery::Other("delayed".into());
    assert_eq!(of("running", "delayed\n"), Ok(reading(RemoteprocState::Running, later)));
}

#[test]
fn a_file_that_does_not_hold_one_word_proves_nothing() {
    let tree = Tree::new("offline\n", "disabled\n");
    let long = "x".repeat(10_000);
    let garbage: [&[u8]; 11] = [
        b"",
        b"\n",
        b" offline\n",
        b"offline \n",
        b"offline\n\n",
        b"offline\nrunning\n",
        b"off\0line\n",
        b"\xff\xfe\n",
        "offlin\u{e9}\n".as_bytes(),
        b"offline\r\n",
        long.as_bytes(),
    ];
    for file in ["state", "recovery"] {
        for content in garbage {
            tree.write(file, content);
            let path = tree.directory().join(file);
            let expected = Err(RemoteprocError::NoWord { path });
            assert_eq!(held_down(&tree.processor()), expected, "{content:?}");
        }
        tree.write(file, if file == "state" { "offline\n" } else { "disabled\n" });
        assert_eq!(held_down(&tree.processor()), Ok(HeldDown::Throughout(())));
    }
}

#[test]
fn a_file_that_is_absent_or_a_directory_is_named_with_its_errno() {
    for file in ["state", "recovery"] {
        let tree = Tree::new("offline\n", "disabled\n");
        let path = tree.directory().join(file);
        let failed = |errno| Err(RemoteprocError::System { path: path.clone(), errno });
        tree.remove(file);
        assert_eq!(held_down(&tree.processor()), failed(Errno::NOENT));
        fs::create_dir(&path).expect("our own tree");
        assert_eq!(held_down(&tree.processor()), failed(Errno::ISDIR));
        fs::remove_dir(&path).expect("our own tree");
        let text = held_down(&tree.processor()).unwrap_err().to_string();
        assert!(text.contains(file) && text.contains("driver"), "{text}");
    }
}

#[test]
fn a_file_that_may_not_be_read_proves_nothing() {
    alone!(|| {
        let tree = Tree::new("offline\n", "disabled\n");
        if !as_root("files of another user") {
            return;
        }
        let state = tree.directory().join("state");
        for directory in [tree.folder.path(), &tree.directory()] {
            chown(directory, Some(NOBODY), Some(NOBODY)).expect("root may");
        }
        fs::set_permissions(&state, fs::Permissions::from_mode(0o600)).expect("our own");
        be_user(NOBODY, NOBODY);
        let denied = RemoteprocError::System { path: state.clone(), errno: Errno::ACCESS };
        assert_eq!(held_down(&tree.processor()), Err(denied));
    });
}

#[test]
fn a_change_between_the_readings_is_noticed() {
    use RemoteprocRecovery::{Disabled, Enabled};
    use RemoteprocState::{Crashed, Offline, Running};

    let changed = |change: &dyn Fn(&Tree)| {
        let tree = Tree::new("crashed\n", "disabled\n");
        match tree.processor().while_held_down(|| change(&tree)) {
            Ok(HeldDown::InDoubt { result: (), after }) => after,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(changed(&|tree| tree.write("state", "running\n")), Ok(reading(Running, Disabled)));
    assert_eq!(changed(&|tree| tree.write("recovery", "enabled\n")), Ok(reading(Crashed, Enabled)));
    // Held down in both readings, and yet: it is on its way from the one to the other.
    assert_eq!(changed(&|tree| tree.write("state", "offline\n")), Ok(reading(Offline, Disabled)));
    let vanished = changed(&|tree| tree.remove("state"));
    assert!(
        matches!(&vanished, Err(RemoteprocError::System { errno: Errno::NOENT, .. })),
        "{vanished:?}"
    );
    let garbage = changed(&|tree| tree.write("recovery", "\0"));
    assert!(matches!(&garbage, Err(RemoteprocError::NoWord { .. })), "{garbage:?}");
}

#[test]
fn a_processor_that_starts_before_the_first_reading_is_seen_to_run() {
    let tree = Tree::new("offline\n", "disabled\n");
    let processor = tree.processor();
    tree.write("state", "running\n");
    let now = reading(RemoteprocState::Running, RemoteprocRecovery::Disabled);
    assert_eq!(held_down(&processor), Ok(HeldDown::No(now)));
}

/// The token of this slot in this epoch.
fn token(slot: u16, epoch: u16) -> NonZeroU16 {
    NonZeroU16::new(slot << 10 | epoch).expect("a slot from 1 on")
}

/// Returns the liveness's answer for an owner, and whether the action has run.
fn is_dead(liveness: &mut RemoteprocLiveness, owner: NonZeroU16) -> bool {
    let ran = Cell::new(false);
    let dead = liveness.while_dead(Token::from_static(owner), || ran.set(true)).is_some();
    assert_eq!(dead, ran.get());
    dead
}

#[test]
fn a_death_is_proven_for_all_epochs_of_a_slot_and_for_no_other_slot() {
    let tree = Tree::new("offline\n", "disabled\n");
    let mut liveness = RemoteprocLiveness::new().with_slot(2, tree.processor());
    for epoch in [0, 1, 1023] {
        assert!(is_dead(&mut liveness, token(2, epoch)), "{epoch}");
        assert!(
            !is_dead(&mut liveness, token(1, epoch)) && !is_dead(&mut liveness, token(3, epoch))
        );
    }
    let living = Token::try_from(2 << 10 | 1 << 16).expect("a living token");
    assert!(liveness.while_dead(living, || ()).is_none());
    for slot in [0, 64, 66, u8::MAX] {
        let mut liveness = RemoteprocLiveness::new().with_slot(slot, tree.processor());
        for owner in [1, 2, 1023, 1024, 2048, 65_535] {
            let owner = NonZeroU16::new(owner).expect("not 0");
            assert!(!is_dead(&mut liveness, owner), "{slot} {owner}");
        }
        // Slot 66, if it were one.
        assert!(liveness.while_dead(living, || ()).is_none(), "{slot}");
    }
}

#[test]
fn a_plain_token_is_that_of_one_processor() {
    let first = Tree::new("running\n", "disabled\n");
    let mut liveness = RemoteprocLiveness::new().with_plain_token(token(1, 1), first.processor());
    assert!(!is_dead(&mut liveness, token(1, 1)));
    first.write("state", "crashed\n");
    assert!(is_dead(&mut liveness, token(1, 1)) && !is_dead(&mut liveness, token(1, 2)));
    assert!(!is_dead(&mut RemoteprocLiveness::new(), token(1, 1)));
}

#[test]
fn a_start_during_a_take_over_is_a_doubt_for_plain_tokens_only() {
    let tree = Tree::new("crashed\n", "disabled\n");
    let start = || tree.write("state", "running\n");
    let owner = Token::from_static(token(2, 7));

    let mut plain = RemoteprocLiveness::new().with_plain_token(token(2, 7), tree.processor());
    assert_eq!(plain.while_dead(owner, start), Some(()));
    let doubt = plain.doubt().expect("it has started");
    let now = reading(RemoteprocState::Running, RemoteprocRecovery::Disabled);
    assert_eq!((doubt.owner, doubt.after), (owner, Ok(now)));
    assert_eq!(plain.doubt(), None, "asked once");

    tree.write("state", "crashed\n");
    assert_eq!(plain.while_dead(owner, || ()), Some(()));
    assert_eq!(plain.doubt(), None, "held down throughout");

    let mut epochs = RemoteprocLiveness::new().with_slot(2, tree.processor());
    assert_eq!(epochs.while_dead(owner, start), Some(()));
    assert_eq!(epochs.doubt(), None, "the started processor has another token");
}

#[test]
fn an_error_of_a_reading_is_kept_and_the_owner_lives() {
    let tree = Tree::new("crashed\n", "disabled\n");
    let mut liveness = RemoteprocLiveness::new().with_slot(2, tree.processor());
    tree.remove("recovery");
    assert!(!is_dead(&mut liveness, token(2, 7)));
    let (path, errno) = (tree.directory().join("recovery"), Errno::NOENT);
    assert_eq!(liveness.failure(), Some(RemoteprocError::System { path, errno }));
    assert_eq!(liveness.failure(), None, "asked once");
}

#[test]
fn a_lock_is_recovered_from_a_processor_only_while_it_is_held_down() {
    let tree = Tree::new("running\n", "enabled\n");
    let (memory, words) = (RegionMemory::new(), RollMemory::<2>::new());
    let region = EpochRegion::new(&memory).expect("free");
    let begin = |slot| Roll::new(&words).and_then(|roll| roll.begin_boot(slot)).expect("a slot");
    let dead = RegionLock::for_boot(region, &begin(M4));
    std::mem::forget(dead.try_lock().expect("no misuse").expect("free"));
    std::mem::forget(dead); // its drop would release nothing of a guard, and it has no other hold

    let mut liveness = RemoteprocLiveness::new().with_slot(2, tree.processor());
    let supervisor = RegionLock::for_boot(region, &begin(SUPERVISOR));
    let acquire = |liveness: &mut RemoteprocLiveness| {
        let acquired = supervisor.lock_or_recover(&mut Spin::attempts(100), liveness);
        acquired.map(|guard| guard.owner_died())
    };
    for (state, recovery) in
        [("running", "enabled"), ("crashed", "enabled"), ("offline", "enabled")]
    {
        tree.write("state", state);
        tree.write("recovery", recovery);
        let refused = acquire(&mut liveness);
        assert!(matches!(refused, Err(shmlock_core::Error::Busy { .. })), "{refused:?}");
    }
    tree.write("recovery", "disabled\n");
    assert_eq!(acquire(&mut liveness), Ok(true));
}

const SUPERVISOR: Slot = Slot::new(1).unwrap();
const M4: Slot = Slot::new(2).unwrap();

#[test]
fn a_supervisor_retires_the_boot_of_a_processor_that_is_held_down_and_none_that_begins_meanwhile() {
    let tree = Tree::new("running\n", "disabled\n");
    let (memory, words) = (RegionMemory::new(), RollMemory::<2>::new());
    let roll = Roll::new(&words).expect("untouched").with_fence(FullSystem);
    let region = || EpochRegion::new(&memory).expect("free");
    let begin = || {
        let boot = roll.begin_boot(M4).expect("a slot");
        RegionLock::for_boot_with_fence(region(), &boot, FullSystem)
    };
    let die_inside = |lock: &RegionLock<'_, FullSystem>| {
        std::mem::forget(lock.try_lock().expect("no misuse").expect("free"));
    };
    let own = roll.begin_boot(SUPERVISOR).expect("a slot");
    let waiter = RegionLock::for_boot_with_fence(region(), &own, FullSystem);
    let recover = || {
        let mut liveness = BootLiveness::new(roll);
        let acquired = waiter.lock_or_recover(&mut Spin::attempts(100), &mut liveness);
        acquired.map(|guard| guard.owner_died())
    };
    let last = || roll.last_boot(M4).expect("a slot").expect("it has begun");
    let is_busy =
        |acquired: &Result<_, _>| matches!(acquired, Err(shmlock_core::Error::Busy { .. }));

    let first = begin();
    die_inside(&first);
    let boot = last();
    let refused = tree.processor().while_held_down(|| roll.retire(boot));
    assert!(matches!(refused, Ok(HeldDown::No(_))), "{refused:?}");
    let acquired = recover();
    assert!(is_busy(&acquired), "it runs: {acquired:?}");

    // It starts between the supervisor's first reading and its store.
    tree.write("state", "crashed\n");
    let boot = last();
    let second = Cell::new(None);
    let retired = tree.processor().while_held_down(|| {
        let back = begin();
        die_inside(&back);
        second.set(Some(back));
        tree.write("state", "running\n");
        roll.retire(boot)
    });
    assert!(matches!(retired, Ok(HeldDown::InDoubt { result: Ok(()), .. })), "{retired:?}");
    let acquired = recover();
    assert!(is_busy(&acquired), "the boot that began meanwhile lives: {acquired:?}");

    tree.write("state", "offline\n");
    let boot = last();
    let retired = tree.processor().while_held_down(|| roll.retire(boot));
    assert_eq!(retired, Ok(HeldDown::Throughout(Ok(()))));
    assert_eq!(recover(), Ok(true));
    assert_eq!(region().recoveries(), 2, "by the second boot, and by the roll");
}

/// Starts the processor while the other proof says that it is dead.
struct Started<'s, S>(&'s mut RemoteprocLiveness, S);

impl<S: Fn()> Liveness for Started<'_, S> {
    fn while_dead<R>(&mut self, owner: Token, act: impl FnOnce() -> R) -> Option<R> {
        let start = &self.1;
        self.0.while_dead(owner, || {
            start();
            act()
        })
    }
}

#[test]
fn a_supervisor_buries_a_party_that_is_held_down_and_no_life_that_begins_meanwhile() {
    const LINUX: NonZeroU16 = NonZeroU16::new(1).unwrap();
    const FIRMWARE: NonZeroU16 = NonZeroU16::new(2).unwrap();

    let tree = Tree::new("running\n", "disabled\n");
    let memory = TicketMemory::<2>::new();
    let region = TicketRegion::new(&memory).expect("untouched");
    let begin = || {
        let lock = TicketLock::with_fence(region, FIRMWARE, FullSystem).expect("a party");
        lock.recover().expect("at rest");
        std::mem::forget(lock.try_lock().expect("no misuse").expect("free"));
        lock
    };
    let linux = TicketLock::with_fence(region, LINUX, FullSystem).expect("a party");
    let is_free = || linux.try_lock().expect("no misuse").is_some();
    let mut liveness = RemoteprocLiveness::new().with_party(FIRMWARE, tree.processor());

    let _first = begin();
    assert_eq!(region.bury(FIRMWARE, FullSystem, &mut liveness), Ok(false), "it runs");
    assert_eq!(region.bury(LINUX, FullSystem, &mut liveness), Ok(false), "another party");
    assert!(!is_free());

    // It starts between the supervisor's first reading and its store.
    tree.write("state", "crashed\n");
    let second = Cell::new(None);
    let start = || {
        second.set(Some(begin()));
        tree.write("state", "running\n");
    };
    let mut started = Started(&mut liveness, start);
    assert_eq!(region.bury(FIRMWARE, FullSystem, &mut started), Ok(true), "the first life");
    assert_eq!(liveness.doubt(), None, "nothing of the second life was touched");
    assert!(!is_free(), "the life that began meanwhile is not buried");

    tree.write("state", "offline\n");
    assert_eq!(region.bury(FIRMWARE, FullSystem, &mut liveness), Ok(true));
    let guard = linux.try_lock().expect("no misuse").expect("free");
    assert!(guard.owner_died());
}
