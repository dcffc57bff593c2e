//! Runs the command on every core, on any machine.

use core::hint;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use semihosting::{eprintln, experimental::env, println, process};
use shmlock_bodies::{Arena, BODIES, Member, control};

/// The memory that the cores share.
static ARENA: Arena = Arena::new();
static COMMAND: Command = Command::new();

const TEST: u32 = 0;
const CONTROL: u32 = 1;
const COST: u32 = 2;

/// Reads the command line. The first core calls it once, before it starts the others.
pub(crate) fn begin() {
    COMMAND.read();
    if COMMAND.verb.load(Relaxed) == COST {
        crate::cost::run();
        process::exit(0);
    }
}

/// The command line. Relaxed: the other cores start after it is written.
struct Command {
    verb: AtomicU32,
    rounds: AtomicU32,
    attempts: AtomicU32,
}

impl Command {
    const fn new() -> Self {
        Self {
            verb: AtomicU32::new(TEST),
            rounds: AtomicU32::new(1_000),
            attempts: AtomicU32::new(1),
        }
    }

    fn read(&self) {
        let Ok(args) = env::args::<128>() else { return };
        let mut words = (&args).filter_map(Result::ok).skip(1);
        match words.next() {
            Some("test") | None => self.verb.store(TEST, Relaxed),
            Some("control") => self.verb.store(CONTROL, Relaxed),
            Some("cost") => self.verb.store(COST, Relaxed),
            Some(other) => panic!("unknown command `{other}`"),
        }
        for number in [&self.rounds, &self.attempts] {
            if let Some(word) = words.next() {
                number.store(word.parse().expect("a number"), Relaxed);
            }
        }
    }
}

/// Runs the command on a core, or as a task. Returns on the first only: the machine's exit code.
pub(crate) fn run(index: u32, cores: u32) -> i32 {
    let mut member = ARENA.member(index, cores, hint::spin_loop);
    let failed = match COMMAND.verb.load(Relaxed) {
        TEST => test(&mut member),
        _ => run_control(&mut member),
    };
    member.leave();
    loop {
        if index == 0 {
            return failed;
        }
        hint::spin_loop();
    }
}

fn test(member: &mut Member<'_>) -> i32 {
    let rounds = COMMAND.rounds.load(Relaxed);
    for body in &BODIES {
        (body.run)(member, rounds);
        if member.index() == 0 {
            println!("    {}", body.name);
        }
    }
    0
}

fn run_control(member: &mut Member<'_>) -> i32 {
    let (rounds, attempts) = (COMMAND.rounds.load(Relaxed), COMMAND.attempts.load(Relaxed));
    let detected = control(member, rounds, attempts);
    if member.index() == 0 {
        match detected {
            Some(attempt) => {
                println!(
                    "    the broken lock was detected in attempt {attempt} of {rounds} rounds"
                );
            }
            None => eprintln!(
                "    the broken lock passed {attempts} attempts of {rounds} rounds: \
                 the test proves nothing"
            ),
        }
    }
    i32::from(detected.is_none())
}

pub(crate) fn end(failed: i32) -> ! {
    process::exit(failed)
}
