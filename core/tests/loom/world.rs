//! What the actors of a model share, and what an actor does: the steps of the product, put together
//! as the shell does it.

use std::sync::Arc;

use loom::thread::{self, JoinHandle};
use shmlock_core::contend::{Liveness, acquire_contended};
use shmlock_core::fence::InnerShareable;
use shmlock_core::protocol::{self, Acquisition, Attempt, Wake};
use shmlock_core::wait::{Wait, WaitAction, WaitContext};
use shmlock_core::{Fence, Region, RegionMemory, Token, Word};

use crate::kernel::{Kernel, Probe};
use crate::mortal::{Mortal, live};
use crate::section::Section;

pub(crate) struct World {
    memory: RegionMemory,
    pub(crate) kernel: Kernel,
    pub(crate) section: Section,
}

impl World {
    /// A free lock, and so many living processes, with the tokens from 1 on. (Born before the
    /// threads begin, they take no part in the interleavings.) The standard library's `Arc`, since
    /// it is no part of what is explored.
    pub(crate) fn with_processes(processes: u32) -> Arc<Self> {
        let world =
            Self { memory: RegionMemory::new(), kernel: Kernel::new(), section: Section::new() };
        world.region(); // the magic word is no part of it either
        for token in 1..=processes {
            world.try_born(token).expect("nobody has this token");
        }
        Arc::new(world)
    }

    pub(crate) fn region(&self) -> Region<'_> {
        Region::new(&self.memory).expect("ours")
    }

    /// A new process; `None` if somebody has this token, or holds its byte to prove a death.
    pub(crate) fn try_born(&self, token: u32) -> Option<Actor<'_>> {
        let actor = self.actor(token);
        self.kernel.lock_byte(actor.me, actor.me).then_some(actor)
    }

    /// The process with this token; or one that the kernel does not know, if nobody will ask
    /// whether it lives.
    pub(crate) fn actor(&self, token: u32) -> Actor<'_> {
        Actor { world: self, region: self.region(), me: name(token) }
    }
}

/// Runs an actor in a thread of its own.
pub(crate) fn beside<R: 'static>(
    world: &Arc<World>,
    act: impl FnOnce(&World) -> R + 'static,
) -> JoinHandle<R> {
    let world = Arc::clone(world);
    thread::spawn(move || act(&world))
}

pub(crate) fn name(token: u32) -> Token {
    Word::from_bits(token).owner().expect("not zero")
}

/// One process.
pub(crate) struct Actor<'a> {
    world: &'a World,
    pub(crate) region: Region<'a>,
    pub(crate) me: Token,
}

