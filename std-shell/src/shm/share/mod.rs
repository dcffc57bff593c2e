//! Gives each handle of a lock a token, and an attachment: its own, or a share of one.
//!
//! A process that has many handles on one name would have as many mappings, descriptors and byte
//! locks, and each call on a byte lock walks all of the file's. So the first handles have an
//! attachment of their own, and further ones share attachments (`crowd.rs`): each is present once,
//! and holds the life bytes of a whole block of tokens, as one lock.
//!
//! What others see is the same: the token of a handle is locked as long as the handle or its
//! process lives. Only the end differs. The life byte of a shared attachment's handle stays locked
//! when that handle is closed, so the word must not name it then: see `lock/dying.rs`.
//!
//! Handles that share an attachment share its `B`, and locks of one description do not exclude each
//! other. So at most one of them proves a death at a time ([`Attachment::proof_turn`]).

#![allow(unsafe_code, reason = "keeps views beside the attachment that they point into")]

mod crowd;
mod site;
mod tokens;

use std::ops::Deref;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::{Errno, pread, retry_on_intr};
use shmlock_core::{FenceScope, Region, Token, Word};

#[cfg(doc)]
use crate::ShmLock;
use crate::error::Result;
use crate::identity::lifeline::Lifeline;
use crate::identity::token::{self, random_bytes};
use crate::layout::header::{BlockLayout, Header};
use crate::layout::lock_bytes::byte_of;
use crate::shm::attach::Attachment;
use crate::shm::file::FileSpec;
use crate::shm::removal::UnlinkPolicy;
use crate::sys::descriptor::Descriptor;
use crate::sys::fork::{self, ProcessGeneration};
use crowd::Place;
use site::Site;
use tokens::TokenBlock;

/// A handle's token and its part of an attachment.
///
/// Invariant: `region` and `header` point into the mapping of `site`, which lives as long as this
/// value.
#[derive(Debug)]
#[repr(C)] // the fields of every acquisition first, next to those of the handle
pub(crate) struct Share {
    region: Region<'static>,
    birth: ProcessGeneration,
    header: &'static Header,
    token: Token,
    fence: FenceScope,
    site: Arc<Site>,
}

/// What is new with a handle.
#[derive(Debug)]
pub(crate) struct Entered {
    pub(crate) share: Share,
    /// Sixteen random bytes, which name the handle.
    pub(crate) uuid: [u8; 16],
    pub(crate) lifeline: Option<Lifeline>,
}

impl Share {
    /// Attaches a handle to the file of `place`, and gives it a token.
    ///
    /// Blocks while another process closes, for at most `patience`.
    pub(crate) fn enter(
        place: &FileSpec,
        patience: Duration,
        fence: FenceScope,
        with_lifeline: bool,
    ) -> Result<Entered> {
        fork::prepare().map_err(|errno| place.system("map", errno))?;
        loop {
            let birth = ProcessGeneration::here();
            // A lifeline vouches for one handle; data has its own rules of opening.
            let may_share = !with_lifeline && place.shape == BlockLayout::NONE;
            let (len, alone) = match may_share.then(|| crowd::find(place)) {
                None => (1, None),
                Some(Place::Alone(count)) => (1, Some(count)),
                Some(Place::New { len }) => (len, None),
                Some(Place::In(site, token)) => match site.is_named_by(place) {
                    Ok(true) if birth.is_here() => {
                        let share = Self::new(site, token, fence);
                        token::free_stale(share.region, token, fence);
                        let uuid = random(place)?;
                        return Ok(Entered { share, uuid, lifeline: None });
                    }
                    found => {
                        // The word is not looked at: its memory may be gone.
                        site.tokens.put(token);
                        if !birth.is_here() {
                            continue; // a child of a signal handler's fork
                        }
                        found?;
                        crowd::forget(&site);
                        continue; // judged, completed or made as by the first opener
                    }
                },
            };
            return Self::enter_new(place, patience, fence, with_lifeline, len, alone);
        }
    }

