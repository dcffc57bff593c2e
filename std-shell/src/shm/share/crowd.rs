//! Finds a shared attachment for a further handle of a process on one name.
//!
//! The first [`ALONE`] handles of a name have attachments of their own. Further ones share: each
//! new attachment has twice the tokens of the one before. So attachments, descriptors and byte
//! locks grow by the logarithm of the handles.
//!
//! # Fork
//!
//! A child has no use for its parent's attachments, and the mutex may be locked for ever there. So
//! it has a table of its own (`sys/per_process.rs`). A signal handler may fork before an attachment
//! is added: the child that returns then adds its parent's, which is not found.

use std::collections::HashMap;
use std::path::PathBuf;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use shmlock_core::Token;

use super::site::Site;
use crate::shm::file::FileSpec;
use crate::sys::per_process::PerProcess;

/// The handles of a name that have attachments of their own. Arbitrary: more than programs use that
/// know how many they have, and few enough that a call on a byte lock is fast.
const ALONE: usize = 64;

/// The tokens of the first shared attachment, and of the largest. Arbitrary, as above.
const FIRST: u32 = 64;
const LARGEST: u32 = 4096;

/// The names that a table may have before it drops those that are not in use.
const SPARE_NAMES: usize = 16;

/// The attachment that a new handle is to have.
pub(super) enum Place {
    /// One of its own; it keeps the count.
    Alone(Arc<()>),
    /// A new one, to be shared.
    New { len: u32 },
    /// A part of this one, by this token.
    In(Arc<Site>, Token),
}

/// The handles of one name.
#[derive(Default)]
struct Crowd {
    /// Has one reference more than there are handles with attachments of their own.
    alone: Arc<()>,
    shared: Vec<Weak<Site>>,
}

impl Crowd {
    fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.alone) > 1 || self.shared.iter().any(|site| site.strong_count() > 0)
    }
}

type Names = HashMap<PathBuf, Crowd>;

static NAMES: PerProcess<Mutex<Names>> = PerProcess::new();

fn lock() -> MutexGuard<'static, Names> {
    // Nothing that panics runs under it, and nothing that is foreign.
    NAMES.get_or_make(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// Finds the attachment for one more handle. No system call.
pub(super) fn find(place: &FileSpec) -> Place {
    let mut names = lock();
    if !names.contains_key(&place.path) {
        if names.len() >= SPARE_NAMES && names.len() == names.capacity() {
            names.retain(|_, crowd| crowd.is_in_use());
        }
        names.insert(place.path.clone(), Crowd::default());
    }
    let Some(crowd) = names.get_mut(&place.path) else { return Place::New { len: FIRST } };
    if Arc::strong_count(&crowd.alone) <= ALONE {
        return Place::Alone(crowd.alone.clone());
    }
    // An attachment whose last handle ends meanwhile is not entered any more: it has no reference.
    // The references are dropped without the mutex, because the last one closes the attachment.
    let sites: Vec<_> = crowd.shared.iter().filter_map(Weak::upgrade).collect();
    drop(names);
    let fits = |site: &&Arc<Site>| site.attachment.is_ours() && site.attachment.place() == place;
    let fitting = sites.iter().rev().filter(fits);
    if let Some((site, token)) = fitting.clone().find_map(|site| Some((site, site.tokens.take()?)))
    {
        return Place::In(site.clone(), token);
    }
    let last = fitting.map(|site| site.tokens.len()).max();
    Place::New { len: last.map_or(FIRST, |len| (len * 2).min(LARGEST)) }
}

/// Adds a new attachment that handles can share.
pub(super) fn add(site: &Arc<Site>) {
    let mut names = lock();
    let crowd = names.entry(site.attachment.place().path.clone()).or_default();
    crowd.shared.retain(|site| site.strong_count() > 0);
    crowd.shared.push(Arc::downgrade(site));
}

/// Removes an attachment of which the name says nothing any more: no further handle shares it.
pub(super) fn forget(site: &Arc<Site>) {
    let mut names = lock();
    if let Some(crowd) = names.get_mut(&site.attachment.place().path) {
        crowd.shared.retain(|other| !ptr::eq(other.as_ptr(), Arc::as_ptr(site)));
    }
}
