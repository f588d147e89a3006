//! `words`, `delimited` and `kv` as written: what stands between their parts.

use super::{charset, word};
use crate::contract::charset::Charset;
use crate::contract::decode::{DecodeRule, Delimited, Pairs, Words};
use crate::contract::frame::overlaps_itself;
use crate::document::Table;

pub(super) fn words(table: &Table<'_, '_>) -> Option<DecodeRule> {
    let charset = charset(table);
    let sep = separator(table, "sep", charset, Some(" "));
    let max = table.integer("max").map_or(Some(64), |max| {
        let most = usize::try_from(max.value).ok().filter(|n| (1..=1024).contains(n));
        if most.is_none() {
            table.error("K-02", max.span, format!("`max` is {}, outside 1 to 1024", max.value));
        }
        most
    });
    Some(DecodeRule::Words(Words { charset: charset?, sep: sep?, max: max? }))
}

pub(super) fn delimited(table: &Table<'_, '_>) -> Option<DecodeRule> {
    let charset = charset(table);
    let sep = separator(table, "sep", charset, None);
    let names = names(table);
    let quote = match table.text("quote") {
        None => None,
        Some(text) => {
            let mut chars = text.value.chars();
            match (chars.next(), chars.next()) {
                (Some(quote), None) if sep.as_deref().is_none_or(|sep| !sep.contains(quote)) => {
                    Some(quote)
                }
                _ => {
                    let message = "a quote is one character that is not in `sep`";
                    table.error("K-02", text.span, message);
                    return None;
                }
            }
        }
    };
    Some(DecodeRule::Delimited(Delimited { charset: charset?, sep: sep?, quote, names: names? }))
}

pub(super) fn pairs(table: &Table<'_, '_>) -> Option<DecodeRule> {
    let charset = charset(table);
    let sep = separator(table, "sep", charset, None);
    let eq = separator(table, "eq", charset, None);
    let ordered = word(table, "order", &["any", "as-listed"]) == 1;
    if !table.has("names") {
        table.missing("K-10", "names", "the keys there are: `names = [\"id\", \"op\"]`");
        return None;
    }
    let names = names(table);
    let (sep, eq) = (sep?, eq?);
    if sep.contains(&*eq) || eq.contains(&*sep) {
        let message = "`sep` and `eq` cannot be told apart";
        table.error("K-12", table.key_span("eq"), message);
    } else if let Some(both) = meet(&sep, &eq).or_else(|| meet(&eq, &sep)) {
        let message = format!(
            "`sep` and `eq` share `{both}` where they meet, so two parsers may disagree which one \
             it belongs to"
        );
        let hint = "texts of which none begins as the other ends: `;` and `=`";
        table.error_with_hint("K-12", table.key_span("eq"), message, hint);
    }
    let names = names?;
    if let Some(name) = names.iter().find(|name| name.contains(&*sep) || name.contains(&*eq)) {
        let message = format!("the key `{name}` holds `sep` or `eq`, so it can never be read");
        table.error("K-12", table.key_span("names"), message);
    }
    Some(DecodeRule::Pairs(Pairs { charset: charset?, sep, eq, ordered, names }))
}

/// With what the second begins as the first ends, if they can overlap.
fn meet<'s>(first: &str, second: &'s str) -> Option<&'s str> {
    let ends = second.char_indices().skip(1).filter_map(|(at, _)| second.get(..at));
    ends.filter(|head| first.ends_with(head)).last()
}

/// What stands between two parts: 1 to 8 bytes that do not overlap themselves, no letter where one
/// may be half of a character.
fn separator(
    table: &Table<'_, '_>,
    key: &'static str,
    charset: Option<Charset>,
    default: Option<&str>,
) -> Option<Box<str>> {
    let Some(text) = table.text(key) else {
        if default.is_none() && !table.has(key) {
            table.missing("K-10", key, format!("`{key} = \";\"`"));
        }
        return default.map(Into::into);
    };
    let letters = text.value.contains(|c: char| c.is_ascii_alphabetic());
    if !(1..=8).contains(&text.value.len()) {
        table.error("K-02", text.span, format!("`{key}` has 1 to 8 bytes"));
        return None;
    }
    if letters && charset.is_some_and(Charset::hides_letters) {
        let message = format!("`{key}` holds a letter, which may be half of a character here");
        table.error("K-12", text.span, message);
        return None;
    }
    if let Some(charset) = charset.filter(|charset| charset.encode(text.value).is_none()) {
        let message = format!("`{key}` has characters that `{}` has not", charset.name());
        table.error("K-12", text.span, message);
        return None;
    }
    if overlaps_itself(text.value.as_bytes()) {
        let message =
            format!("`{key}` overlaps itself, so two parsers may disagree where a part ends");
        table.error("K-12", text.span, message);
        return None;
    }
    Some(text.value.into())
}

