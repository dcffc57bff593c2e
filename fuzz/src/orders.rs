//! Runs the calls of several parties in any order: at each fence of a call, and while it waits,
//! other parties go on, words are overwritten, or the caller dies. All in one thread, so that a
//! scenario runs the same way each time.

use std::cell::{Cell, RefCell};

use arbitrary::{Arbitrary, Result, Unstructured};
use shmlock_core::fence::Fence;
use shmlock_core::wait::{Spin, Wait, WaitAction, WaitContext};

/// Something that happens.
#[derive(Debug)]
pub(crate) enum Event<A> {
    /// The running call takes this many steps.
    Steps(u8),
    /// A party makes a call.
    Act(u8, A),
    /// A party dies where it is.
    Die(u8),
    /// A word becomes another one.
    Write(u8, u32),
}

impl<'a, A: Arbitrary<'a>> Arbitrary<'a> for Event<A> {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let what = u8::arbitrary(bytes)?;
        Ok(match what % 8 {
            0 | 1 => Self::Steps(1 + what / 8),
            2..=5 => Self::Act(what / 8, A::arbitrary(bytes)?),
            6 => Self::Die(what / 8),
            _ => Self::Write(u8::arbitrary(bytes)?, border(u8::arbitrary(bytes)?, bytes)?),
        })
    }
}

/// Returns a word near a limit of numbers, epochs or section words, or any other word.
fn border(what: u8, bytes: &mut Unstructured<'_>) -> Result<u32> {
    let near = u32::from(what / 8);
    Ok(match what % 8 {
        0 | 1 => near,
        2 => u32::MAX - near,
        3 => (1 << 31) + near - 16,
        4 => 1024 + near - 16,
        5 => (1 + near % 3) << 10 | near,
        _ => u32::arbitrary(bytes)?,
    })
}

/// Fills words with noise that follows from the seed.
pub(crate) fn noise(words: &mut [u32], seed: u32) {
    let mut state = seed | 1;
    for word in words {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        *word = match state % 4 {
            0 => 0,
            1 => state >> 29,
            2 => u32::MAX - (state >> 30),
            _ => state,
        };
    }
}

/// The events to come, and the parties in a call.
pub(crate) struct Script<'s, A> {
    events: Cell<&'s [Event<A>]>,
    steps: Cell<u8>,
    /// The events that have happened, except steps.
    happened: Cell<u32>,
    /// The innermost call is the last.
    running: RefCell<Vec<usize>>,
    /// The words at the death of the running party: its call runs on, but nothing sees that.
    death: RefCell<Option<Vec<u32>>>,
}

impl<'s, A> Script<'s, A> {
    pub(crate) fn new(events: &'s [Event<A>]) -> Self {
        Self {
            events: Cell::new(events),
            steps: Cell::new(0),
            happened: Cell::new(0),
            running: RefCell::default(),
            death: RefCell::new(None),
        }
    }

    pub(crate) fn happened(&self) -> u32 {
        self.happened.get()
    }

    /// Returns `true` if the running party has died: the results of its calls are void.
    pub(crate) fn is_dying(&self) -> bool {
        self.death.borrow().is_some()
    }
}

/// Parties, and the memory that they share.
pub(crate) trait Stage<'s> {
    type Act: 's;

    fn script(&self) -> &Script<'s, Self::Act>;
    fn parties(&self) -> usize;
    fn words(&self) -> Vec<u32>;
    fn set_words(&self, words: &[u32]);
    /// Makes a call of a party that is in none.
    fn act(&'s self, party: usize, act: &Self::Act);
    /// Calls the handle of a party that is in a call.
    fn disturb(&self, party: usize);
    fn write(&self, at: usize, word: u32);
    /// Notes the death of a party. The memory is as it left it.
    fn die(&self, party: usize);
}

/// A place where other things happen.
pub(crate) trait Steps<'s> {
    /// Lets events happen until the running call goes on. Returns `false` if it should end: no
    /// event is left, or its party has died.
    fn step(&'s self) -> bool;
}

