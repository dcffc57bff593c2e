//! Defines the world of a model, and its actors: they combine the steps of the product as the shell
//! does.

use std::sync::Arc;

use loom::thread::{self, JoinHandle};
use shmlock_core::contend::{Liveness, acquire_contended};
use shmlock_core::fence::InnerShareable;
use shmlock_core::protocol::{self, Acquisition, Attempt, Wake};
use shmlock_core::wait::{Wait, WaitAction, WaitContext};
use shmlock_core::{Fence, Region, RegionMemory, Token};

use crate::critical_section::CriticalSection;
use crate::kernel::{Kernel, Probe};
use crate::mortal::{Mortal, live};

pub(crate) struct World {
    memory: RegionMemory,
    pub(crate) kernel: Kernel,
    pub(crate) section: CriticalSection,
}

impl World {
    /// Returns a free lock and this many living processes, with the tokens from 1 on. They start
    /// before the threads, and so multiply no interleavings; for the same reason the `Arc` is the
    /// standard library's.
    pub(crate) fn with_processes(processes: u32) -> Arc<Self> {
        let world = Self {
            memory: RegionMemory::new(),
            kernel: Kernel::new(),
            section: CriticalSection::new(),
        };
        world.region(); // writes the magic word before the threads start
        for token in 1..=processes {
            world.try_start(token).expect("the token is free");
        }
        Arc::new(world)
    }

    pub(crate) fn region(&self) -> Region<'_> {
        Region::new(&self.memory).expect("ours")
    }

    /// Starts a process; `None` if the byte of its token is locked, by a process or a proof of
    /// death.
    pub(crate) fn try_start(&self, token: u32) -> Option<Actor<'_>> {
        let actor = self.actor(token);
        self.kernel.lock_byte(actor.me, actor.me).then_some(actor)
    }

    /// Returns the process with this token. A model without probes needs no start.
    pub(crate) fn actor(&self, token: u32) -> Actor<'_> {
        Actor { world: self, region: self.region(), me: self::token(token) }
    }
}

/// Runs an actor in a thread of its own.
pub(crate) fn spawn<R: 'static>(
    world: &Arc<World>,
    act: impl FnOnce(&World) -> R + 'static,
) -> JoinHandle<R> {
    let world = Arc::clone(world);
    thread::spawn(move || act(&world))
}

pub(crate) fn token(number: u32) -> Token {
    Token::try_from(number).expect("a word can name it")
}

/// One process.
pub(crate) struct Actor<'a> {
    world: &'a World,
    pub(crate) region: Region<'a>,
    pub(crate) me: Token,
}

