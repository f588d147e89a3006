//! `[authority]` as written.

use super::{Reading, VALUE, values};
use crate::config::{AuthorityConfig, DEFAULT_TRUST_DOMAIN};
use segwan_core::document::Table;
use segwan_core::identity::TrustDomain;
use segwan_pki::authority::{LEAF_LIFETIME, RENEWAL_GRACE};
use segwan_pki::profile::Profile;
use std::time::Duration;

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
    let mut registrations: Vec<(String, Profile)> = Vec::new();
    for table in table.tables("registration") {
        if let Some((name, profile)) = registration(&table, reading) {
            if registrations.iter().any(|(known, _)| *known == name) {
                let message = format!("`{name}` is registered twice");
                table.error(VALUE, table.key_span("name"), message);
            } else {
                registrations.push((name, profile));
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
    })
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

fn registration(table: &Table<'_, '_>, reading: &Reading<'_>) -> Option<(String, Profile)> {
    for key in ["name", "profile"] {
        if !table.has(key) {
            table.missing(VALUE, key, "`name = \"app\"` and `profile = \"client\"`");
        }
    }
    let name = table.text("name");
    let words =
        [("client", Profile::Client), ("service", Profile::Service), ("peer", Profile::Peer)];
    let profile = values::choice(table, "profile", &words);
    let name = name?;
    if let Err(error) = reading.trust_domain.identity(name.value) {
        table.error(VALUE, name.span, error.to_string());
        return None;
    }
    Some((name.value.to_owned(), profile?))
}
