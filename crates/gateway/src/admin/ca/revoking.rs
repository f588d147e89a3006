//! Revocation as an operator asks for it: durable first, then as far as gateways confirm it.

use super::super::fault::Fault;
use super::super::wire::{Met, NotHeard, RevokeAnswer, RevokeRequest, SpreadAnswer};
use segwan_pki::authority::{Authority, Selector};
use segwan_pki::revocation::RevocationReason;
use segwan_pki::store::AgentRow;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long gateways are waited for where nothing is said.
const WAIT: Duration = Duration::from_secs(5);
/// The longest that may be asked for.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Revokes, and waits for those who listen.
pub(crate) async fn revoke(
    authority: &Authority,
    asked: &RevokeRequest,
    now_ms: i64,
) -> Result<RevokeAnswer, Fault> {
    let selector = Selector::parse(&asked.what, authority.trust_domain())?;
    let reason = reason(asked.reason.as_deref().unwrap_or("unspecified"))?;
    let wait = asked.wait_ms.map_or(WAIT, Duration::from_millis);
    if wait > LONGEST_WAIT {
        return Err(Fault::asked("gateways are waited for up to a minute"));
    }
    if let Selector::Before(_) = &selector {
        counted(authority, &selector, asked.count, now_ms).await?;
    }
    let revoked = authority.revoke(&selector, reason, now_ms).await?;
    let mut answer = RevokeAnswer {
        seq: revoked.seq,
        certificates: revoked.certificates.len(),
        names: revoked.names,
        tokens: revoked.tokens,
        disabled: revoked.disabled,
        live: 0,
        confirmed: 0,
        closed: 0,
        took_ms: 0,
        not_heard: Vec::new(),
    };
    if revoked.seq == 0 {
        return Ok(answer);
    }
    let confirmation = authority.confirmed(revoked.seq, revoked.committed, wait).await?;
    answer.live = confirmation.live;
    answer.confirmed = confirmation.confirmed;
    answer.closed = confirmation.closed;
    answer.took_ms = u64::try_from(confirmation.took.as_millis()).unwrap_or(u64::MAX);
    answer.not_heard = confirmation
        .silent
        .into_iter()
        .map(|one| NotHeard { name: one.name, host: one.host, heard_ms: one.heard_ms, live: true })
        .collect();
    answer.not_heard.extend(away(authority, revoked.seq, now_ms).await?);
    Ok(answer)
}

/// Known agents that are not connected, each process once.
async fn away(authority: &Authority, seq: i64, now_ms: i64) -> Result<Vec<NotHeard>, Fault> {
    let mut there: BTreeSet<String> =
        authority.listening().into_iter().map(|(instance, _)| instance).collect();
    let behind = |agent: &AgentRow| agent.acked < seq;
    let mut away = Vec::new();
    for agent in authority.expected(now_ms).await?.into_iter().filter(behind) {
        if there.insert(agent.instance) {
            let AgentRow { name, host, heard_ms, .. } = agent;
            away.push(NotHeard { name, host, heard_ms, live: false });
        }
    }
    Ok(away)
}

/// Everything that was issued before an instant is revoked only by whoever says how much that is.
async fn counted(
    authority: &Authority,
    selector: &Selector,
    said: Option<usize>,
    now_ms: i64,
) -> Result<(), Fault> {
    let is = authority.would_revoke(selector, now_ms).await?;
    match said {
        Some(said) if said == is => Ok(()),
        said => {
            let said = said.map_or_else(|| "not said".to_owned(), |said| said.to_string());
            Err(Fault::asked(format!("{is} certificates would be revoked; the number was {said}")))
        }
    }
}

/// How many certificates a revocation would meet.
pub(crate) async fn would_revoke(
    authority: &Authority,
    what: &str,
    now_ms: i64,
) -> Result<Met, Fault> {
    let selector = Selector::parse(what, authority.trust_domain())?;
    Ok(Met { certificates: authority.would_revoke(&selector, now_ms).await? })
}

/// How far a revocation has got.
pub(crate) async fn spread(
    authority: &Authority,
    seq: Option<i64>,
    now_ms: i64,
) -> Result<SpreadAnswer, Fault> {
    let spread = authority.spread(seq, now_ms).await?;
    Ok(SpreadAnswer::of(spread, &authority.listening()))
}

fn reason(word: &str) -> Result<RevocationReason, Fault> {
    RevocationReason::named(word).ok_or_else(|| {
        let word = segwan_core::audit::shown(word.as_bytes());
        Fault::asked(format!(
            "`{word}` is no reason: `key_compromise`, `superseded`, `cessation`, \
             `privilege_withdrawn` or `unspecified`"
        ))
    })
}
