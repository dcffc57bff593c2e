//! Who takes part, and what does each have to be able to do?
//!
//! | file | its contenders |
//! |---|---|
//! | [`control`] | no lock |
//! | [`ours`] | shmlock, sleeping in the futex or by polling |
//! | [`bare_futex`] | three states and nothing else: the reference |
//! | [`file_locks`] | flock, OFD locks |
//! | [`semaphore`] | POSIX named semaphore |
//! | [`pthread`] | process-shared mutexes of four kinds |
//! | [`crates`] | `named-lock`, `fd-lock` |
//! | [`one_process`] | `std::sync::Mutex`, `parking_lot::Mutex` |

pub(crate) mod bare_futex;
pub(crate) mod control;
pub(crate) mod crates;
pub(crate) mod file_locks;
pub(crate) mod one_process;
pub(crate) mod ours;
pub(crate) mod pthread;
pub(crate) mod semaphore;

use shmlock_bench_support::Result;

use crate::place::Place;
use ours::Ours;

/// A lock, open in this process.
pub(crate) trait Contender: Sized {
    /// Makes what has to be there before [`open`](Self::open), by one process only. By default
    /// nothing.
    fn prepare(_place: &Place) -> Result<()> {
        Ok(())
    }

    /// Opens what [`prepare`](Self::prepare) has made.
    fn open(place: &Place) -> Result<Self>;

    /// Takes the lock, runs `section`, and gives it back.
    ///
    /// One call instead of lock and unlock: half of the contenders answer with a guard that borrows
    /// them. It is compiled for each contender anew, so it costs nothing.
    fn locked<R>(&mut self, section: impl FnOnce() -> R) -> Result<R>;

    /// Removes what the contender keeps outside of the place's directory. By default nothing.
    fn remove(_place: &Place) {}
}

/// Something to be done with a contender, whichever it is.
pub(crate) trait Task {
    /// What comes out of it.
    type Output;

    /// Does it.
    fn run<C: Contender>(self) -> Self::Output;
}

/// Lists the contenders: the variant, its type, its name in tables, and what it can do. First those
/// that are compared with others, then those that are only swept.
macro_rules! contenders {
    (
        compared { $($kind:ident = $contender:ty, $label:literal, $ability:ident;)* }
        swept { $($other:ident = $other_contender:ty, $other_label:literal, $other_ability:ident;)* }
    ) => {
        /// One of the contenders.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Kind {
            $(#[doc = concat!("`", $label, "`")] $kind,)*
            $(#[doc = concat!("`", $other_label, "`")] $other,)*
        }

        impl Kind {
            /// Those that are compared with others, in the order of the tables.
            pub(crate) const COMPARED: &[Self] = &[$(Self::$kind),*];

            /// All of them, in the order of the tables.
            pub(crate) const ALL: &[Self] = &[$(Self::$kind,)* $(Self::$other,)*];

            /// Its name.
            pub(crate) fn label(self) -> &'static str {
                match self { $(Self::$kind => $label,)* $(Self::$other => $other_label,)* }
            }

            fn ability(self) -> Ability {
                match self { $(Self::$kind => Ability::$ability,)* $(Self::$other => Ability::$other_ability,)* }
            }

            /// Does `task` with this contender.
            pub(crate) fn dispatch<T: Task>(self, task: T) -> T::Output {
                match self {
                    $(Self::$kind => task.run::<$contender>(),)*
                    $(Self::$other => task.run::<$other_contender>(),)*
                }
            }
        }
    };
}

contenders! {
    compared {
        Control = control::Control, "no lock", ExcludesNobody;
        OursFutex = Ours<ours::Futex>, "shmlock", Recovers;
        OursAsking = Ours<ours::Asking>, "shmlock, asking", Alone;
        OursPoll50 = Ours<ours::Poll<50>>, "shmlock poll 50 ms", Recovers;
        OursPoll1 = Ours<ours::Poll<1>>, "shmlock poll 1 ms", Recovers;
        BareFutex = bare_futex::BareFutex, "bare futex", Shared;
        Flock = file_locks::Flock, "flock", Recovers;
        Ofd = file_locks::Ofd, "OFD lock", Recovers;
        Semaphore = semaphore::Semaphore, "POSIX semaphore", Shared;
        Normal = pthread::Normal, "pthread normal", Shared;
        Adaptive = pthread::Adaptive, "pthread adaptive", Shared;
        Robust = pthread::Robust, "pthread robust", Recovers;
        RobustPi = pthread::RobustPi, "pthread robust PI", Recovers;
        NamedLock = crates::Named, "crate named-lock", Recovers;
        FdLock = crates::Fd, "crate fd-lock", Recovers;
        StdMutex = one_process::Std, "std Mutex", Alone;
        ParkingLot = one_process::ParkingLot, "parking_lot Mutex", Alone;
    }
    swept {
        OursPoll2 = Ours<ours::Poll<2>>, "shmlock poll 2 ms", Recovers;
        OursPoll5 = Ours<ours::Poll<5>>, "shmlock poll 5 ms", Recovers;
        OursPoll10 = Ours<ours::Poll<10>>, "shmlock poll 10 ms", Recovers;
        OursPoll20 = Ours<ours::Poll<20>>, "shmlock poll 20 ms", Recovers;
        OursPoll100 = Ours<ours::Poll<100>>, "shmlock poll 100 ms", Recovers;
    }
}

/// What a contender can do. What it claims is checked: the counter after every run, recovery by
/// figure R.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ability {
    /// Nothing: counts get lost, or the check of the counts is worth nothing.
    ExcludesNobody,
    /// Takes part where it is alone: it keeps threads of one process apart only, or otherwise is as
    /// another one.
    Alone,
    /// Keeps processes apart; who waits for one that died waits for ever.
    Shared,
    /// Keeps processes apart, and survives the death of one that holds it.
    Recovers,
}

impl Kind {
    /// Those of ours that differ in how they wait: in the futex, or by sleeping for so long.
    pub(crate) const SWEPT: &[Self] = &[
        Self::OursFutex,
        Self::OursPoll1,
        Self::OursPoll2,
        Self::OursPoll5,
        Self::OursPoll10,
        Self::OursPoll20,
        Self::OursPoll50,
        Self::OursPoll100,
    ];

    /// Whether it is one of ours.
    pub(crate) fn is_ours(self) -> bool {
        self.label().starts_with("shmlock")
    }

    /// Whether it takes part where several processes share it.
    pub(crate) fn is_shared(self) -> bool {
        self.ability() != Ability::Alone
    }

    /// Whether it keeps anybody out.
    pub(crate) fn excludes(self) -> bool {
        self.ability() != Ability::ExcludesNobody
    }

    /// Whether who waits has it when who holds it has died.
    pub(crate) fn recovers(self) -> bool {
        self.ability() == Ability::Recovers
    }
}