impl Actor<'_> {
    /// Takes the lock, waiting in this way, and begins the section. Gives back whether it was told
    /// of a death; `None` if `wait` gave up.
    pub(crate) fn enter(&self, fence: impl Fence, wait: &mut impl Wait) -> Option<bool> {
        let mut probe = Probe { kernel: &self.world.kernel, process: self.me };
        self.enter_or_recover(fence, wait, &mut probe)
    }

    pub(crate) fn enter_or_recover(
        &self,
        fence: impl Fence,
        wait: &mut impl Wait,
        liveness: &mut impl Liveness,
    ) -> Option<bool> {
        let word = self.region.owner_word();
        let acquired = protocol::try_acquire(word, self.me, Attempt::First, fence)
            .or_else(|_| acquire_contended(word, self.me, fence, liveness, wait));
        match acquired {
            Ok(acquisition) => {
                self.begin(fence, acquisition);
                Some(acquisition.owner_died)
            }
            Err(seen) => {
                if seen.is_free() {
                    self.world.kernel.wake_one();
                }
                None
            }
        }
    }

    /// The beginning of the section of one who has just taken the lock.
    pub(crate) fn begin(&self, fence: impl Fence, acquisition: Acquisition) {
        self.region.count_acquisition(fence);
        if acquisition.recovered_from.is_some() {
            self.region.count_recovery();
        }
        self.world.section.begin(acquisition.owner_died, self.region.fencing_token());
    }

    /// Ends the section and gives the lock back.
    pub(crate) fn leave(&self, fence: impl Fence) {
        self.world.section.end();
        self.wake(protocol::release(self.region.owner_word(), self.me, fence).expect("mine"));
    }

    /// Ends the section and passes the lock on, as the shell does while somebody waits awake;
    /// claims the wake if nobody has come after all.
    pub(crate) fn leave_to_the_awake(&self, fence: impl Fence) {
        self.world.section.end();
        let word = self.region.owner_word();
        if protocol::release_fast(word, self.me, fence).is_err() {
            protocol::release_without_wake(word, self.me, fence).expect("mine");
            self.wake(protocol::claim_wake(word));
        }
    }

    /// Frees what a former life of this token has left.
    pub(crate) fn declare_stale(&self, fence: impl Fence) {
        if let Some(wake) = protocol::declare_stale(self.region.owner_word(), self.me, fence) {
            self.region.count_recovery();
            self.wake(wake);
        }
    }

    fn wake(&self, wake: Wake) {
        if wake == Wake::One {
            self.world.kernel.wake_one();
        }
    }

    /// Takes the lock by sleeping, does its section, gives it back.
    pub(crate) fn visit(&self, fence: impl Fence) {
        self.enter(fence, &mut self.sleep()).expect("sleeps until it has it");
        self.leave(fence);
    }

    /// As [`visit`](Self::visit), asking whether the owner lives before it first sleeps.
    pub(crate) fn visit_asking_first(&self, fence: impl Fence) {
        let mut wait = AskFirst { asked: false, sleep: self.sleep() };
        self.enter(fence, &mut wait).expect("sleeps until it has it");
        self.leave(fence);
    }

    /// As [`visit`](Self::visit), with a step wherever something could be seen of a death, and the
    /// burial if it dies.
    pub(crate) fn visit_or_die(&self, steps: u32) -> bool {
        self.live(steps, |mortal| {
            mortal.step();
            let mut sleep = Sleep { mortal: Some(mortal), ..self.sleep() };
            self.enter(mortal, &mut sleep).expect("sleeps until it has it");
            mortal.step();
            self.world.section.end();
            let wake = protocol::release(self.region.owner_word(), self.me, mortal).expect("mine");
            mortal.step();
            self.wake(wake);
        })
    }

    /// As [`declare_stale`](Self::declare_stale), likewise.
    pub(crate) fn declare_stale_or_die(&self, steps: u32) -> bool {
        self.live(steps, |mortal| {
            mortal.step();
            let wake = protocol::declare_stale(self.region.owner_word(), self.me, mortal);
            mortal.step();
            self.wake(wake.unwrap_or(Wake::Nobody));
        })
    }

    fn live(&self, steps: u32, life: impl FnOnce(Mortal<'_>)) -> bool {
        let lived = live(steps, life);
        if !lived {
            self.die();
        }
        lived
    }

    /// Takes the free lock, and ends within the section.
    pub(crate) fn die_in_the_section(&self) {
        let acquired = protocol::try_acquire(
            self.region.owner_word(),
            self.me,
            Attempt::First,
            InnerShareable,
        );
        self.begin(InnerShareable, acquired.expect("free"));
        self.die();
    }

    /// The process ends, wherever it is.
    pub(crate) fn die(&self) {
        self.world.kernel.bury(self.me);
    }

    /// Sleeps in the kernel for as long as it takes.
    pub(crate) fn sleep(&self) -> Sleep<'_> {
        self.sleep_at_most(u32::MAX)
    }

    /// Gives up after this many sleeps.
    pub(crate) fn sleep_at_most(&self, sleeps: u32) -> Sleep<'_> {
        Sleep { kernel: &self.world.kernel, left: sleeps, mortal: None }
    }
}

/// Waiting as the shell does: mark, sleep in the kernel, look again. It asks for a probe after
/// every sleep, more often than the shell, for a proof of death may come when the word has long
/// moved on.
pub(crate) struct Sleep<'a> {
    kernel: &'a Kernel,
    left: u32,
    mortal: Option<Mortal<'a>>,
}

impl Sleep<'_> {
    fn step(&self) {
        if let Some(mortal) = self.mortal {
            mortal.step();
        }
    }
}

impl Wait for Sleep<'_> {
    fn wait(&mut self, contention: &mut WaitContext<'_>) -> WaitAction {
        if self.left == 0 {
            return WaitAction::GiveUp;
        }
        self.left -= 1;
        self.step();
        let Ok(marked) = contention.mark_waiting() else { return WaitAction::Retry };
        self.step(); // as if killed asleep
        self.kernel.sleep(contention.word(), marked);
        self.step(); // the wake is used up
        WaitAction::Probe
    }
}

/// Asks whether the owner lives before it first sleeps, as the shell does; then sleeps for as long
/// as it takes.
pub(crate) struct AskFirst<'a> {
    asked: bool,
    sleep: Sleep<'a>,
}

impl Wait for AskFirst<'_> {
    fn wait(&mut self, contention: &mut WaitContext<'_>) -> WaitAction {
        if self.asked {
            return self.sleep.wait(contention);
        }
        self.asked = true;
        WaitAction::Probe
    }
}

/// Looks again and again. No system call, which would order memory.
pub(crate) struct Look {
    left: u32,
}

impl Look {
    pub(crate) fn for_ever() -> Self {
        Self { left: u32::MAX }
    }

    /// Gives up after this many looks, the first one not counted.
    pub(crate) fn at_most(looks: u32) -> Self {
        Self { left: looks }
    }
}

impl Wait for Look {
    fn wait(&mut self, _contention: &mut WaitContext<'_>) -> WaitAction {
        if self.left == 0 {
            return WaitAction::GiveUp;
        }
        self.left -= 1;
        thread::yield_now();
        WaitAction::Retry
    }
}
