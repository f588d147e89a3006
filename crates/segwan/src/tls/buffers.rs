//! `Buffers`: the I/O buffers of a thread, used by all its connections in turn.
//!
//! A connection owns only what could not be finished: an incomplete record, bytes that a full
//! socket did not take. An idle one therefore owns no buffer at all.

use std::cell::RefCell;

/// Plain bytes handed on at once, and the most that is sealed for one write.
pub const CHUNK: usize = 64 * 1024;
/// Sealed bytes read at once: four full records beside an incomplete one.
const READ: usize = 80 * 1024;

/// What one poll reads into, opens into and seals into.
///
/// It is lent for the length of a closure, so no connection can keep it over an `await`.
pub struct Buffers {
    /// Bytes from a socket.
    pub incoming: Box<[u8]>,
    /// Plain bytes of opened records.
    pub plain: Space,
    /// Records on their way to a socket.
    pub sealed: Space,
}

impl Buffers {
    /// Lends the thread's buffers to `use_them`, with `plain` and `sealed` empty.
    ///
    /// # Panics
    /// If it is called again from within `use_them`.
    pub fn with<R>(use_them: impl FnOnce(&mut Self) -> R) -> R {
        thread_local! {
            static BUFFERS: RefCell<Buffers> = RefCell::new(Buffers::new());
        }
        BUFFERS.with_borrow_mut(|buffers| {
            buffers.plain.clear();
            buffers.sealed.clear();
            use_them(buffers)
        })
    }

    fn new() -> Self {
        Self {
            incoming: vec![0; READ].into(),
            plain: Space::new(READ),
            sealed: Space::new(READ + 1024),
        }
    }
}

/// A fixed room for bytes, filled from its front.
pub struct Space {
    room: Box<[u8]>,
    filled: usize,
}

impl Space {
    fn new(size: usize) -> Self {
        Self { room: vec![0; size].into(), filled: 0 }
    }

    /// What is in it.
    #[must_use]
    pub fn filled(&self) -> &[u8] {
        &self.room[..self.filled]
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.filled = 0;
    }

    /// Overwrites what is in it, where that may hold secrets, and empties it.
    pub fn wipe(&mut self) {
        self.room[..self.filled].fill(0);
        self.clear();
    }

    /// What is free.
    pub(crate) fn free(&mut self) -> &mut [u8] {
        &mut self.room[self.filled..]
    }

    /// Counts `written` more bytes as filled.
    pub(crate) fn advance(&mut self, written: usize) {
        self.filled = (self.filled + written).min(self.room.len());
    }

    /// Appends, or tells that there is no room.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> bool {
        let Some(free) = self.free().get_mut(..bytes.len()) else { return false };
        free.copy_from_slice(bytes);
        self.advance(bytes.len());
        true
    }
}
