//! `Columns`: a message of fixed columns, as banks and insurers exchange them (전문).
//!
//! Each column is decoded alone and must decode completely. A record that is decoded first and cut
//! afterwards is wrong twice: characters are not bytes, and half a syllable at a column's end would
//! swallow the first byte of the next.

use super::FieldType;
use crate::contract::calendar::{is_day, is_short_day, is_time};
use crate::contract::charset::Charset;
use crate::contract::pattern::RuleError;
use crate::contract::value::Value;
use crate::rejection::{Reason, Violation};
use std::borrow::Cow;

/// The columns of a direction.
#[derive(Debug, Clone, PartialEq)]
pub struct Columns {
    /// The charset of its texts.
    pub charset: Charset,
    /// Whether the whole frame is read, or its payload.
    pub from_frame: bool,
    columns: Vec<Column>,
}

/// One column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name in the message.
    pub name: Box<str>,
    /// Its width on the wire.
    pub bytes: usize,
    /// What it holds.
    pub kind: ColumnType,
    /// The only value that it may have.
    pub constant: Option<Value<'static>>,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// Text padded with spaces, on the left with `right`-aligned ones.
    Text {
        /// Whether the text stands at the right end.
        right: bool,
    },
    /// ASCII digits that are no number: codes and accounts keep their zeros.
    Digits,
    /// An integer of ASCII digits, padded with zeros on the left.
    Number(Sign),
    /// A day, `YYYYMMDD` or `YYMMDD`.
    Date,
    /// A time of day, `hhmmss`.
    Time,
    /// Spaces, which are no part of the message.
    Blank,
    /// Any bytes.
    Bytes,
}

/// Where a number may have a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Nowhere.
    None,
    /// One `+` or `-` may stand in the first place.
    Leading,
    /// One `+` or `-` may stand in the last place.
    Trailing,
}

impl Column {
    fn told(&self) -> String {
        let holds = match self.kind {
            ColumnType::Text { right: false } => "a text, then spaces",
            ColumnType::Text { right: true } => "spaces, then a text",
            ColumnType::Digits => "ASCII digits",
            ColumnType::Number(Sign::None) => "a number in ASCII digits, zeros ahead",
            ColumnType::Number(Sign::Leading) => {
                "a number in ASCII digits, zeros ahead; a sign may stand first"
            }
            ColumnType::Number(Sign::Trailing) => {
                "a number in ASCII digits, zeros ahead; a sign may stand last"
            }
            ColumnType::Date if self.bytes == 6 => "a day `YYMMDD`",
            ColumnType::Date => "a day `YYYYMMDD`",
            ColumnType::Time => "a time `hhmmss`",
            ColumnType::Blank => "spaces, which are no part of the message",
            ColumnType::Bytes => "any bytes",
        };
        let constant = self.constant.as_ref().map(|value| format!(", always {}", value.shown()));
        format!("{holds}{}", constant.unwrap_or_default())
    }
}

impl Columns {
    /// These columns, one behind the other.
    ///
    /// # Errors
    /// K-02 for two of one name, a width that the type cannot have, or a constant that does not fit.
    pub fn new(
        charset: Charset,
        from_frame: bool,
        columns: Vec<Column>,
    ) -> Result<Self, RuleError> {
        let bad = |message: String| Err(RuleError::new("K-02", message));
        for (at, column) in columns.iter().enumerate() {
            let Column { name, bytes, kind, .. } = column;
            if columns.iter().take(at).any(|other| other.name == *name) {
                return bad(format!("two columns are called `{name}`"));
            }
            let fits = match kind {
                ColumnType::Number(Sign::None) => (1..=18).contains(bytes),
                ColumnType::Number(_) => (2..=19).contains(bytes),
                ColumnType::Date => matches!(bytes, 6 | 8),
                ColumnType::Time => *bytes == 6,
                _ => *bytes > 0,
            };
            if !fits {
                return bad(format!("a column of this type cannot have {bytes} bytes"));
            }
            if let Some(constant) = &column.constant
                && column.put(constant, charset, &mut Vec::new()).is_none()
            {
                let constant = constant.shown();
                return bad(format!("column `{name}` cannot hold its constant {constant}"));
            }
        }
        if columns.is_empty() {
            return bad("`columns` is empty".to_owned());
        }
        Ok(Self { charset, from_frame, columns })
    }

    /// Each column by its name, its width and what it holds, in the order of the wire, for people.
    pub(in crate::contract) fn told(&self) -> impl Iterator<Item = (&str, usize, String)> {
        self.columns.iter().map(|column| (&*column.name, column.bytes, column.told()))
    }

    /// Bytes of every message.
    #[must_use]
    pub fn size(&self) -> usize {
        self.columns.iter().fold(0, |sum, column| sum.saturating_add(column.bytes))
    }

