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

use shmlock_examples::Result;

use crate::place::Place;

/// A lock, open in this process.
pub(crate) trait Contender: Sized {
    /// Makes what has to be there before [`open`](Self::open), by one process only. By default nothing.
    fn prepare(_place: &Place) -> Result<()> {
        Ok(())
    }

    /// Opens what [`prepare`](Self::prepare) has made.
    fn open(place: &Place) -> Result<Self>;

    /// Takes the lock, runs `section`, and gives it back.
    ///
    /// One call instead of lock and unlock: half of the contenders answer with a guard that borrows them. It is compiled
    /// for each contender anew, so it costs nothing.
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

/// Lists the contenders: the variant, its type, its name in tables, and whom it keeps apart.
macro_rules! contenders {
    ($($kind:ident = $contender:ty, $label:literal, $ability:ident;)*) => {
        /// One of the contenders.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Kind {
            $(#[doc = concat!("`", $label, "`")] $kind,)*
        }

        impl Kind {
            /// All of them, in the order of the tables.
            pub(crate) const ALL: &[Self] = &[$(Self::$kind),*];

            /// Its name.
            pub(crate) fn label(self) -> &'static str {
                match self { $(Self::$kind => $label,)* }
            }

            fn ability(self) -> Ability {
                match self { $(Self::$kind => Ability::$ability,)* }
            }

            /// Does `task` with this contender.
            pub(crate) fn dispatch<T: Task>(self, task: T) -> T::Output {
                match self { $(Self::$kind => task.run::<$contender>(),)* }
            }
        }
    };
}

contenders! {
    Control = control::Control, "no lock", ExcludesNobody;
    OursFutex = ours::Futex, "shmlock", Shared;
    OursPoll50 = ours::Poll<50>, "shmlock poll 50 ms", Shared;
    OursPoll1 = ours::Poll<1>, "shmlock poll 1 ms", Shared;
    BareFutex = bare_futex::BareFutex, "bare futex", Shared;
    Flock = file_locks::Flock, "flock", Shared;
    Ofd = file_locks::Ofd, "OFD lock", Shared;
    Semaphore = semaphore::Semaphore, "POSIX semaphore", Shared;
    Normal = pthread::Normal, "pthread normal", Shared;
    Adaptive = pthread::Adaptive, "pthread adaptive", Shared;
    Robust = pthread::Robust, "pthread robust", Shared;
    RobustPi = pthread::RobustPi, "pthread robust PI", Shared;
    NamedLock = crates::Named, "crate named-lock", Shared;
    FdLock = crates::Fd, "crate fd-lock", Shared;
    StdMutex = one_process::Std, "std Mutex", OneProcess;
    ParkingLot = one_process::ParkingLot, "parking_lot Mutex", OneProcess;
}

/// Whom a contender keeps apart. The counter is checked after every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ability {
    /// Nothing: counts get lost, or the check of the counts is worth nothing.
    ExcludesNobody,
    /// Keeps threads of one process apart.
    OneProcess,
    /// Keeps processes apart.
    Shared,
}

impl Kind {
    /// What all others are compared with.
    pub(crate) const REFERENCE: Self = Self::BareFutex;

    /// The contender of this name.
    pub(crate) fn from_label(label: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.label() == label)
    }

    /// Whether several processes can share it.
    pub(crate) fn is_shared(self) -> bool {
        self.ability() != Ability::OneProcess
    }

    /// Whether it keeps anybody out.
    pub(crate) fn excludes(self) -> bool {
        self.ability() != Ability::ExcludesNobody
    }
}