fn names(table: &Table<'_, '_>) -> Option<Vec<Box<str>>> {
    let mut names: Vec<Box<str>> = Vec::new();
    for name in table.texts("names").unwrap_or_default() {
        let good = (1..=64).contains(&name.value.len())
            && name.value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        if !good || names.iter().any(|known| **known == *name.value) {
            let message = format!("`{}` is no name, or is there twice", name.value);
            table.error("K-02", name.span, message);
            return None;
        }
        names.push(name.value.into());
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use crate::contract::Contract;

    /// What is found in a contract whose client's messages are read so.
    fn findings(decode: &str) -> String {
        let text = format!(
            "contract = \"t/1\"\n[client]\nframe = {{ kind = \"lines\" }}\ndecode = {{ {decode} }}\n"
        );
        let loaded = Contract::load("t.toml", &text, &|_| Err("no file".to_owned()));
        let found = loaded.err().unwrap_or_default();
        found.iter().map(|finding| format!("{finding}\n")).collect()
    }

    // K-12
    #[test]
    fn a_separator_that_overlaps_itself_is_refused() {
        let names = "names = [\"a\", \"b\"]";
        for sep in ["::", "aba", "  ", "|-|"] {
            for decode in [
                format!("kind = \"delimited\", sep = \"{sep}\", quote = '\"', {names}"),
                format!("kind = \"words\", sep = \"{sep}\""),
                format!("kind = \"kv\", sep = \"{sep}\", eq = \"=\", {names}"),
                format!("kind = \"kv\", sep = \";\", eq = \"{sep}\", {names}"),
            ] {
                let found = findings(&decode);
                assert!(found.contains("K-12"), "{decode}: {found}");
                assert!(found.contains("overlaps itself"), "{decode}: {found}");
            }
        }
        for sep in [":", ":;", ", ", "ab"] {
            let found =
                findings(&format!("kind = \"delimited\", sep = \"{sep}\", quote = '\"', {names}"));
            assert!(!found.contains("K-12"), "{sep}: {found}");
        }
    }

    // K-12
    #[test]
    fn separators_that_overlap_each_other_are_refused() {
        let of = |sep: &str, eq: &str| {
            findings(&format!("kind = \"kv\", sep = \"{sep}\", eq = \"{eq}\", names = [\"a\"]"))
        };
        for (sep, eq, both) in
            [("-;", "=-", "-"), (";=", "=:", "="), ("é;", ":é", "é"), ("abc", "bcd", "bc")]
        {
            let found = of(sep, eq);
            let wanted = format!("[K-12]: `sep` and `eq` share `{both}` where they meet");
            assert!(found.contains(&wanted) && found.contains("hint"), "{sep} {eq}: {found}");
        }
        assert!(of(";", ";=").contains("cannot be told apart"));
        for (sep, eq) in [(";", "="), (";-", "=-"), (", ", ": ")] {
            assert!(!of(sep, eq).contains("K-12"), "{sep} {eq}: {}", of(sep, eq));
        }
        let found = findings("kind = \"kv\", sep = \";\", eq = \"-\", names = [\"a\", \"b-c\"]");
        assert!(found.contains("[K-12]: the key `b-c` holds"), "{found}");
    }

    // K-12
    #[test]
    fn a_separator_that_no_payload_can_hold_is_refused() {
        let names = "names = [\"a\"]";
        for sep in ["\\n", "\\r", ";\\n"] {
            for decode in [
                format!("kind = \"delimited\", charset = \"utf-8\", sep = \"{sep}\", {names}"),
                format!("kind = \"words\", charset = \"utf-8\", sep = \"{sep}\""),
                format!("kind = \"kv\", charset = \"utf-8\", sep = \"{sep}\", eq = \"=\", {names}"),
            ] {
                let found = loaded(&decode);
                assert!(
                    found.contains("[K-12]: `sep` holds what ends a frame"),
                    "{decode}: {found}"
                );
            }
        }
        for (charset, sep) in [("ascii", "é"), ("latin1", "가"), ("euc-kr", "믜")] {
            let decode = format!("kind = \"delimited\", charset = \"{charset}\", sep = \"{sep}\"");
            let found = loaded(&decode);
            let wanted = format!("[K-12]: `sep` has characters that `{charset}` has not");
            assert!(found.contains(&wanted), "{decode}: {found}");
        }
        let fine = loaded("kind = \"delimited\", charset = \"euc-kr\", sep = \"가\"");
        assert!(!fine.contains("K-12"), "{fine}");
    }

    /// As [`findings`], with a message and a server.
    fn loaded(decode: &str) -> String {
        findings(&format!(
            "{decode} }}\n[[client.message]]\nname = \"m\"\naction = \"m\"\nexpects = \"none\"\n[server]\nframe = {{ \
             kind = \"raw\", danger_uninspected = \"it says nothing of use\""
        ))
    }

    #[test]
    fn a_quote_in_the_separator_is_refused() {
        for (sep, quote) in [("'", "'"), (";'", "'"), (";", "''"), (";", "")] {
            let found =
                findings(&format!("kind = \"delimited\", sep = \"{sep}\", quote = \"{quote}\""));
            assert!(found.contains("not in `sep`"), "{sep} {quote}: {found}");
        }
    }
}