    /// The names of the columns whose value is neither fixed nor blank.
    pub fn variable(&self) -> impl Iterator<Item = &str> {
        let variable = |c: &&Column| c.constant.is_none() && c.kind != ColumnType::Blank;
        self.columns.iter().filter(variable).map(|column| &*column.name)
    }

    /// The type of a column, if there is one of this name that is part of the message.
    #[must_use]
    pub fn field_type(&self, name: &str) -> Option<FieldType> {
        let column = self.columns.iter().find(|column| *column.name == *name)?;
        let digits =
            |width: usize| 10_i64.checked_pow(u32::try_from(width).ok()?).map(|over| over - 1);
        match column.kind {
            ColumnType::Blank => None,
            ColumnType::Bytes => Some(FieldType::Bytes),
            ColumnType::Number(Sign::None) => Some(FieldType::Int(0, digits(column.bytes)?)),
            ColumnType::Number(_) => {
                // Without its sign the number has one digit more.
                let low = digits(column.bytes.checked_sub(1)?)?;
                Some(FieldType::Int(-low, digits(column.bytes.min(18))?))
            }
            _ => Some(FieldType::Text),
        }
    }

    /// The message in these bytes.
    ///
    /// # Errors
    /// `size`, or the first column that does not hold.
    pub fn read<'a>(&self, bytes: &'a [u8]) -> Result<Value<'a>, Violation> {
        if bytes.len() != self.size() {
            let sentence =
                format!("a message of {} bytes, and its columns have {}", bytes.len(), self.size());
            return Err(Violation::new(Reason::Size, sentence));
        }
        let mut members = Vec::with_capacity(self.columns.len());
        for (column, bytes) in self.cut(bytes) {
            if let Some(value) = column.read(bytes, self.charset)? {
                members.push((Cow::Owned(column.name.to_string()), value));
            }
        }
        Ok(Value::Map(members))
    }

    /// The columns that hold in a message of the right size of which another does not. Each column
    /// stands for itself, so these are what they say.
    #[must_use]
    pub fn salvage<'a>(&self, bytes: &'a [u8]) -> Option<Value<'a>> {
        let hold = |(column, bytes): (&Column, &'a [u8])| {
            let value = column.read(bytes, self.charset).ok()??;
            Some((Cow::Owned(column.name.to_string()), value))
        };
        (bytes.len() == self.size()).then(|| Value::Map(self.cut(bytes).filter_map(hold).collect()))
    }

    fn cut<'c, 'a>(&'c self, bytes: &'a [u8]) -> impl Iterator<Item = (&'c Column, &'a [u8])> {
        self.columns.iter().scan(bytes, |rest, column| {
            let (bytes, behind) = rest.split_at_checked(column.bytes)?;
            *rest = behind;
            Some((column, bytes))
        })
    }

    /// The bytes of a tree, if it is one of these columns.
    #[must_use]
    pub fn write(&self, tree: &Value<'_>) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.size());
        let blank = Value::Null;
        for column in &self.columns {
            let value = match column.kind {
                ColumnType::Blank => &blank,
                _ => tree.member(&column.name)?,
            };
            column.put(value, self.charset, &mut bytes)?;
        }
        Some(bytes)
    }

    /// A value as the column of this name holds it, as wide as the column.
    #[must_use]
    pub fn spelled(&self, name: &str, value: &Value<'_>) -> Option<Vec<u8>> {
        let column = self.columns.iter().find(|column| *column.name == *name)?;
        let mut bytes = Vec::with_capacity(column.bytes);
        column.put(value, self.charset, &mut bytes)?;
        Some(bytes)
    }
}