    /// Attaches anew, with `len` tokens.
    fn enter_new(
        place: &FileSpec,
        patience: Duration,
        fence: FenceScope,
        with_lifeline: bool,
        len: u32,
        alone: Option<Arc<()>>,
    ) -> Result<Entered> {
        let claim = |a: &Descriptor, region: Region<'_>, birth: ProcessGeneration| {
            // One call for both. In here, so that a child of a signal handler's fork, which begins
            // again, draws its own.
            let [a0, a1, a2, a3, uuid @ ..] = random::<20>(place)?;
            let lot = u32::from_ne_bytes([a0, a1, a2, a3]);
            let (first, len) = match token::draw(a.as_fd(), lot, len) {
                // A peer has locked nearly all of them.
                Err(Errno::AGAIN) if len > 1 => (token::draw(a.as_fd(), lot, 1), 1),
                drawn => (drawn, len),
            };
            let first = first.map_err(|errno| place.no_token(errno))?;
            if !birth.is_here() {
                return Err(place.system("map", Errno::INTR)); // such a child, without a region
            }
            let stale = region.word().owner().filter(|owner| {
                owner.get().checked_sub(first.get()).is_some_and(|index| index < len)
            });
            if let Some(stale) = stale {
                token::free_stale(region, stale, fence);
            }
            let lifeline = with_lifeline.then(|| Lifeline::of(a)).transpose();
            let lifeline = lifeline.map_err(|errno| place.system("keep a descriptor of", errno))?;
            Ok(((first, len, uuid, lifeline), byte_of(first)))
        };
        let (attachment, (first, len, uuid, lifeline)) =
            Attachment::enter(place, UnlinkPolicy::KeepIfOwnerDied, patience, claim)?;
        let tokens = TokenBlock::new(first, len);
        let site = Arc::new(Site::new(attachment, tokens, alone));
        if len > 1 {
            crowd::add(&site);
        }
        Ok(Entered { share: Self::new(site, first, fence), uuid, lifeline })
    }

    fn new(site: Arc<Site>, token: Token, fence: FenceScope) -> Self {
        let birth = site.attachment.birth();
        // SAFETY: kept beside the site, which keeps the attachment; handed out only by a shorter
        // borrow.
        let (region, header) = unsafe { site.attachment.views() };
        Self { region, birth, header, token, fence, site }
    }

    /// Returns the region for an anchor, which is dropped before this share.
    pub(crate) fn static_region(&self) -> Region<'static> {
        self.region
    }

    pub(crate) fn token(&self) -> Token {
        self.token
    }

    /// Returns `true` if the word names this handle, as the file says, and `true` if that cannot be
    /// read. Not through the mapping, whose memory is gone if a peer has truncated the file.
    pub(crate) fn is_named(&self) -> bool {
        let read = |b: &Descriptor| {
            let mut word = [0; 4];
            let read = retry_on_intr(|| pread(b.as_fd(), &mut word, 0)).ok()?;
            let names_us = || Word::from_bits(u32::from_le_bytes(word)).is_owned_by(self.token);
            b.is_itself().then(|| read == 4 && names_us())
        };
        self.with_probe(read).flatten().unwrap_or(true)
    }

    /// Returns `true` if the life byte stays locked when this handle is closed: other handles share
    /// the attachment, or may.
    pub(crate) fn is_in_company(&self) -> bool {
        self.site.tokens.is_shared()
    }

    /// Returns the shared words. Not to be called in a forked child: [`is_ours`](Self::is_ours)
    /// first.
    #[inline]
    pub(crate) fn region(&self) -> Region<'_> {
        self.region
    }

    /// Returns the header. Not to be called in a forked child either.
    #[inline]
    pub(crate) fn header(&self) -> &Header {
        self.header
    }

    /// Returns `true` if this process made the attachment. Async-signal-safe.
    #[inline]
    pub(crate) fn is_ours(&self) -> bool {
        self.birth.is_here()
    }

    #[inline]
    pub(crate) fn birth(&self) -> ProcessGeneration {
        self.birth
    }
}

impl Deref for Share {
    type Target = Attachment;

    fn deref(&self) -> &Attachment {
        &self.site.attachment
    }
}

impl Drop for Share {
    /// Returns the token to a shared attachment, which keeps the life byte locked. The word does
    /// not
    /// name it: [`ShmLock::die_in_company`] has seen to that.
    fn drop(&mut self) {
        if self.is_in_company() && self.is_ours() {
            self.site.tokens.put(self.token);
        }
    }
}

fn random<const N: usize>(place: &FileSpec) -> Result<[u8; N]> {
    random_bytes().map_err(|errno| place.system("get random bytes for", errno))
}
