//! `Buffer`: what came and was not judged yet.

use zeroize::Zeroize;

/// Bytes of one direction that wait for the rest of their frame, for room, or for their rate.
///
/// Where the direction declares secrets, what leaves it is overwritten: used bytes, a room that
/// was outgrown, and all of it in the end.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    secret: bool,
}

impl Buffer {
    /// A buffer of a direction; `secret` if that declares secrets.
    pub(super) fn new(secret: bool) -> Self {
        Self { bytes: Vec::new(), secret }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What it owns.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Takes the buffer, and leaves an empty one of its kind.
    pub(super) fn take(&mut self) -> Self {
        let secret = self.secret;
        std::mem::replace(self, Self::new(secret))
    }

    /// Adds bytes. Room is made for twice as many, but for no more than `frame`, the largest frame
    /// of the direction, and for what arrived beyond it.
    pub(super) fn append(&mut self, more: &[u8], frame: usize) {
        let (held, room) = (self.bytes.len(), self.bytes.capacity());
        let needed = held.saturating_add(more.len());
        if needed > room {
            let larger = needed.max(room.saturating_mul(2).min(frame));
            if self.secret {
                let mut room = Vec::with_capacity(larger);
                room.extend_from_slice(&self.bytes);
                self.bytes.zeroize();
                self.bytes = room;
            } else {
                self.bytes.reserve_exact(larger.saturating_sub(held));
            }
        }
        self.bytes.extend_from_slice(more);
    }

    /// Forgets the bytes at the front; gives the memory back where none is left.
    pub(super) fn forget(&mut self, used: usize) {
        let left = self.bytes.len().saturating_sub(used);
        if left == 0 {
            self.clear();
            return;
        }
        shift(&mut self.bytes, left, self.secret);
        self.bytes.truncate(left);
    }

    /// Forgets everything, and owns nothing.
    pub(super) fn clear(&mut self) {
        if self.secret {
            self.bytes.zeroize();
        }
        self.bytes = Vec::new();
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Brings the last `left` bytes to the front; with `wipe` nothing of them stays behind it.
fn shift(bytes: &mut [u8], left: usize, wipe: bool) {
    let used = bytes.len().saturating_sub(left);
    bytes.copy_within(used.., 0);
    if wipe {
        bytes.iter_mut().skip(left).for_each(Zeroize::zeroize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Section 17
    #[test]
    fn what_left_a_secret_buffer_is_overwritten() {
        let mut bytes = *b"pin 123456\nhalf";
        shift(&mut bytes, 4, true);
        assert_eq!(&bytes, b"half\0\0\0\0\0\0\0\0\0\0\0");
        let mut buffer = Buffer::new(true);
        for piece in ["pin 123456\n", "ha", "lf"] {
            buffer.append(piece.as_bytes(), 64);
        }
        buffer.forget(11);
        assert_eq!(buffer.as_slice(), b"half");
        buffer.forget(usize::MAX);
        assert_eq!((buffer.is_empty(), buffer.bytes.capacity()), (true, 0));
    }
}
