//! A Modbus frame as a tree, by its function code: the table of `contracts.md` section 25.1.

use super::super::Known;
use crate::contract::Side;
use crate::contract::value::Value;
use crate::policy::schema::AttributeKind;
use crate::rejection::{Reason, Violation};
use std::borrow::Cow;

/// What a function code does, as far as its content is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    /// 1 and 2: coils and discrete inputs.
    ReadBits,
    /// 3 and 4: holding and input registers.
    ReadRegisters,
    /// 5.
    WriteBit,
    /// 6.
    WriteRegister,
    /// 15.
    WriteBits,
    /// 16.
    WriteRegisters,
    /// 22.
    Mask,
    /// 23: a write and a read in one.
    ReadWrite,
    /// All others: files, diagnostics, device identification, user codes.
    Opaque,
}

impl Function {
    pub(super) fn of(code: u8) -> Self {
        match code {
            1 | 2 => Self::ReadBits,
            3 | 4 => Self::ReadRegisters,
            5 => Self::WriteBit,
            6 => Self::WriteRegister,
            15 => Self::WriteBits,
            16 => Self::WriteRegisters,
            22 => Self::Mask,
            23 => Self::ReadWrite,
            _ => Self::Opaque,
        }
    }

    pub(super) fn writes(self) -> bool {
        self.writes_values() || self == Self::Mask
    }

    /// Whether a request says how many, and not one alone.
    pub(super) fn counts(self) -> bool {
        match self {
            Self::ReadBits
            | Self::ReadRegisters
            | Self::WriteBits
            | Self::WriteRegisters
            | Self::ReadWrite => true,
            Self::WriteBit | Self::WriteRegister | Self::Mask | Self::Opaque => false,
        }
    }

    pub(super) fn writes_values(self) -> bool {
        match self {
            Self::WriteBit
            | Self::WriteRegister
            | Self::WriteBits
            | Self::WriteRegisters
            | Self::ReadWrite => true,
            Self::ReadBits | Self::ReadRegisters | Self::Mask | Self::Opaque => false,
        }
    }
}

/// The fields beside `tid`, `unit` and `fc`.
pub(super) fn fields(side: Side, function: Function) -> Vec<Known> {
    let long = |name| (name, Some(AttributeKind::Long));
    let values = || ("values", Some(AttributeKind::Set(Box::new(AttributeKind::Long))));
    let opaque = || vec![("data", None)];
    match (side, function) {
        (_, Function::Opaque) => opaque(),
        (Side::Client, Function::ReadBits | Function::ReadRegisters)
        | (Side::Server, Function::WriteBits | Function::WriteRegisters) => {
            vec![long("addr"), long("count")]
        }
        (
            Side::Client,
            Function::WriteBit
            | Function::WriteRegister
            | Function::WriteBits
            | Function::WriteRegisters,
        )
        | (Side::Server, Function::WriteBit | Function::WriteRegister) => {
            vec![long("addr"), long("count"), values()]
        }
        (_, Function::Mask) => {
            vec![long("addr"), long("count"), long("and_mask"), long("or_mask")]
        }
        (Side::Client, Function::ReadWrite) => {
            vec![long("addr"), long("count"), long("write_addr"), long("write_count"), values()]
        }
        (Side::Server, Function::ReadBits | Function::ReadRegisters | Function::ReadWrite) => {
            vec![values()]
        }
    }
}

/// The tree of one whole frame, whose header the framer has judged.
pub(crate) fn read(side: Side, frame: &[u8]) -> Result<Value<'_>, Violation> {
    let [t0, t1, _, _, _, _, unit, code, data @ ..] = frame else {
        return Err(Violation::new(Reason::Size, "the frame ends before its function code"));
    };
    let mut tree = Tree { members: Vec::with_capacity(8), code: *code };
    tree.int("tid", u16::from_be_bytes([*t0, *t1]));
    tree.int("unit", u16::from(*unit));
    tree.int("fc", u16::from(*code));
    let rest = Rest { data, code: *code };
    match side {
        Side::Client => tree.request(rest)?,
        Side::Server => tree.reply(rest)?,
    }
    Ok(Value::Map(tree.members))
}

/// What was not read yet of a frame's data.
struct Rest<'a> {
    data: &'a [u8],
    code: u8,
}

impl<'a> Rest<'a> {
    fn u16(&mut self) -> Result<u16, Violation> {
        let [high, low, rest @ ..] = self.data else { return Err(self.size()) };
        self.data = rest;
        Ok(u16::from_be_bytes([*high, *low]))
    }

    /// A count of bytes, and exactly so many to the end.
    fn counted(&mut self) -> Result<&'a [u8], Violation> {
        match self.data {
            [count, rest @ ..] if usize::from(*count) == rest.len() => {
                self.data = &[];
                Ok(rest)
            }
            _ => Err(self.size()),
        }
    }

    fn end(&self) -> Result<(), Violation> {
        if self.data.is_empty() { Ok(()) } else { Err(self.size()) }
    }

    fn size(&self) -> Violation {
        let code = self.code;
        Violation::new(Reason::Size, format!("a message of function {code} has another size"))
    }
}

struct Tree<'a> {
    members: Vec<(Cow<'static, str>, Value<'a>)>,
    code: u8,
}

impl<'a> Tree<'a> {
    fn int(&mut self, name: &'static str, value: u16) {
        self.members.push((name.into(), Value::Int(value.into())));
    }

    fn values(&mut self, values: impl Iterator<Item = u16>) {
        let list = values.map(|value| Value::Int(value.into())).collect();
        self.members.push(("values".into(), Value::List(list)));
    }

