//! The event stream: one JSON object a line, for as long as the agent takes it.
//!
//! It is the one answer without an end of its own. It ends with the stop, with the agent's
//! certificate, when another stream of the same agent takes its place, and when the agent takes
//! nothing for a while, which `http::Taken` sees.

use super::agents::sound;
use super::api::{Api, now_ms};
use super::callers::{OfAgent, Origin};
use super::refusal::Refusal;
use crate::http::{Endless, Lines};
use axum::Extension;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use hyper::body::Bytes;
use segwan_pki::api::EventLine;
use segwan_pki::authority::{Agent, Known, Subscription};
use serde::Deserialize;
use std::time::Duration;
use tokio::sync::mpsc::{Sender, channel};
use tokio::time::{Instant, sleep, sleep_until};

/// A line is sent at least so often.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(15);
/// Longest version and name of a host, in characters.
const VERSION: usize = 64;
const HOST: usize = 255;

/// What an agent says of itself, and what it has in force.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// The epoch of the event that it has in force; given with `after`.
    epoch: Option<i64>,
    after: Option<i64>,
    instance: String,
    kind: String,
    version: String,
    host: String,
}

impl Asked {
    fn agent(self, known: &Known, address: String) -> Result<Agent, Refusal> {
        let Self { instance, kind, version, host, .. } = self;
        sound(&instance)?;
        if !["gateway", "client", "library"].contains(&kind.as_str()) {
            return Err(Refusal::malformed("`kind` is not `gateway`, `client` or `library`"));
        }
        let printable = |text: &str, most: usize| {
            text.len() <= most && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if !printable(&version, VERSION) || !printable(&host, HOST) {
            return Err(Refusal::malformed("`version` or `host` is too long or not printable"));
        }
        Ok(Agent {
            instance,
            name: known.name.clone(),
            serial: known.serial.clone(),
            issuer: known.issuer.clone(),
            kind,
            version,
            host,
            address,
        })
    }
}

/// Tells an agent what happens, as it happens.
pub(super) async fn events(
    OfAgent(known): OfAgent,
    State(api): State<Api>,
    Extension(from): Extension<Origin>,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(asked) = asked.map_err(|_| {
        Refusal::malformed(
            "the query is not `epoch`, `after`, `instance`, `kind`, `version`, `host`",
        )
    })?;
    let after = match (asked.epoch, asked.after) {
        (Some(epoch), Some(after)) => Some((epoch, after)),
        (None, None) => None,
        _ => return Err(Refusal::malformed("`epoch` and `after` go together")),
    };
    let agent = asked.agent(&known, from.address.to_string())?;
    let subscription = api.authority().subscribe(agent, after, now_ms()).await?;
    let left = u64::try_from(known.not_after_ms - now_ms()).unwrap_or(0);
    let ends = Instant::now() + Duration::from_millis(left);
    let (lines, taken) = channel(1);
    let stop = api.stop().clone();
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = lines.closed() => {}
            () = sleep_until(ends) => {}
            () = tell(subscription, &lines) => {}
        }
    });
    let headers = [(CONTENT_TYPE, "application/x-ndjson"), (CACHE_CONTROL, "no-store")];
    let mut response = (headers, Body::new(Lines(taken))).into_response();
    response.extensions_mut().insert(Endless);
    Ok(response)
}

/// Sends line after line, each as soon as the one before it was taken.
async fn tell(mut subscription: Subscription, lines: &Sender<Bytes>) {
    loop {
        let next = tokio::select! {
            next = subscription.next(now_ms) => next,
            () = sleep(KEEPALIVE) => Ok(Some(subscription.keepalive(now_ms()))),
        };
        match next {
            Ok(Some(line)) => {
                let Some(line) = written(&line) else { return };
                if lines.send(line).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            // The agent comes again by itself, and from where it is.
            Err(error) => return tracing::warn!("an event stream ended: {error}"),
        }
    }
}

fn written(line: &EventLine) -> Option<Bytes> {
    let mut text = serde_json::to_vec(line).ok()?;
    text.push(b'\n');
    Some(text.into())
}
