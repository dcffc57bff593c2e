//! Searches every order of the steps of two cores and a supervisor, with a reset at each step: no
//! living owner is robbed, each death inside is recovered exactly once, and every core comes to its
//! end.
//!
//! A step is one access to shared memory. What a step makes of the owner word, and what the roll
//! proves, is the product's own code; the order of the steps is written a second time here, with
//! the names of the functions that it follows. Each flaw below breaks one step, and the search has
//! to find it.
//!
//! Every core sees every step at once: the fences are for `loom/boots.rs`.

#![cfg(not(miri))] // hundreds of thousands of worlds, and no unsafe code

mod common;

use std::collections::HashMap;

use shmlock_core::layout::roll_len;
use shmlock_core::roll::Slot;
use shmlock_core::{Token, Word};

use common::{RawMemory, token};

/// A broken step, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// A core uses its token before it has counted its boot.
    UseBeforeCount,
    /// A core does not count its boots: plain tokens. The waiter takes the state of the core, as it
    /// was at one moment, for the proof.
    PlainTokens,
    /// The supervisor counts up in its word, and the sum counts.
    SumOfCounters,
    /// The supervisor reads the number of the boot after it has looked at the core.
    ReadsAfterLook,
    /// The supervisor does not look at the core.
    NoLook,
}

/// The next step of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    /// Held in reset.
    Down,
    // `begin_boot`
    Count,
    // `recover_former_boot`
    Look,
    Free,
    // `acquire_contended`
    Acquire,
    SetWaiters,
    Probe,
    // `is_over`
    ReadBoots,
    ReadRetired,
    // `take_over`
    TakeOver,
    // The critical section, and `release`
    Inside,
    Release,
    /// At its end.
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Core {
    at: At,
    /// The number of its present boot; its token is of that.
    boot: u32,
    /// The owner that it probes, or whose word it frees; 0 = none.
    owner: u32,
    /// The value of *boots* that it has read in the slot of that owner.
    boots: u32,
    has_waited: bool,
    resets: u8,
    visits: u8,
}

/// The next step of the supervisor of the first core, and the number that it has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Supervisor {
    ReadBoots,
    Look(u32),
    Store(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct World {
    word: u32,
    boots: [u32; 2],
    retired: [u32; 2],
    cores: [Core; 2],
    /// The core that acquired the lock, and its boot; `None` once the lock is free.
    holder: Option<(usize, u32)>,
    supervisor: Supervisor,
    deaths: u8,
    recoveries: u8,
}

/// The boots before the search begins: the third one of it has epoch 0, and each epoch is one that
/// the slot has had before.
const BEFORE: u32 = 2045;

struct Search {
    flaw: Flaw,
    /// A core that is down is started again at any later moment; else never.
    comes_back: bool,
    roll: RawMemory,
}

/// A world, or the breach on the way to it.
type Found = Result<World, &'static str>;

/// The step after this one, or a breach.
type Next = Result<At, &'static str>;

impl World {
    fn begin(resets: [u8; 2], visits: u8) -> Self {
        let core = |resets| Core {
            at: At::Count,
            boot: BEFORE,
            owner: 0,
            boots: 0,
            has_waited: false,
            resets,
            visits,
        };
        Self {
            word: 0,
            boots: [BEFORE; 2],
            retired: [0; 2],
            cores: resets.map(core),
            holder: None,
            supervisor: Supervisor::ReadBoots,
            deaths: 0,
            recoveries: 0,
        }
    }

    fn word(&self) -> Word {
        Word::from_bits(self.word)
    }

    /// Returns `true` if the boot that holds the lock is over.
    fn names_the_dead(&self) -> bool {
        self.holder.is_some_and(|(index, boot)| {
            let core = self.cores[index];
            core.boot != boot || matches!(core.at, At::Down | At::Count)
        })
    }

    /// Recovers from the owner of the word, for a new one or for none.
    fn recover(&mut self, word: Word, holder: Option<(usize, u32)>) -> Result<(), &'static str> {
        if !self.names_the_dead() {
            return Err("a living owner was robbed");
        }
        (self.word, self.holder) = (word.bits(), holder);
        self.recoveries += 1;
        Ok(())
    }

    /// Checks what holds in every world.
    fn checked(self, search: &Search) -> Found {
        if self.word().owner() != self.holder.map(|(index, boot)| search.token_of(index, boot)) {
            return Err("the word does not name the holder");
        }
        for (index, core) in self.cores.iter().enumerate() {
            let inside = matches!(core.at, At::Inside | At::Release);
            if inside && self.holder != Some((index, core.boot)) {
                return Err("a core is inside that does not hold the lock");
            }
        }
        let unrecovered = u8::from(self.names_the_dead());
        if self.deaths != self.recoveries + unrecovered {
            return Err("a death was not recovered exactly once");
        }
        if self.recoveries > 0 && !self.word().owner_died() {
            return Err("a death was not told");
        }
        Ok(self)
    }
}