impl Actor<'_> {
    /// Acquires the lock and begins the critical section. Returns whether it was told of a death;
    /// `None` if `wait` gave up.
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

    /// Begins the critical section of an actor that has just acquired the lock.
    pub(crate) fn begin(&self, fence: impl Fence, acquisition: Acquisition) {
        self.region.count_acquisition(fence);
        if acquisition.recovered_from.is_some() {
            self.region.count_recovery();
        }
        self.world.section.begin(acquisition.owner_died, self.region.fencing_token());
    }

    /// Ends the critical section and releases the lock.
    pub(crate) fn leave(&self, fence: impl Fence) {
        self.world.section.end();
        self.wake(protocol::release(self.region.owner_word(), self.me, fence).expect("mine"));
    }

    /// Ends the critical section and releases without wake, as the shell does for a spinning
    /// waiter; then claims the wake.
    pub(crate) fn leave_without_wake(&self, fence: impl Fence) {
        self.world.section.end();
        let word = self.region.owner_word();
        if protocol::release_fast(word, self.me, fence).is_err() {
            protocol::release_without_wake(word, self.me, fence).expect("mine");
            self.wake(protocol::claim_wake(word));
        }
    }

    /// Frees a word that an earlier process with this token left.
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

    /// Acquires by sleeping, runs the critical section, and releases.
    pub(crate) fn visit(&self, fence: impl Fence) {
        self.enter(fence, &mut self.sleep()).expect("does not give up");
        self.leave(fence);
    }

    /// Does the same as [`visit`](Self::visit), with a probe before the first sleep.
    pub(crate) fn visit_probing_first(&self, fence: impl Fence) {
        let mut wait = ProbeFirst { probed: false, sleep: self.sleep() };
        self.enter(fence, &mut wait).expect("does not give up");
        self.leave(fence);
    }

    /// Does the same as [`visit`](Self::visit), with a step wherever a death could be seen. Returns
    /// `true` if the actor lived.
    pub(crate) fn visit_or_die(&self, steps: u32) -> bool {
        self.live(steps, |mortal| {
            mortal.step();
            let mut sleep = Sleep { mortal: Some(mortal), ..self.sleep() };
            self.enter(mortal, &mut sleep).expect("does not give up");
            mortal.step();
            self.world.section.end();
            let wake = protocol::release(self.region.owner_word(), self.me, mortal).expect("mine");
            mortal.step();
            self.wake(wake);
        })
    }

    /// Does the same as [`declare_stale`](Self::declare_stale), with such steps.
    pub(crate) fn declare_stale_or_die(&self, steps: u32) -> bool {
        self.live(steps, |mortal| {
            mortal.step();
            let wake = protocol::declare_stale(self.region.owner_word(), self.me, mortal);
            mortal.step();
            self.wake(wake.unwrap_or(Wake::None));
        })
    }

    fn live(&self, steps: u32, life: impl FnOnce(Mortal<'_>)) -> bool {
        let lived = live(steps, life);
        if !lived {
            self.die();
        }
        lived
    }

    /// Acquires the free lock, and dies in the critical section.
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

    /// Ends the process.
    pub(crate) fn die(&self) {
        self.world.kernel.end_process(self.me);
    }

    /// Returns a wait that sleeps in the kernel and never gives up.
    pub(crate) fn sleep(&self) -> Sleep<'_> {
        self.sleep_at_most(u32::MAX)
    }

    /// Returns a wait that gives up after this many sleeps.
    pub(crate) fn sleep_at_most(&self, sleeps: u32) -> Sleep<'_> {
        Sleep { kernel: &self.world.kernel, left: sleeps, mortal: None }
    }
}

/// Waiting as the shell does: set WAITERS, sleep in the kernel, try again. It asks for a probe
/// after every sleep, more often than the shell does: a proof of death may come after the word has
/// changed.
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
    fn wait(&mut self, context: &mut WaitContext<'_>) -> WaitAction {
        if self.left == 0 {
            return WaitAction::GiveUp;
        }
        self.left -= 1;
        self.step();
        let Ok(marked) = context.set_waiters() else { return WaitAction::Retry };
        self.step(); // dies as if killed asleep
        self.kernel.sleep(context.word(), marked);
        self.step(); // dies with the wake used up
        WaitAction::Probe
    }
}

/// Waiting with a probe before the first sleep, as the shell does.
pub(crate) struct ProbeFirst<'a> {
    probed: bool,
    sleep: Sleep<'a>,
}

impl Wait for ProbeFirst<'_> {
    fn wait(&mut self, context: &mut WaitContext<'_>) -> WaitAction {
        if self.probed {
            return self.sleep.wait(context);
        }
        self.probed = true;
        WaitAction::Probe
    }
}

/// Polling, without system calls, which would order memory.
pub(crate) struct Poll {
    left: u32,
}

impl Poll {
    pub(crate) fn for_ever() -> Self {
        Self { left: u32::MAX }
    }

    /// Returns a wait that gives up after this many polls, not counting the first attempt.
    pub(crate) fn at_most(polls: u32) -> Self {
        Self { left: polls }
    }
}

impl Wait for Poll {
    fn wait(&mut self, _contention: &mut WaitContext<'_>) -> WaitAction {
        if self.left == 0 {
            return WaitAction::GiveUp;
        }
        self.left -= 1;
        thread::yield_now();
        WaitAction::Retry
    }
}
