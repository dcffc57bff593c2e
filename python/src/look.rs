//! What a look at a lock shows.

use pyo3::prelude::*;

/// The owner of a lock, alive or dead, as far as its record can be read.
#[pyclass(frozen, module = "shmlock")]
#[derive(Clone)]
pub(crate) struct Holder(shmlock::Holder);

impl From<shmlock::Holder> for Holder {
    fn from(holder: shmlock::Holder) -> Self {
        Self(holder)
    }
}

#[pymethods]
impl Holder {
    /// The process id in the owner's own pid namespace.
    #[getter]
    fn pid(&self) -> Option<u32> {
        self.0.pid()
    }

    /// `True` if `pid` names the owner in this process's pid namespace, too; `None` if that is not
    /// known.
    #[getter]
    fn pid_is_ours(&self) -> Option<bool> {
        self.0.pid_is_ours()
    }

    /// The uuid of the object, as `ShmLock.uuid`.
    #[getter]
    fn uuid(&self) -> Option<String> {
        self.0.uuid().map(|uuid| uuid.to_string())
    }

    /// The description that the owner has given; empty if it has given none.
    #[getter]
    fn description(&self) -> &str {
        self.0.description()
    }

    /// How long the owner has had the lock, in whole seconds.
    #[getter]
    fn held_seconds(&self) -> Option<u64> {
        self.0.since().map(|since| since.as_secs())
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        format!("<shmlock.Holder: {}>", self.0)
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    fn __hash__(&self) -> u64 {
        self.0.token().into()
    }
}

/// The notice that an owner died, and that no later owner has declared the data consistent.
#[pyclass(frozen, module = "shmlock")]
pub(crate) struct Recovered {
    dead: Option<Holder>,
}

impl From<shmlock::Recovered> for Recovered {
    fn from(recovered: shmlock::Recovered) -> Self {
        Self { dead: recovered.dead.map(Holder::from) }
    }
}

#[pymethods]
impl Recovered {
    /// The dead owner from which this acquisition recovered the lock; `None` if an earlier
    /// acquisition did so, or the owner's exit handler released the lock.
    #[getter]
    fn dead(&self) -> Option<Holder> {
        self.dead.clone()
    }

    fn __repr__(&self) -> String {
        match &self.dead {
            Some(dead) => format!("<shmlock.Recovered from {}>", dead.0),
            None => "<shmlock.Recovered: the dead owner is not known>".to_owned(),
        }
    }
}