/// Returns the core that has this token.
fn index_of(owner: Token) -> usize {
    let (slot, _) = Slot::of_token(owner).expect("every token here is of a slot");
    usize::from(slot.get()) - 1
}

impl Search {
    fn token_of(&self, index: usize, boot: u32) -> Token {
        let slot = u32::try_from(index).expect("two cores") + 1;
        token(slot << 10 | if self.flaw == Flaw::PlainTokens { 0 } else { boot % 1024 })
    }

    /// Returns whether the roll proves, by the product's own code, that this owner is dead.
    fn is_over(&self, owner: Token, boots: u32, retired: u32) -> bool {
        let at = 8 + 8 * (index_of(owner) + 1);
        let (boots, retired) = match self.flaw {
            Flaw::SumOfCounters => (boots.wrapping_add(retired), 0),
            _ => (boots, retired),
        };
        self.roll.set(at, boots);
        self.roll.set(at + 4, retired);
        self.roll.roll_at(0, roll_len(2)).expect("a roll").is_over(owner)
    }

    /// Returns every world that one step makes of this one.
    fn next(&self, world: World) -> Vec<Found> {
        let mut next = Vec::new();
        for index in 0..2 {
            next.extend(self.step(world, index));
            next.extend(Self::reset(world, index));
        }
        next.extend(self.supervise(world));
        next.into_iter().map(|world| world?.checked(self)).collect()
    }

    /// Resets a core at its present step.
    fn reset(mut world: World, index: usize) -> Option<Found> {
        let core = &mut world.cores[index];
        if core.resets == 0 || matches!(core.at, At::Down | At::Done) {
            return None;
        }
        let held = core.at != At::Count && world.holder == Some((index, core.boot));
        *core = Core {
            at: At::Down,
            owner: 0,
            boots: 0,
            has_waited: false,
            resets: core.resets - 1,
            ..*core
        };
        world.deaths += u8::from(held);
        Some(Ok(world))
    }

    /// Executes the next step of a core, if it has one.
    fn step(&self, mut world: World, index: usize) -> Option<Found> {
        let mut core = world.cores[index];
        if core.at == At::Done || (core.at == At::Down && index == 0 && !self.comes_back) {
            return None;
        }
        let stepped = match core.at {
            At::Down | At::Count | At::Look | At::Free => self.begin(&mut world, &mut core, index),
            At::Probe | At::ReadBoots | At::ReadRetired => Ok(self.judge(&world, &mut core)),
            _ => self.contend(&mut world, &mut core, index),
        };
        Some(stepped.map(|at| {
            core.at = at;
            if !matches!(at, At::Free | At::ReadBoots | At::ReadRetired | At::TakeOver) {
                core.owner = 0;
            }
            world.cores[index] = core;
            world
        }))
    }

    /// Begins a boot: `begin_boot`, `recover_former_boot`.
    fn begin(&self, world: &mut World, core: &mut Core, index: usize) -> Next {
        let seen = world.word();
        Ok(match core.at {
            At::Count => {
                core.boot += 1;
                if self.flaw != Flaw::UseBeforeCount {
                    world.boots[index] = core.boot;
                }
                At::Look
            }
            At::Look => match seen.owner() {
                Some(owner) if index_of(owner) == index => {
                    core.owner = owner.get();
                    At::Free
                }
                _ => At::Acquire,
            },
            At::Free => {
                if seen.is_owned_by(token(core.owner)) {
                    world.recover(seen.abandoned(), None)?;
                }
                At::Acquire
            }
            _ => At::Count,
        })
    }

    /// Acquires and releases: `acquire_contended`, `take_over`, `release`.
    fn contend(&self, world: &mut World, core: &mut Core, index: usize) -> Next {
        let (seen, me) = (world.word(), self.token_of(index, core.boot));
        Ok(match core.at {
            At::Acquire if seen.is_free() => {
                let acquired = seen.acquired_by(me);
                let acquired = if core.has_waited { acquired.with_waiters() } else { acquired };
                (world.word, world.holder) = (acquired.bits(), Some((index, core.boot)));
                At::Inside
            }
            At::Acquire => At::SetWaiters,
            At::SetWaiters if !seen.is_free() => {
                world.word = seen.with_waiters().bits();
                core.has_waited = true;
                At::Probe
            }
            At::TakeOver if seen.is_owned_by(token(core.owner)) => {
                world.recover(seen.recovered_by(me), Some((index, core.boot)))?;
                At::Inside
            }
            At::Inside => At::Release,
            At::Release => {
                (world.word, world.holder) = (seen.released().bits(), None);
                core.visits -= 1;
                core.has_waited = false;
                if self.flaw == Flaw::UseBeforeCount {
                    world.boots[index] = core.boot;
                }
                if core.visits == 0 { At::Done } else { At::Acquire }
            }
            _ => At::Acquire,
        })
    }

