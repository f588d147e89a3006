//! Serial numbers: 16 random bytes, drawn again on a collision, and not for ever.

use super::X509Error;
use crate::key::{KeyError, random};

/// How often in a row a serial number may be taken already. With honest random bytes once is
/// beyond imagination.
const COLLISIONS: u8 = 3;

/// Draws serial numbers for one certificate: first a try, then one more for each collision that
/// the store reports.
pub struct SerialDraw<R> {
    random: R,
    collisions: Option<u8>,
}

impl SerialDraw<fn() -> Result<[u8; 16], KeyError>> {
    /// Draws from the operating system's generator.
    #[must_use]
    pub fn new() -> Self {
        Self::from_source(random::<16>)
    }
}

impl Default for SerialDraw<fn() -> Result<[u8; 16], KeyError>> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: FnMut() -> Result<[u8; 16], KeyError>> SerialDraw<R> {
    /// Draws from another source of random bytes.
    pub fn from_source(random: R) -> Self {
        Self { random, collisions: None }
    }

    /// A serial number: positive, not zero, exactly 16 bytes. Each call after the first says that
    /// the number before was taken.
    ///
    /// # Errors
    /// [`X509Error::RngSuspect`] after the third number that was taken, and ever after; or if there
    /// are no random bytes.
    pub fn draw(&mut self) -> Result<[u8; 16], X509Error> {
        let collisions = self.collisions.map_or(0, |before| before.saturating_add(1));
        self.collisions = Some(collisions);
        if collisions >= COLLISIONS {
            return Err(X509Error::RngSuspect);
        }
        let mut serial = (self.random)().map_err(|e| X509Error::Signing(e.to_string()))?;
        // The top bit clear makes it positive, the next one set keeps its length.
        if let Some(first) = serial.first_mut() {
            *first = *first & 0x7f | 0x40;
        }
        Ok(serial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // PKI-27
    #[test]
    fn a_third_collision_in_a_row_is_the_last() {
        let mut bytes = 0..;
        let mut draw = SerialDraw::from_source(|| Ok([bytes.next().unwrap(); 16]));
        let drawn: Vec<u8> = (0..3).map(|_| draw.draw().unwrap()[1]).collect();
        assert_eq!(drawn, [0, 1, 2]);
        assert_eq!(draw.draw(), Err(X509Error::RngSuspect));
        assert_eq!(draw.draw(), Err(X509Error::RngSuspect));
    }

    // PKI-27
    #[test]
    fn a_source_without_bytes_gives_no_number() {
        let mut draw = SerialDraw::from_source(|| Err(KeyError::NoRandom));
        assert!(matches!(draw.draw(), Err(X509Error::Signing(_))));
    }

    #[test]
    fn a_number_is_positive_whatever_was_drawn() {
        for bytes in [[0; 16], [0xff; 16]] {
            let first = SerialDraw::from_source(|| Ok(bytes)).draw().unwrap()[0];
            assert!((0x40..0x80).contains(&first));
        }
        assert_ne!(SerialDraw::new().draw().unwrap(), SerialDraw::new().draw().unwrap());
    }
}
