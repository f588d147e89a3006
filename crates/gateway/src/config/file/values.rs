//! Values of a configuration as written: addresses, durations, words, each with its bounds.

use super::VALUE;
use segwan_core::contract::units;
use segwan_core::document::{Placed, Table};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use toml::de::DeValue;

/// An address to listen on.
pub(super) fn address(table: &Table<'_, '_>, key: &'static str) -> Option<Placed<SocketAddr>> {
    let text = table.text(key)?;
    match text.value.parse() {
        Ok(value) => Some(Placed { value, span: text.span }),
        Err(_) => {
            let message = format!("`{key}` is `{}`, which is no address and port", text.value);
            let hint = "numbers, as in `0.0.0.0:7443`, `127.0.0.1:7443` or `[::]:7443`";
            table.error_with_hint(VALUE, text.span, message, hint);
            None
        }
    }
}

/// An address that has to be there.
pub(super) fn needed_address(
    table: &Table<'_, '_>,
    key: &'static str,
    example: &str,
) -> Option<Placed<SocketAddr>> {
    if !table.has(key) {
        table.missing(VALUE, key, format!("`{key} = \"{example}\"`"));
    }
    address(table, key)
}

/// A text, or a list of at least one text.
pub(super) fn texts<'d>(
    table: &Table<'d, '_>,
    key: &'static str,
    most: usize,
) -> Option<Vec<Placed<&'d str>>> {
    let value = table.value(key)?;
    let texts = match value.get_ref() {
        DeValue::String(_) => vec![table.text(key)?],
        _ => table.texts(key)?,
    };
    if texts.is_empty() {
        table.error(VALUE, value.span(), format!("`{key}` is an empty list"));
        return None;
    }
    if texts.len() > most {
        let message = format!("`{key}` has {} entries; {most} are the most", texts.len());
        table.error(VALUE, value.span(), message);
        return None;
    }
    Some(texts)
}

/// `host:port`, or a list of them.
pub(super) fn hosts(
    table: &Table<'_, '_>,
    key: &'static str,
    most: usize,
) -> Option<Vec<Placed<String>>> {
    let mut hosts = Vec::new();
    let mut good = true;
    for text in texts(table, key, most)? {
        if is_host_and_port(text.value) {
            hosts.push(Placed { value: text.value.to_owned(), span: text.span });
        } else {
            let message = format!("`{}` is no host and port", text.value);
            let hint = "`gateway.example:7443`, `10.0.0.5:7443` or `[2001:db8::5]:7443`";
            table.error_with_hint(VALUE, text.span, message, hint);
            good = false;
        }
    }
    good.then_some(hosts)
}

/// Whether a text is a host name or an address, then a port that is not 0.
fn is_host_and_port(text: &str) -> bool {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return address.port() != 0;
    }
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    // All digits and dots, yet no address: a mistyped one, not a name.
    let numeric = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    digits
        && port.parse::<u16>().is_ok_and(|port| port != 0)
        && host.len() <= 253
        && host.split('.').all(label)
        && (!numeric || host.parse::<IpAddr>().is_ok())
}

/// A duration with its bounds, both inclusive (C9).
pub(super) fn wait(
    table: &Table<'_, '_>,
    key: &'static str,
    lo: Duration,
    hi: Duration,
) -> Option<Placed<Duration>> {
    let text = table.text(key)?;
    match units::duration(text.value) {
        Ok(value) if (lo..=hi).contains(&value) => {
            return Some(Placed { value, span: text.span });
        }
        Ok(wait) => {
            let (is, lo, hi) = (units::shown(wait), units::shown(lo), units::shown(hi));
            table.error("C9", text.span, format!("`{key}` is {is}, outside {lo} to {hi}"));
        }
        Err(sentence) => table.error("C9", text.span, sentence),
    }
    None
}

/// A whole number with its bounds, both inclusive.
pub(super) fn count(
    table: &Table<'_, '_>,
    check: &'static str,
    key: &'static str,
    most: usize,
) -> Option<Placed<usize>> {
    let number = table.integer(key)?;
    match usize::try_from(number.value) {
        Ok(value) if (1..=most).contains(&value) => Some(Placed { value, span: number.span }),
        _ => {
            let message = format!("`{key}` is {}, outside 1 to {most}", number.value);
            table.error(check, number.span, message);
            None
        }
    }
}

/// One of a few words; the first is the default.
pub(super) fn choice<T: Copy>(
    table: &Table<'_, '_>,
    key: &'static str,
    words: &[(&str, T)],
) -> Option<T> {
    let Some(text) = table.text(key) else {
        return words.first().filter(|_| !table.has(key)).map(|(_, value)| *value);
    };
    let known = words.iter().find(|(word, _)| *word == text.value);
    if known.is_none() {
        let all: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        let message = format!("`{key}` is `{}`, not {}", text.value, all.join(" or "));
        table.error(VALUE, text.span, message);
    }
    known.map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_far_side_is_a_host_and_a_port() {
        for good in ["a:1", "gw.shop.example:7443", "10.0.0.5:7443", "[::1]:7443", "localhost:80"] {
            assert!(is_host_and_port(good), "{good}");
        }
        for bad in [
            "",
            "a",
            ":1",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "::1:7443",
            "a b:1",
            "-a:1",
            "a..b:1",
            "10.0.0.256:1",
            "10.0.0:1",
            "http://a:1",
            "unix:/a",
        ] {
            assert!(!is_host_and_port(bad), "{bad}");
        }
    }
}