    /// Probes the owner: `acquire_contended`, `is_over`.
    fn judge(&self, world: &World, core: &mut Core) -> At {
        if core.at == At::Probe {
            core.owner = world.word().owner().map_or(0, Token::get);
            return if core.owner == 0 { At::Acquire } else { At::ReadBoots };
        }
        let (owner, index) = (token(core.owner), index_of(token(core.owner)));
        if self.flaw == Flaw::PlainTokens {
            let was_down = world.cores[index].at == At::Down;
            return if was_down { At::TakeOver } else { At::Acquire };
        }
        if core.at == At::ReadBoots {
            core.boots = world.boots[index];
            return At::ReadRetired;
        }
        let boots = core::mem::take(&mut core.boots);
        if self.is_over(owner, boots, world.retired[index]) { At::TakeOver } else { At::Acquire }
    }

    /// Executes the next step of the supervisor, if it can go on: `last_boot`, a look at the core,
    /// `retire`.
    fn supervise(&self, mut world: World) -> Option<Found> {
        let is_down = world.cores[0].at == At::Down;
        world.supervisor = match world.supervisor {
            Supervisor::ReadBoots => Supervisor::Look(world.boots[0]),
            Supervisor::Look(_) if !is_down && self.flaw != Flaw::NoLook => return None,
            Supervisor::Look(boot) => Supervisor::Store(boot),
            Supervisor::Store(boot) => {
                world.retired[0] = match self.flaw {
                    Flaw::SumOfCounters if world.retired[0] >= 2 => return None,
                    Flaw::SumOfCounters => world.retired[0] + 1,
                    Flaw::ReadsAfterLook => world.boots[0],
                    _ => boot,
                };
                Supervisor::ReadBoots
            }
        };
        Some(Ok(world))
    }

    /// Visits every world.
    ///
    /// # Errors
    /// The first breach that is found.
    fn run(&self, begin: World) -> Result<usize, &'static str> {
        let mut known = HashMap::from([(begin, 0_usize)]);
        let (mut worlds, mut from) = (vec![begin], vec![Vec::new()]);
        let mut visited = 0;
        while visited < worlds.len() {
            for found in self.next(worlds[visited]) {
                let found = found?;
                let number = *known.entry(found).or_insert_with(|| {
                    worlds.push(found);
                    from.push(Vec::new());
                    worlds.len() - 1
                });
                from[number].push(visited);
            }
            visited += 1;
        }
        // Backwards from every world in which all cores are at their end, or down for good.
        let at_end = |world: &World| {
            let ends = |index: usize| match world.cores[index].at {
                At::Done => true,
                At::Down => !self.comes_back && index == 0,
                _ => false,
            };
            ends(0) && ends(1)
        };
        let mut reaches_the_end: Vec<bool> = worlds.iter().map(at_end).collect();
        let mut open: Vec<usize> = (0..visited).filter(|&number| reaches_the_end[number]).collect();
        while let Some(number) = open.pop() {
            for &before in &from[number] {
                if !core::mem::replace(&mut reaches_the_end[before], true) {
                    open.push(before);
                }
            }
        }
        if reaches_the_end.contains(&false) { Err("a core waits for ever") } else { Ok(visited) }
    }
}

fn search(
    flaw: Flaw,
    comes_back: bool,
    resets: [u8; 2],
    visits: u8,
) -> Result<usize, &'static str> {
    let search = Search { flaw, comes_back, roll: RawMemory::zeroed() };
    search.run(World::begin(resets, visits))
}

#[test]
fn no_order_of_two_cores_that_are_reset_robs_a_living_owner_or_recovers_twice() {
    for (resets, visits) in [([2, 1], 1), ([1, 1], 2)] {
        let worlds = search(Flaw::None, true, resets, visits).expect("no breach");
        assert!(worlds > 10_000, "only {worlds} worlds were found");
    }
}

#[test]
fn a_core_that_never_comes_back_keeps_no_waiter() {
    let worlds = search(Flaw::None, false, [1, 1], 1).expect("no breach");
    assert!(worlds > 1_000, "only {worlds} worlds were found");
}

#[test]
fn the_search_finds_each_flaw() {
    for flaw in [
        Flaw::UseBeforeCount,
        Flaw::PlainTokens,
        Flaw::SumOfCounters,
        Flaw::ReadsAfterLook,
        Flaw::NoLook,
    ] {
        let breach = search(flaw, true, [1, 1], 1);
        assert_eq!(breach, Err("a living owner was robbed"), "{flaw:?}");
    }
}
