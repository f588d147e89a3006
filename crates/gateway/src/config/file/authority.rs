//! `[authority]` as written.

use super::{Reading, VALUE, values};
use crate::config::{AuthorityConfig, CustodyConfig, DEFAULT_TRUST_DOMAIN, PassphraseSource};
use crate::registering::Registering;
use segwan_core::document::{Placed, Table};
use segwan_core::identity::TrustDomain;
use segwan_pki::authority::{LEAF_LIFETIME, RENEWAL_GRACE};
use segwan_pki::custody::Permitted;
use segwan_pki::profile::Profile;
use std::time::Duration;

/// Most DNS names, and most addresses, of one registration.
const NAMES: usize = 64;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The trust domain: its own key, else the Authority's, else `segwan.internal`.
pub(super) fn trust_domain(
    top: &Table<'_, '_>,
    authority: Option<&Table<'_, '_>>,
) -> Option<TrustDomain> {
    let read = |table: &Table<'_, '_>| {
        let text = table.text("trust_domain")?;
        match text.value.parse::<TrustDomain>() {
            Ok(domain) => Some((domain, text.span)),
            Err(error) => {
                table.error(VALUE, text.span, error.to_string());
                None
            }
        }
    };
    let own = read(top);
    let of_authority = authority.and_then(read);
    if let (Some((own, _)), Some((other, span))) = (&own, &of_authority)
        && own != other
    {
        let message = format!("the Authority's trust domain is `{other}`, the file's is `{own}`");
        top.error_with_hint(VALUE, span.clone(), message, "write it once");
    }
    match own.or(of_authority) {
        Some((domain, _)) => Some(domain),
        None => DEFAULT_TRUST_DOMAIN.parse().ok(),
    }
}

/// Reads `[authority]`.
pub(super) fn authority(table: &Table<'_, '_>, reading: &Reading<'_>) -> Option<AuthorityConfig> {
    let listen = values::needed_address(table, "listen", "0.0.0.0:7444");
    if let Some(listen) = &listen {
        reading.listens("the Authority", listen);
    }
    let advertise = match table.has("advertise") {
        true => values::hosts(table, "advertise", 4),
        false => Some(Vec::new()),
    };
    let must_exist = values::choice(table, "init", &[("auto", false), ("never", true)]);
    let root_fingerprint = fingerprint(table);
    let minutes = |n: u64| Duration::from_secs(n * 60);
    let life = values::wait(table, "leaf_lifetime", minutes(5), 90 * DAY);
    let grace = values::wait(table, "renewal_grace", Duration::ZERO, 30 * DAY);
    let danger_root_online = table.boolean("danger_root_online").is_some_and(|said| said.value);
    let custody = custody(table, reading);
    let mut registrations: Vec<Registering> = Vec::new();
    for table in table.tables("registration") {
        if let Some(said) = registration(&table, reading) {
            if registrations.iter().any(|known| known.name == said.name) {
                let message = format!("`{}` is registered twice", said.name);
                table.error(VALUE, table.key_span("name"), message);
            } else {
                registrations.push(said);
            }
        }
        table.finish();
    }
    Some(AuthorityConfig {
        listen: listen?.value,
        advertise: advertise?.into_iter().map(|host| host.value).collect(),
        must_exist: must_exist?,
        root_fingerprint,
        leaf_lifetime: life.map_or(LEAF_LIFETIME, |life| life.value),
        renewal_grace: grace.map_or(RENEWAL_GRACE, |grace| grace.value),
        registrations,
        danger_root_online,
        custody: custody?,
    })
}

/// What seals the issuing keys, and what the first certificates may speak for.
fn custody(table: &Table<'_, '_>, reading: &Reading<'_>) -> Option<CustodyConfig> {
    let names = |key| match table.has(key) {
        true => values::texts(table, key, NAMES).map(texts),
        false => Some(Vec::new()),
    };
    let (dns, ips) = (names("permit_dns"), names("permit_ips"));
    let key_passphrase = match table.has("key_passphrase") {
        true => Some(passphrase(&table.table("key_passphrase")?, reading)?),
        false => None,
    };
    let permitted = Permitted { dns: dns?, ips: ips? };
    if let Err(error) = permitted.constraints(reading.trust_domain.as_str()) {
        let key = if table.has("permit_ips") { "permit_ips" } else { "permit_dns" };
        table.error(VALUE, table.key_span(key), error.to_string());
        return None;
    }
    Some(CustodyConfig { key_passphrase, permitted })
}

