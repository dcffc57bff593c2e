//! Models the kernel: names, byte locks, sleepers. Each function is one system call, or one moment
//! of it.

use crate::place::Place;
use crate::squeezed::{Squeezed, TOKENS, TokenNumber};
use crate::world::{FILES, File, Link, NOWHERE, Presence, World};

impl World {
    /// Returns the file that has the name.
    pub(crate) fn named(&self) -> Option<u8> {
        (0..FILES).find(|&file| self.files[file].link == Link::Named).map(index)
    }

    /// Creates a file with the name; returns `None` if there is one.
    pub(crate) fn create(&mut self, empty: bool) -> Option<u8> {
        if self.named().is_some() {
            return None;
        }
        let file = (0..FILES)
            .find(|&file| self.files[file].link == Link::None)
            .expect("more files than processes");
        self.files[file] = File { link: Link::Named, word: Squeezed::FREE, empty, torn: false };
        Some(index(file))
    }

    /// Removes the name.
    pub(crate) fn unlink(&mut self) {
        if let Some(file) = self.named() {
            self.files[usize::from(file)].link = Link::Nameless;
        }
    }

    /// Forgets nameless files that no process has open.
    pub(crate) fn forget_unused(&mut self) {
        for file in 0..FILES {
            let used = self
                .processes
                .iter()
                .any(|process| process.a == index(file) || process.b == index(file));
            if self.files[file].link == Link::Nameless && !used {
                self.files[file] = File::default();
            }
        }
    }

    /// Returns `true` if the byte of a token is locked on this file. For a description without
    /// locks of its own.
    pub(crate) fn is_token_locked(&self, file: u8, token: TokenNumber) -> bool {
        token != 0
            && self.processes.iter().any(|process| {
                (process.a == file && process.token == token)
                    || (process.b == file && process.adopted == token)
            })
    }

    /// Returns the tokens that a new handle on this file could draw, lowest first.
    pub(crate) fn free_tokens(&self, file: u8) -> impl Iterator<Item = TokenNumber> + '_ {
        (1..=TOKENS).filter(move |&token| !self.is_token_locked(file, token))
    }

    /// Returns `true` if a process other than `process` has the presence byte of this file locked
    /// in this way.
    pub(crate) fn is_present(&self, file: u8, presence: Presence, process: usize) -> bool {
        self.is_present_but(file, presence, [Some(process), None])
    }

    /// Returns the same as [`is_present`](Self::is_present), with two processes that do not count.
    pub(crate) fn is_present_but(
        &self,
        file: u8,
        presence: Presence,
        but: [Option<usize>; 2],
    ) -> bool {
        self.processes.iter().enumerate().any(|(index, process)| {
            let on = if presence == Presence::Alone { process.b } else { process.a };
            !but.contains(&Some(index)) && process.presence == presence && on == file
        })
    }

    /// Returns the processes that sleep on the word of this file. A process that was stopped in its
    /// sleep has left the queue.
    pub(crate) fn sleepers(&self, file: u8) -> impl Iterator<Item = usize> + '_ {
        self.processes.iter().enumerate().filter_map(move |(index, process)| {
            (process.at == Place::Asleep && process.a == file && process.can_move())
                .then_some(index)
        })
    }

    /// Drops the locks of a handle whose mapping, or process, is gone. If the word names it, an
    /// owner has died.
    pub(crate) fn drop_identity(&mut self, who: usize) {
        let process = &mut self.processes[who];
        let (file, token) = (process.a, process.token);
        process.token = 0;
        process.presence = Presence::None;
        process.a = NOWHERE;
        if let Some(file) = self.files.get_mut(usize::from(file)) {
            file.torn |= file.word.names(token);
        }
    }
}

fn index(file: usize) -> u8 {
    u8::try_from(file).unwrap_or(NOWHERE)
}
