//! What is asked and changes nothing.

use super::super::fault::Fault;
use super::super::wire::{
    AgentView, Agents, Calendar, CertificateView, Day, History, Inventory, LedgerAnswer, List,
    ListRequest, ListView, TokenView,
};
use segwan_pki::authority::{Authority, AuthorityError, Selector};
use segwan_pki::certificate::Certificate;
use segwan_pki::key::hex;
use segwan_pki::store::{Filter, View};
use std::collections::{BTreeMap, BTreeSet};

/// Certificates that are listed where nothing is said.
const LISTED: u32 = 1000;
/// Most that may be asked for.
const MOST: u32 = 10_000;
const DAY: i64 = 24 * 3_600_000;
/// Names of one day of the calendar.
const NAMED: usize = 8;

/// Registrations, and the certificates of a view.
pub(crate) async fn list(
    authority: &Authority,
    asked: &ListRequest,
    now_ms: i64,
) -> Result<Inventory, Fault> {
    let most = asked.most.unwrap_or(LISTED);
    if !(1..=MOST).contains(&most) {
        return Err(Fault::asked(format!("{most} certificates are not in 1 .. {MOST}")));
    }
    let view = match asked.view {
        ListView::Live => Some(View::Live),
        ListView::NeverUsed => Some(View::NeverUsed),
        ListView::Superseded => Some(View::SupersededStillUsed),
        ListView::TwoPlaces => Some(View::TwoPlaces),
        ListView::Revoked => Some(View::Revoked),
        ListView::Unrecorded => None,
    };
    let within = asked.expiring_seconds.map(|seconds| {
        now_ms
            .saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX / 2000).saturating_mul(1000))
    });
    let mut rows = match view {
        Some(view) => {
            // One more than wanted tells whether there are more.
            let name = asked.name.clone();
            let filter = Filter { view, name, ends_before_ms: within, most: most + 1 };
            authority.list(&filter, now_ms).await?
        }
        None => Vec::new(),
    };
    let unrecorded = match view {
        Some(_) => Vec::new(),
        None => authority.unrecorded().await?,
    };
    let wanted = usize::try_from(most).unwrap_or(usize::MAX);
    let more = rows.len() > wanted;
    rows.truncate(wanted);
    // What is cut off ends last. What is left reads by name, each name's in the order of issue;
    // only who asks for what ends soon wants it by its end.
    if within.is_none() {
        rows.sort_by(|a, b| (&a.name, a.made_ms).cmp(&(&b.name, b.made_ms)));
    }
    let mut registrations = authority.registrations().await?;
    registrations.retain(|row| asked.name.as_ref().is_none_or(|name| row.name == *name));
    Ok(Inventory {
        trust_domain: authority.trust_domain().to_string(),
        registrations: registrations.into_iter().map(Into::into).collect(),
        certificates: rows.into_iter().map(Into::into).collect(),
        unrecorded: unrecorded.into_iter().map(Into::into).collect(),
        more,
    })
}

/// Everything about a name, or about the name that a serial number belongs to.
pub(crate) async fn history(authority: &Authority, what: &str) -> Result<History, Fault> {
    let (name, serial) = match Selector::parse(what, authority.trust_domain())? {
        Selector::Name(name) => (name, None),
        Selector::Serial(serial) => {
            let name = authority.name_of(&serial).await?;
            let unknown =
                || Fault::asked(format!("no certificate has the serial number `{serial}`"));
            (name.ok_or_else(unknown)?, Some(serial))
        }
        _ => return Err(Fault::asked("only a name, an identity or `serial:…` can be shown")),
    };
    let registration = super::registered(authority, &name).await?;
    let mut certificates: Vec<CertificateView> =
        authority.history(&name).await?.into_iter().map(Into::into).collect();
    certificates.retain(|one| serial.as_ref().is_none_or(|serial| one.serial == *serial));
    let mut agents = agents(authority, 0).await?.agents;
    agents.retain(|agent| agent.name == name);
    let trust_domain = authority.trust_domain().to_string();
    Ok(History { trust_domain, registration, certificates, agents })
}

/// Agents that were heard of, and what they should have in force.
pub(crate) async fn agents(authority: &Authority, since_ms: i64) -> Result<Agents, Fault> {
    let listening: BTreeSet<_> = authority.listening().into_iter().collect();
    let rows = authority.agents(since_ms).await?;
    let views = rows.into_iter().map(|row| {
        let is_there = listening.contains(&(row.instance.clone(), row.name.clone()));
        AgentView::of(row, is_there)
    });
    Ok(Agents {
        bundle_version: authority.bundle_version().await?,
        last_event: authority.last_event(),
        agents: views.collect(),
    })
}

/// What ends in the next 30 days, by day, and when root and issuing certificates end.
pub(crate) async fn calendar(authority: &Authority, now_ms: i64) -> Result<Calendar, Fault> {
    let filter = Filter { ends_before_ms: Some(now_ms + 30 * DAY), ..Filter::default() };
    let mut days: BTreeMap<i64, (usize, BTreeSet<String>)> = BTreeMap::new();
    for row in authority.list(&filter, now_ms).await? {
        // Who has a newer one, or had it taken away, does not wait for this end.
        if row.state != "issued" || row.reason.is_some() || row.superseded {
            continue;
        }
        let (count, names) = days.entry(row.not_after_ms.div_euclid(DAY) * DAY).or_default();
        *count += 1;
        names.insert(row.name);
    }
    let day = |(begins_ms, (certificates, names)): (i64, (usize, BTreeSet<String>))| Day {
        begins_ms,
        certificates,
        holders: names.len(),
        names: names.into_iter().take(NAMED).collect(),
    };
    let issuing = authority.issuing_keys().await?;
    Ok(Calendar {
        root_ends_ms: Certificate::read(&authority.root())
            .map_or(0, |root| root.not_after.saturating_mul(1000)),
        issuing: issuing.into_iter().map(Into::into).collect(),
        days: days.into_iter().map(day).collect(),
    })
}

/// Tokens that can still be used.
pub(crate) async fn tokens(authority: &Authority, now_ms: i64) -> Result<Vec<TokenView>, Fault> {
    Ok(authority.tokens(now_ms).await?.into_iter().map(Into::into).collect())
}

/// The revocation list of an issuing key; of the active one where none is named.
pub(crate) async fn revocation_list(authority: &Authority, issuer: &str) -> Result<List, Fault> {
    let keys = authority.issuing_keys().await?;
    let issuer = match issuer {
        "" => keys.iter().find(|key| key.state.as_str() == "active").map(|key| key.id.clone()),
        named => Some(named.to_owned()),
    };
    let issuer = issuer.unwrap_or_default();
    match authority.crl(&issuer).await? {
        Some((number, der)) => Ok(List { issuer, number, der: segwan_pki::api::text(&der) }),
        None => {
            let known: Vec<_> = keys.iter().map(|key| format!("`{}`", key.id)).collect();
            let issuer = segwan_core::audit::shown(issuer.as_bytes());
            Err(Fault::asked(format!("no issuing key has the key id `{issuer}`"))
                .hint(format!("there is {}", known.join(", "))))
        }
    }
}

/// Looks the ledger over.
pub(crate) async fn verify(authority: &Authority) -> Result<LedgerAnswer, AuthorityError> {
    let lines = authority.verify_ledger().await?;
    Ok(LedgerAnswer { lines, head: hex(&authority.ledger_head().await?.1) })
}