impl<'s, S: Stage<'s>> Steps<'s> for S {
    fn step(&'s self) -> bool {
        let script = self.script();
        if script.is_dying() {
            return false;
        }
        loop {
            if let Some(left) = script.steps.get().checked_sub(1) {
                script.steps.set(left);
                return true;
            }
            let Some((event, rest)) = script.events.get().split_first() else { return false };
            script.events.set(rest);
            if let Event::Steps(steps) = event {
                script.steps.set(*steps);
                continue;
            }
            script.happened.set(script.happened.get() + 1);
            match event {
                Event::Steps(_) => {}
                Event::Act(party, act) => play(self, usize::from(*party) % self.parties(), act),
                Event::Write(at, word) => self.write((*at).into(), *word),
                Event::Die(party) => {
                    let party = usize::from(*party) % self.parties();
                    let (is_last, is_running) = {
                        let running = script.running.borrow();
                        (running.last() == Some(&party), running.contains(&party))
                    };
                    if is_last {
                        *script.death.borrow_mut() = Some(self.words());
                        return false;
                    }
                    // A party whose call has called others dies later, or not.
                    if !is_running {
                        self.die(party);
                    }
                }
            }
        }
    }
}

fn play<'s, S: Stage<'s>>(stage: &'s S, party: usize, act: &S::Act) {
    let script = stage.script();
    if script.running.borrow().contains(&party) {
        return stage.disturb(party);
    }
    script.running.borrow_mut().push(party);
    stage.act(party, act);
    script.running.borrow_mut().pop();
    let death = script.death.borrow_mut().take();
    if let Some(words) = death {
        stage.set_words(&words);
        stage.die(party);
    }
}

/// Lets all events happen.
pub(crate) fn run<'s>(stage: &'s impl Stage<'s>) {
    while !stage.script().events.get().is_empty() {
        stage.step();
    }
}

/// Fences at which other things happen. One thread cannot show what they order.
#[derive(Clone, Copy)]
pub(crate) struct Hook<'s>(pub(crate) &'s dyn Steps<'s>);

impl Fence for Hook<'_> {
    fn acquire(self) {
        self.0.step();
    }

    fn release(self) {
        self.0.step();
    }

    fn full(self) {
        self.0.step();
    }
}

/// How a contender waits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Waiting {
    Spin,
    Retry,
    Probe,
    /// Sets WAITERS first, where the lock has it.
    Sleep,
}

impl Waiting {
    pub(crate) fn of_byte(byte: u8) -> Self {
        [Self::Spin, Self::Retry, Self::Probe, Self::Sleep][usize::from(byte % 4)]
    }

    pub(crate) fn begin<'s>(self, stage: &'s dyn Steps<'s>) -> Waiter<'s> {
        Waiter { how: self, spin: Spin::attempts(3), stage }
    }
}

/// One wait. It ends with the events.
pub(crate) struct Waiter<'s> {
    how: Waiting,
    spin: Spin,
    stage: &'s dyn Steps<'s>,
}

impl Wait for Waiter<'_> {
    fn wait(&mut self, context: &mut WaitContext<'_>) -> WaitAction {
        let _ = (context.looks_free(), context.has_waiters_hint(), context.attempt());
        match self.how {
            Waiting::Spin => return self.spin.wait(context),
            Waiting::Sleep if context.set_waiters().is_err() => {}
            _ => {}
        }
        match self.how {
            _ if !self.stage.step() => WaitAction::GiveUp,
            Waiting::Retry => WaitAction::Retry,
            _ => WaitAction::Probe,
        }
    }
}

/// Probes as often as any correct wait needs.
pub(crate) struct Patient(u8);

impl Patient {
    pub(crate) fn new() -> Self {
        Self(64)
    }
}

impl Wait for Patient {
    fn wait(&mut self, _context: &mut WaitContext<'_>) -> WaitAction {
        match self.0.checked_sub(1) {
            None => WaitAction::GiveUp,
            Some(left) => {
                self.0 = left;
                WaitAction::Probe
            }
        }
    }
}