impl Column {
    /// The value in these bytes; none for a blank.
    fn read<'a>(&self, bytes: &'a [u8], charset: Charset) -> Result<Option<Value<'a>>, Violation> {
        let value = match self.kind {
            ColumnType::Blank => {
                let blank = bytes.iter().all(|b| *b == b' ');
                return if blank {
                    Ok(None)
                } else {
                    Err(self.fault(Reason::Filler, "holds something else than spaces"))
                };
            }
            ColumnType::Text { right } => self.text(bytes, right, charset)?,
            ColumnType::Digits => Value::Text(Cow::Borrowed(self.digits(bytes)?)),
            ColumnType::Number(sign) => Value::Int(self.number(bytes, sign)?),
            ColumnType::Date | ColumnType::Time => {
                let digits = self.digits(bytes)?;
                let (real, what) = match self.kind {
                    ColumnType::Time => (is_time(bytes), "is no time of day"),
                    _ if bytes.len() == 6 => (is_short_day(bytes), "is no day of the calendar"),
                    _ => (is_day(bytes), "is no day of the calendar"),
                };
                if !real {
                    return Err(self.fault(Reason::Date, what));
                }
                Value::Text(Cow::Borrowed(digits))
            }
            ColumnType::Bytes => Value::Bytes(Cow::Borrowed(bytes)),
        };
        match &self.constant {
            Some(constant) if !constant.same_scalar(&value) => {
                Err(self.fault(Reason::Constant, "is not its constant"))
            }
            _ => Ok(Some(value)),
        }
    }

    /// A space is one byte 0x20, which is no part of any other character; padding with U+3000 would
    /// be read as text by one program and as nothing by another.
    fn text<'a>(
        &self,
        bytes: &'a [u8],
        right: bool,
        charset: Charset,
    ) -> Result<Value<'a>, Violation> {
        let space = |b: &u8| *b == b' ';
        let (bare, padded) = if right {
            let start = bytes.iter().take_while(|b| space(b)).count();
            (bytes.get(start..).unwrap_or_default(), bytes.last().is_some_and(space))
        } else {
            let end = bytes.len() - bytes.iter().rev().take_while(|b| space(b)).count();
            (bytes.get(..end).unwrap_or_default(), bytes.first().is_some_and(space))
        };
        if padded && !bare.is_empty() {
            let side = if right { "ends" } else { "begins" };
            return Err(self.fault(Reason::Filler, &format!("{side} with a space")));
        }
        let text = charset.decode(bare).map_err(|_| {
            self.fault(Reason::Charset, "is not whole text in the charset of the columns")
        })?;
        if text.starts_with('\u{3000}') || text.ends_with('\u{3000}') {
            return Err(self.fault(Reason::Filler, "is padded with U+3000, which is no space"));
        }
        Ok(Value::Text(text))
    }

    fn digits<'a>(&self, bytes: &'a [u8]) -> Result<&'a str, Violation> {
        match std::str::from_utf8(bytes) {
            Ok(text) if bytes.iter().all(u8::is_ascii_digit) => Ok(text),
            _ => {
                let what = format!("is not {} digits 0 to 9", bytes.len());
                Err(self.fault(Reason::Digits, &what))
            }
        }
    }

    fn number(&self, bytes: &[u8], sign: Sign) -> Result<i64, Violation> {
        let signed = |b: &u8| matches!(b, b'+' | b'-');
        let (sign, digits) = match (sign, bytes) {
            (Sign::Leading, [first, digits @ ..]) if signed(first) => (Some(*first), digits),
            (Sign::Trailing, [digits @ .., last]) if signed(last) => (Some(*last), digits),
            _ => (None, bytes),
        };
        let text = self.digits(digits)?;
        let most = 18;
        let number = text
            .parse::<i64>()
            .ok()
            .filter(|_| text.trim_start_matches('0').len() <= most)
            .ok_or_else(|| self.fault(Reason::Digits, "is a number of over 18 digits"))?;
        match sign {
            Some(b'-') if number == 0 => Err(self.fault(Reason::Digits, "is a negative zero")),
            Some(b'-') => Ok(-number),
            _ => Ok(number),
        }
    }

    fn put(&self, value: &Value<'_>, charset: Charset, out: &mut Vec<u8>) -> Option<()> {
        let start = out.len();
        match (self.kind, value) {
            (ColumnType::Blank, _) => out.resize(start + self.bytes, b' '),
            (ColumnType::Text { right }, Value::Text(text)) => {
                let bytes = charset.encode(text)?;
                let padding = self.bytes.checked_sub(bytes.len())?;
                out.resize(start + if right { padding } else { 0 }, b' ');
                out.extend_from_slice(&bytes);
                out.resize(start + self.bytes, b' ');
            }
            (ColumnType::Digits | ColumnType::Date | ColumnType::Time, Value::Text(text)) => {
                out.extend_from_slice(text.as_bytes());
            }
            (ColumnType::Number(sign), Value::Int(number)) => {
                let digits = number.unsigned_abs().to_string();
                let negative = *number < 0;
                let width = self.bytes.checked_sub(usize::from(negative))?;
                let digits = format!("{digits:0>width$}");
                out.extend_from_slice(
                    match (sign, negative) {
                        (Sign::Leading, true) => format!("-{digits}"),
                        (Sign::Trailing, true) => format!("{digits}-"),
                        (_, false) => digits,
                        (Sign::None, true) => return None,
                    }
                    .as_bytes(),
                );
            }
            (ColumnType::Bytes, Value::Bytes(bytes)) => out.extend_from_slice(bytes),
            _ => return None,
        }
        // What was written is what would be read, or it is not written.
        let written = out.get(start..)?;
        let again = (written.len() == self.bytes).then(|| self.read(written, charset).ok())??;
        again.is_none_or(|again| again.same_scalar(value)).then_some(())
    }

    fn fault(&self, reason: Reason, what: &str) -> Violation {
        let name = &self.name;
        Violation::at(reason, format!("/{name}"), format!("column `{name}` {what}"))
    }
}

#[cfg(test)]
mod tests;
