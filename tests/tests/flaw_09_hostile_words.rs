//! Flaw 9: a peer writes arbitrary bytes into the region. Mutual exclusion is lost then, but no
//! user panics, no call exceeds its timeout, and no byte reaches a terminal.

use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use shmlock::{Builder, Error, LockState, OwnerState, ShmLock};
use shmlock_tests::hostile::{
    Child, Folder, Intruder, Line, Mode, Solo, assert_says, byte_of, fork,
};
use shmlock_tests::{Account, alone, until};

const PEERS: u64 = 3;
const ATTEMPTS: u32 = 3000;
const TIMEOUT: Duration = Duration::from_millis(2);
/// The time by which a call may exceed its timeout, because the machine may be busy.
const SLACK: Duration = Duration::from_secs(5);

/// Marsaglia's xorshift: random enough for garbage, and the same in every run.
struct Garbage(u32);

impl Garbage {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }
}

/// Counts, when dropped, a peer that has finished with the lock for any reason.
struct Finished<'a>(&'a Account);

impl Drop for Finished<'_> {
    fn drop(&mut self) {
        self.0.count.fetch_add(1, Relaxed);
    }
}

/// Acquires, releases and inspects the lock, whatever the region says.
fn use_it(builder: &Builder, line: &Line, account: &Account) {
    let lock = builder.open().expect("the region is intact");
    line.say(lock.try_lock().expect("a lock").map_or(0, |guard| token(guard.lock())).into());
    line.wait();
    let finished = Finished(account);
    for _ in 0..ATTEMPTS {
        let start = Instant::now();
        match lock.try_acquire_for(TIMEOUT) {
            Ok(()) => match lock.release() {
                Ok(()) | Err(Error::Overwritten { .. }) => {}
                Err(error) => panic!("released: {error:?}"),
            },
            Err(error) if error.is_timed_out() => assert_says(&error, &["lock"]),
            Err(error) => panic!("acquired: {error:?}"),
        }
        let _ = (
            lock.holder().expect("ours").map(|holder| holder.to_string()),
            lock.is_locked().expect("ours"),
        );
        let _ = (lock.status().expect("ours").to_string(), lock.recovered(), lock.fencing_token());
        assert!(start.elapsed() < TIMEOUT + SLACK, "{:?}", start.elapsed());
    }
    drop(finished);
    line.wait();
}

fn token(lock: &ShmLock) -> u32 {
    lock.holder().expect("ours").expect("us").token()
}

/// Runs peers that use the lock while `scribble` writes. `scribble` gets the tokens of all peers.
fn among_peers(scribble: impl Fn(&Intruder, &mut Garbage, &[u32])) {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let builder = folder.lock("l").poll_interval(Duration::from_millis(1));
    let account = Account::new();
    let peers: Vec<_> = (0..PEERS).map(|_| fork(|line| use_it(&builder, line, &account))).collect();
    let tokens: Vec<_> =
        peers.iter().map(|peer| u32::try_from(peer.line().hear()).expect("a token")).collect();
    let intruder = Intruder::on(&folder.file("l"));
    let mut garbage = Garbage(2_463_534_242);
    for peer in &peers {
        peer.line().ready();
    }
    until(|| {
        scribble(&intruder, &mut garbage, &tokens);
        account.count.load(Relaxed) == PEERS
    });
    intruder.scribble(0, 0);
    intruder.scribble(8, u32::from_le_bytes(*b"SHL\x01"));
    let newcomer = builder.open().expect("the region is intact again");
    newcomer.lock().expect("free").declare_consistent().expect("held");
    for peer in &peers {
        peer.line().ready();
    }
    peers.into_iter().for_each(Child::ends_well);
    assert!(newcomer.try_lock().expect("a lock").is_some());
}

