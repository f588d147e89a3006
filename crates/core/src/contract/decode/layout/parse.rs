//! An item as a contract writes it: `name: type[count] = constant`.

use super::{Constant, Count, Item, Kind, Layout, Writing};
use crate::contract::pattern::RuleError;
use crate::contract::units;

/// Largest fixed count.
const MOST: usize = 16 << 20;

pub(super) fn item(text: &str, before: &Layout, writing: Writing) -> Result<Item, RuleError> {
    let bad = |message: String| RuleError::new("K-02", message);
    let unread = || {
        bad(format!("`{text}` is no item of a layout"))
            .hint("`\"name: type\"`, then `[count]` and `= constant` if wanted")
    };
    let (name, rest) = text.split_once(':').ok_or_else(unread)?;
    let (rest, constant) = match rest.split_once('=') {
        Some((rest, constant)) => (rest, Some(constant.trim())),
        None => (rest, None),
    };
    let (kind, count) = match rest.split_once('[') {
        Some((kind, count)) => (kind, Some(count.trim_end().strip_suffix(']').ok_or_else(unread)?)),
        None => (rest, None),
    };
    let (name, kind) = (name.trim(), kind.trim());
    if !is_name(name) {
        return Err(bad(format!("`{name}` is no name of an item: letters, digits, `_`")));
    }
    if before.names().any(|known| known == name) {
        return Err(bad(format!("the layout has two items `{name}`")));
    }
    if before.last().is_some_and(|last| last.count == Count::Rest) {
        return Err(bad(format!("`{name}` stands behind an item that takes all the rest")));
    }
    let kind = self::kind(kind, writing)?;
    let count = match count {
        Some(count) => self::count(count.trim(), before)?,
        None => Count::One,
    };
    let is_bytes = matches!(kind, Kind::Bytes | Kind::Text(_));
    if is_bytes && count == Count::One {
        let hint = format!("`{name}: bytes[8]`, `[length]` for an earlier item, or `[*]`");
        return Err(bad(format!("`{name}` does not say how many bytes it has")).hint(hint));
    }
    let constant = match constant {
        Some(text) => Some(self::constant(text, name, kind, count)?),
        None => None,
    };
    Ok(Item { name: name.into(), kind, count, constant })
}

fn kind(word: &str, writing: Writing) -> Result<Kind, RuleError> {
    let (base, little) = match (word.strip_suffix("be"), word.strip_suffix("le")) {
        (Some(base), _) => (base, false),
        (_, Some(base)) => (base, true),
        _ => (word, writing.little),
    };
    let int = |width, signed| Kind::Int { width, signed, little };
    let ordered = match base {
        "u16" => Some(int(2, false)),
        "u24" => Some(int(3, false)),
        "u32" => Some(int(4, false)),
        "u64" => Some(int(8, false)),
        "i16" => Some(int(2, true)),
        "i32" => Some(int(4, true)),
        "i64" => Some(int(8, true)),
        "f32" => Some(Kind::Float { width: 4, little }),
        "f64" => Some(Kind::Float { width: 8, little }),
        _ => None,
    };
    if let Some(kind) = ordered {
        return Ok(kind);
    }
    match word {
        "u8" => Ok(int(1, false)),
        "i8" => Ok(int(1, true)),
        "bool" => Ok(Kind::Bool),
        "varint" => Ok(Kind::Varint),
        "bytes" => Ok(Kind::Bytes),
        "text" => writing.charset.map(Kind::Text).ok_or_else(|| {
            RuleError::new("K-02", "a layout with `text` needs a `charset`")
                .hint("`charset = \"utf-8\"` in `decode`")
        }),
        _ => Err(RuleError::new("K-02", format!("there is no type `{word}`")).hint(
            "u8 u16 u24 u32 u64 i8 i16 i32 i64 f32 f64, with `be` or `le`; bool varint bytes text",
        )),
    }
}

fn count(word: &str, before: &Layout) -> Result<Count, RuleError> {
    if word == "*" {
        return Ok(Count::Rest);
    }
    if let Ok(count) = word.parse::<usize>() {
        return match count {
            1..=MOST => Ok(Count::Fixed(count)),
            _ => Err(RuleError::new("K-02", format!("a count is 1 to {MOST}"))),
        };
    }
    let at = before.0.iter().position(|item| *item.name == *word);
    let number = at.filter(|at| {
        before.0.get(*at).is_some_and(|item| {
            item.count == Count::One && matches!(item.kind, Kind::Int { .. } | Kind::Varint)
        })
    });
    number.map(Count::Item).ok_or_else(|| {
        let message = format!("count `{word}` is no number and no earlier integer item");
        RuleError::new("K-02", message).hint("a number, the name of an earlier item, or `*`")
    })
}

fn constant(text: &str, name: &str, kind: Kind, count: Count) -> Result<Constant, RuleError> {
    let bad = |message: String| RuleError::new("K-02", message);
    if text.starts_with("hex:") {
        let bytes = units::bytes(text).map_err(bad)?;
        return match (kind, count) {
            (Kind::Bytes, Count::Fixed(size)) if size == bytes.len() => Ok(Constant::Bytes(bytes)),
            _ => Err(bad(format!("constant of {} bytes for `{name}`", bytes.len()))
                .hint("`bytes[n]` of just that size")),
        };
    }
    let number = match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    let number = number.ok_or_else(|| {
        bad(format!("constant `{text}` of `{name}` is neither a number nor `hex:` and digits"))
    })?;
    let (lo, hi) = kind.bounds();
    let whole = matches!(kind, Kind::Int { .. } | Kind::Varint) && count == Count::One;
    if !whole || number < lo || number > hi {
        return Err(bad(format!("`{name}` cannot be {number}")));
    }
    Ok(Constant::Int(number))
}

fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
