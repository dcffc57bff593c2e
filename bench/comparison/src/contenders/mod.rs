//! Defines the contenders: the locks that are measured.
//!
//! | file | contenders |
//! |---|---|
//! | [`control`] | no lock |
//! | [`ours`] | shmlock, sleeping in the futex or by polling |
//! | [`bare_futex`] | the reference: a word with three states |
//! | [`bare_inotify`] | the least time of a recovery by an event |
//! | [`file_locks`] | flock, OFD locks |
//! | [`semaphore`] | POSIX named semaphore |
//! | [`pthread`] | process-shared mutexes of four kinds |
//! | [`crates`] | `named-lock`, `fd-lock` |
//! | [`one_process`] | `std::sync::Mutex`, `parking_lot::Mutex` |

pub(crate) mod bare_futex;
pub(crate) mod bare_inotify;
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
    /// Makes what [`open`](Self::open) needs; called by one process, once. Does nothing by default.
    fn prepare(_place: &Place) -> Result<()> {
        Ok(())
    }

    /// Opens the lock that [`prepare`](Self::prepare) made.
    fn open(place: &Place) -> Result<Self>;

    /// Acquires the lock, runs `critical_section`, and releases the lock.
    ///
    /// One call instead of two, as half of the contenders return a guard that borrows them. Each
    /// contender has its own instance, so the call costs nothing.
    fn locked<R>(&mut self, critical_section: impl FnOnce() -> R) -> Result<R>;

    /// Removes the contender's files outside the place's directory. Does nothing by default.
    fn remove(_place: &Place) {}
}

/// An operation that is generic over the contender.
pub(crate) trait Task {
    /// The result.
    type Output;

    /// Runs the operation.
    fn run<C: Contender>(self) -> Self::Output;
}

/// Defines the contenders: variant, type, name in the tables, and capability. `compared` ones take
/// part in both programs, `swept` ones in `poll_sweep` only.
macro_rules! contenders {
    (
        compared { $($kind:ident = $contender:ty, $label:literal, $capability:ident;)* }
        swept {
            $($other:ident = $other_contender:ty, $other_label:literal, $other_capability:ident;)*
        }
    ) => {
        /// A contender.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Kind {
            $(#[doc = concat!("`", $label, "`")] $kind,)*
            $(#[doc = concat!("`", $other_label, "`")] $other,)*
        }

        impl Kind {
            /// The contenders of the comparison, in the order of the tables.
            pub(crate) const COMPARED: &[Self] = &[$(Self::$kind),*];

            /// All contenders, in the order of the tables.
            pub(crate) const ALL: &[Self] = &[$(Self::$kind,)* $(Self::$other,)*];

            /// Returns its name.
            pub(crate) fn label(self) -> &'static str {
                match self { $(Self::$kind => $label,)* $(Self::$other => $other_label,)* }
            }

            fn capability(self) -> Capability {
                match self {
                    $(Self::$kind => Capability::$capability,)*
                    $(Self::$other => Capability::$other_capability,)*
                }
            }

            /// Runs `task` with this contender.
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
        Control = control::Control, "no lock", NoExclusion;
        OursFutex = Ours<ours::Futex>, "shmlock", Recovers;
        OursAsking = Ours<ours::Asking>, "shmlock, asking", Alone;
        OursPoll50 = Ours<ours::Poll<50>>, "shmlock poll 50 ms", Recovers;
        OursPoll1 = Ours<ours::Poll<1>>, "shmlock poll 1 ms", Recovers;
        BareFutex = bare_futex::BareFutex, "bare futex", Shared;
        Flock = file_locks::Flock, "flock", Recovers;
        Ofd = file_locks::Ofd, "OFD lock", Recovers;
        BareInotify = bare_inotify::BareInotify, "bare inotify", RecoveryOnly;
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

/// The capability of a contender. It is checked: exclusion by the counter after every run, recovery
/// by figure R.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Capability {
    /// No lock. Counts get lost; else the check of the counts proves nothing.
    NoExclusion,
    /// Takes part in the uncontended figure only: it excludes threads of one process only, or
    /// equals another contender in all other figures.
    Alone,
    /// Excludes processes. If the owner dies, its waiters wait forever.
    Shared,
    /// Excludes processes, and recovers from the death of its owner.
    Recovers,
    /// The same, and takes part in the recovery from a small owner only: it shows what is possible
    /// there, and is no lock to use.
    RecoveryOnly,
}

impl Kind {
    /// The contenders of the sweep: shmlock waiting in the futex, and with each poll interval.
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

    /// The contenders of the plots that are to be read at a glance, and of the figures that take
    /// long: shmlock, the least cost of a lock that sleeps, and what users have without a library:
    /// the C library's two locks and the kernel's.
    pub(crate) const MAIN: &[Self] =
        &[Self::OursFutex, Self::BareFutex, Self::Robust, Self::Flock, Self::Semaphore];

    /// Returns `true` if it is one of [`MAIN`](Self::MAIN).
    pub(crate) fn is_main(self) -> bool {
        Self::MAIN.contains(&self)
    }

    /// Returns `true` if it is shmlock.
    pub(crate) fn is_ours(self) -> bool {
        self.label().starts_with("shmlock")
    }

    /// Returns `true` if it takes part in the figures of one process.
    pub(crate) fn is_uncontended(self) -> bool {
        self.capability() != Capability::RecoveryOnly
    }

    /// Returns `true` if it takes part in the figures with several processes.
    pub(crate) fn is_shared(self) -> bool {
        !matches!(self.capability(), Capability::Alone | Capability::RecoveryOnly)
    }

    /// Returns `true` if it is a lock.
    pub(crate) fn excludes(self) -> bool {
        self.capability() != Capability::NoExclusion
    }

    /// Returns `true` if a waiter acquires it after the owner's death.
    pub(crate) fn recovers(self) -> bool {
        matches!(self.capability(), Capability::Recovers | Capability::RecoveryOnly)
    }
}