#[test]
fn garbage_in_the_owner_word_makes_no_user_panic_or_hang() {
    alone!(|| among_peers(|intruder, garbage, tokens| {
        let random = garbage.next();
        let flags = random & 0xc000_0000;
        let word = match random % 5 {
            0 => random,
            1 => flags,
            2 => 1 + random % 65_535,
            3 => 0x3fff_ffff,
            index => tokens[index as usize % tokens.len()],
        };
        intruder.scribble(0, word | flags);
    }));
}

#[test]
fn garbage_in_the_whole_region_makes_no_user_panic_or_hang() {
    alone!(|| among_peers(|intruder, garbage, _| {
        let offset = u64::from(garbage.next() % 32) * 4;
        intruder.scribble(offset, garbage.next());
    }));
}

/// Makes a living owner hold the lock, with this owner record.
fn held_with_record(path: &Path, description: &[u8]) -> Intruder {
    const TOKEN: u32 = 0x0012_3456;
    let owner = Intruder::on(path);
    assert!(owner.lock(Mode::Write, &(byte_of(TOKEN)..=byte_of(TOKEN))), "a handle has the token");
    owner.scribble(52, 2);
    owner.scribble(56, TOKEN);
    for (offset, word) in (64..).step_by(4).zip(description.chunks(4)) {
        let mut bytes = [0; 4];
        bytes[..word.len()].copy_from_slice(word);
        owner.scribble(offset, u32::from_le_bytes(bytes));
    }
    owner.scribble(0, TOKEN);
    owner
}

#[test]
fn a_hostile_record_does_not_reach_the_terminal() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let path = folder.put("l", &[0; 192]);
    let lock = folder.lock("l").open().expect("a lock");
    for (record, shown) in [
        (b"\x0cline\nbreak\x1b[".as_slice(), "line\\nbreak\\u{1b}["),
        (b"\x04\"; ~", "\\\"; ~"),
        (b"\x03\xe2\x80\xae", "\\u{202e}"),
        (b"\x02\xff\xfe", "uuid"),
        (b"\xfflonger than the field", "uuid"),
    ] {
        let _owner = held_with_record(&path, record);
        let error = lock.try_acquire_for(Duration::ZERO).expect_err("it is held");
        assert!(matches!(error, Error::TimedOut { waited: Duration::ZERO, .. }), "{error:?}");
        assert_says(&error, &[shown, "held by pid"]);
    }
    assert!(lock.try_lock().expect("a lock").is_some(), "the owner is gone");
}

#[test]
fn a_garbage_word_without_a_living_owner_is_recovered_at_once() {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let lock = folder.lock("l").open().expect("a lock");
    let intruder = Intruder::on(&folder.file("l"));
    let mut garbage = Garbage(1);
    for _ in 0..1000 {
        let word = garbage.next();
        let is_static = (1..=65_535).contains(&(word & 0x3fff_ffff));
        intruder.scribble(0, word);
        let guard = lock.try_lock().expect("a lock");
        assert_eq!(guard.is_none(), is_static, "{word:#x}");
        if let Some(guard) = guard {
            guard.declare_consistent().expect("held");
        }
    }
    intruder.scribble(0, 0);
}

#[test]
fn the_token_of_an_idle_handle_shuts_others_out_until_it_acquires_or_closes() {
    for acquires in [true, false] {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let (idle, lock) =
            (folder.lock("l").open().expect("a lock"), folder.lock("l").open().expect("a lock"));
        let named = token(idle.try_lock().expect("a lock").expect("free").lock());
        Intruder::on(&folder.file("l")).scribble(0, named);
        assert!(lock.try_lock().expect("a lock").is_none());
        assert_eq!(lock.status().expect("ours").state, LockState::Held(OwnerState::Alive));
        if acquires {
            let guard =
                idle.try_lock().expect("a lock").expect("no other handle can have its token");
            assert!(guard.recovered().is_some(), "the recovery was not reported");
        } else {
            drop(idle);
        }
        let guard = lock.try_lock().expect("a lock").expect("free, or a dead owner's");
        assert!(guard.recovered().is_some());
        guard.declare_consistent().expect("held");
    }
}