/// `{ file = "…" }` or `{ credential = "…" }`.
fn passphrase(table: &Table<'_, '_>, reading: &Reading<'_>) -> Option<PassphraseSource> {
    let (file, credential) = (table.text("file"), table.text("credential"));
    table.finish();
    match (file, credential) {
        (Some(file), None) => Some(PassphraseSource::File(reading.path(file.value))),
        (None, Some(name)) if is_plain(name.value) => {
            Some(PassphraseSource::Credential(name.value.to_owned()))
        }
        (_, Some(name)) => {
            let message = format!("`{}` is no name of a credential", name.value);
            table.error(VALUE, name.span, message);
            None
        }
        (None, None) => {
            table.missing(VALUE, "file", "`{ file = \"…\" }` or `{ credential = \"…\" }`");
            None
        }
    }
}

/// A name that leads nowhere else.
fn is_plain(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(good)
}

/// `sha256:` and 64 hexadecimal digits; gives the digits in lower case.
fn fingerprint(table: &Table<'_, '_>) -> Option<String> {
    let text = table.text("root_fingerprint")?;
    let digits = text.value.strip_prefix("sha256:").map(str::to_ascii_lowercase);
    let digits = digits.filter(|d| d.len() == 64 && d.bytes().all(|b| b.is_ascii_hexdigit()));
    if digits.is_none() {
        let message = format!("`{}` is no fingerprint of a root", text.value);
        let hint = "`sha256:` and 64 hexadecimal digits, as the Authority prints it when it starts";
        table.error_with_hint(VALUE, text.span, message, hint);
    }
    digits
}

fn registration(table: &Table<'_, '_>, reading: &Reading<'_>) -> Option<Registering> {
    for key in ["name", "profile"] {
        if !table.has(key) {
            table.missing(VALUE, key, "`name = \"app\"` and `profile = \"client\"`");
        }
    }
    let name = table.text("name");
    let words =
        [("client", Profile::Client), ("service", Profile::Service), ("peer", Profile::Peer)];
    let profile = values::choice(table, "profile", &words);
    let on_reenroll =
        values::choice(table, "on_reenroll", &[("replace", "replace"), ("add", "add")]);
    let names = |key| match table.has(key) {
        true => values::texts(table, key, NAMES),
        false => Some(Vec::new()),
    };
    let (dns, ips) = (names("dns"), names("ips"));
    let life = values::wait(table, "leaf_lifetime", Duration::from_secs(300), 90 * DAY);
    let most = values::count(table, VALUE, "max_lineages", 10_000);
    let flag = |key| table.boolean(key).map(|said| said.value);
    let (display_name, shared) = (flag("display_name"), flag("shared"));
    let mut addresses = Vec::new();
    for ip in ips? {
        match ip.value.parse() {
            Ok(address) => addresses.push(address),
            Err(_) => {
                table.error(VALUE, ip.span, format!("`{}` is no IP address", ip.value));
                return None;
            }
        }
    }
    let name = name?;
    if let Err(error) = reading.trust_domain.identity(name.value) {
        table.error(VALUE, name.span, error.to_string());
        return None;
    }
    // What the file does not say stays as somebody registered it by hand.
    Some(Registering {
        dns: table.has("dns").then(|| texts(dns.unwrap_or_default())),
        ips: table.has("ips").then_some(addresses),
        leaf_lifetime: life.map(|life| life.value),
        max_lineages: most.and_then(|most| u32::try_from(most.value).ok()),
        on_reenroll: on_reenroll.filter(|_| table.has("on_reenroll")).map(str::to_owned),
        display_name,
        shared,
        ..Registering::new(name.value, profile?)
    })
}

fn texts(all: Vec<Placed<&str>>) -> Vec<String> {
    all.into_iter().map(|one| one.value.to_owned()).collect()
}
