//! `Checksum`: the last item of a message, made of all bytes before it.
//!
//! It finds faults of the line, not an attacker: who can change a message can change its sum.

use crate::contract::value::Value;
use crate::rejection::{Reason, Violation};

/// How a checksum is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// All bytes combined by exclusive or.
    Xor8,
    /// The sum of all bytes, modulo 256.
    Sum8,
    /// The CRC of Modbus over serial lines: polynomial 0x8005 reflected, initial value 0xFFFF.
    Crc16Modbus,
    /// The CRC of Ethernet, gzip and PNG.
    Crc32,
}

impl Checksum {
    /// The kinds by their names in a contract.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("xor8", Self::Xor8),
        ("sum8", Self::Sum8),
        ("crc16-modbus", Self::Crc16Modbus),
        ("crc32", Self::Crc32),
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// The checksum of these bytes.
    #[must_use]
    pub fn of(self, bytes: &[u8]) -> i64 {
        let crc = |start: u32, polynomial: u32| {
            bytes.iter().fold(start, |crc, byte| {
                (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                    (crc >> 1) ^ (if crc & 1 == 1 { polynomial } else { 0 })
                })
            })
        };
        i64::from(match self {
            Self::Xor8 => bytes.iter().fold(0, |sum, byte| sum ^ u32::from(*byte)),
            Self::Sum8 => u32::from(bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte))),
            Self::Crc16Modbus => crc(0xffff, 0xa001),
            Self::Crc32 => !crc(u32::MAX, 0xedb8_8320),
        })
    }

    pub(super) fn hold(
        self,
        name: &str,
        is: Option<&Value<'_>>,
        before: &[u8],
    ) -> Result<(), Violation> {
        let must = self.of(before);
        if is == Some(&Value::Int(must)) {
            return Ok(());
        }
        let is = is.map(Value::shown).unwrap_or_default();
        let sentence = format!("checksum `{name}` is {is}, and that of the bytes before is {must}");
        Err(Violation::at(Reason::Checksum, format!("/{name}"), sentence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_gives_its_published_check_value() {
        let text = b"123456789";
        assert_eq!(Checksum::Crc16Modbus.of(text), 0x4b37);
        assert_eq!(Checksum::Crc32.of(text), 0xcbf4_3926);
        assert_eq!(Checksum::Sum8.of(text), 0xdd);
        assert_eq!(Checksum::Xor8.of(text), 0x31);
    }
}