    /// A first address and how many from there: within bounds, and within the 65,536 there are.
    fn range(
        &mut self,
        (at, addr): (&'static str, u16),
        (of, count): (&'static str, u16),
        most: u16,
    ) -> Result<(), Violation> {
        let fault = |sentence| Err(Violation::at(Reason::Range, format!("/{of}"), sentence));
        if !(1..=most).contains(&count) {
            let code = self.code;
            return fault(format!("`{of}` is {count}; function {code} has 1 to {most}"));
        }
        if u32::from(addr) + u32::from(count) > 65_536 {
            return fault(format!("`{at}` {addr} and `{of}` {count} go beyond address 65535"));
        }
        self.int(at, addr);
        self.int(of, count);
        Ok(())
    }

    fn request(&mut self, mut rest: Rest<'a>) -> Result<(), Violation> {
        match Function::of(self.code) {
            Function::ReadBits => self.read(&mut rest, 2000)?,
            Function::ReadRegisters => self.read(&mut rest, 125)?,
            Function::WriteBit => self.one_bit(&mut rest)?,
            Function::WriteRegister => self.one_register(&mut rest)?,
            Function::WriteBits => {
                self.read(&mut rest, 1968)?;
                self.bits(&mut rest)?;
            }
            Function::WriteRegisters => {
                self.read(&mut rest, 123)?;
                self.registers(&mut rest, "count")?;
            }
            Function::Mask => self.mask(&mut rest)?,
            Function::ReadWrite => {
                self.read(&mut rest, 125)?;
                let (addr, count) = (rest.u16()?, rest.u16()?);
                self.range(("write_addr", addr), ("write_count", count), 121)?;
                self.registers(&mut rest, "write_count")?;
            }
            Function::Opaque => self.opaque(&mut rest),
        }
        rest.end()
    }

    fn reply(&mut self, mut rest: Rest<'a>) -> Result<(), Violation> {
        if self.code >= 0x80 {
            let [code] = rest.data else { return Err(rest.size()) };
            self.int("exception", u16::from(*code));
            return Ok(());
        }
        match Function::of(self.code) {
            Function::ReadBits => {
                let bytes = rest.counted()?;
                self.values(bits(bytes));
            }
            Function::ReadRegisters | Function::ReadWrite => {
                let bytes = rest.counted()?;
                if bytes.len() % 2 != 0 {
                    return Err(rest.size());
                }
                self.values(words(bytes));
            }
            Function::WriteBit => self.one_bit(&mut rest)?,
            Function::WriteRegister => self.one_register(&mut rest)?,
            Function::WriteBits => self.read(&mut rest, 1968)?,
            Function::WriteRegisters => self.read(&mut rest, 123)?,
            Function::Mask => self.mask(&mut rest)?,
            Function::Opaque => self.opaque(&mut rest),
        }
        rest.end()
    }

    fn read(&mut self, rest: &mut Rest<'_>, most: u16) -> Result<(), Violation> {
        let (addr, count) = (rest.u16()?, rest.u16()?);
        self.range(("addr", addr), ("count", count), most)
    }

    fn one_bit(&mut self, rest: &mut Rest<'_>) -> Result<(), Violation> {
        let (addr, value) = (rest.u16()?, rest.u16()?);
        let bit = match value {
            0 => 0,
            0xff00 => 1,
            other => {
                let sentence = format!("a coil is set to {other:#06x}, not 0x0000 or 0xff00");
                return Err(Violation::at(Reason::Range, "/values/0", sentence));
            }
        };
        self.range(("addr", addr), ("count", 1), 1)?;
        self.values(std::iter::once(bit));
        Ok(())
    }

    fn one_register(&mut self, rest: &mut Rest<'_>) -> Result<(), Violation> {
        let (addr, value) = (rest.u16()?, rest.u16()?);
        self.range(("addr", addr), ("count", 1), 1)?;
        self.values(std::iter::once(value));
        Ok(())
    }

    fn mask(&mut self, rest: &mut Rest<'_>) -> Result<(), Violation> {
        let (addr, and, or) = (rest.u16()?, rest.u16()?, rest.u16()?);
        self.range(("addr", addr), ("count", 1), 1)?;
        self.int("and_mask", and);
        self.int("or_mask", or);
        Ok(())
    }

    fn count(&self, name: &str) -> usize {
        let found = self.members.iter().find(|(known, _)| known == name);
        match found {
            Some((_, Value::Int(count))) => usize::try_from(*count).unwrap_or(0),
            _ => 0,
        }
    }

    fn bits(&mut self, rest: &mut Rest<'_>) -> Result<(), Violation> {
        let (count, bytes) = (self.count("count"), rest.counted()?);
        if bytes.len() != count.div_ceil(8) {
            return Err(rest.size());
        }
        if bits(bytes).skip(count).any(|bit| bit != 0) {
            let sentence = format!("bits beyond the {count} announced are set");
            return Err(Violation::at(Reason::Filler, "/values", sentence));
        }
        self.values(bits(bytes).take(count));
        Ok(())
    }

    fn registers(&mut self, rest: &mut Rest<'_>, of: &str) -> Result<(), Violation> {
        let bytes = rest.counted()?;
        if bytes.len() != 2 * self.count(of) {
            return Err(rest.size());
        }
        self.values(words(bytes));
        Ok(())
    }

    fn opaque(&mut self, rest: &mut Rest<'a>) {
        let data = std::mem::take(&mut rest.data);
        self.members.push(("data".into(), Value::Bytes(Cow::Borrowed(data))));
    }
}

/// Bits, the lowest of each byte first.
fn bits(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.iter().flat_map(|byte| (0..8).map(move |at| u16::from(byte >> at & 1)))
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.chunks_exact(2).map(|pair| match pair {
        [high, low] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    })
}
