//! What an agent tells: that an event is in force, and what it has seen.

use super::api::{Api, now_ms};
use super::callers::OfAgent;
use super::refusal::Refusal;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use segwan_core::audit::{Event, EventKind};
use segwan_pki::api::{AckRequest, ReportRequest, SIGHTINGS};

/// Most bytes of a report.
const REPORTED: usize = 256 * 1024;
/// Longest id of an installation, in characters.
const LONGEST: usize = 64;

/// Notes that an agent has an event in force.
pub(super) async fn ack(
    OfAgent(known): OfAgent,
    State(api): State<Api>,
    request: Request<Body>,
) -> Result<StatusCode, Refusal> {
    let ack: AckRequest = api.said(request, api.bounds().body_bytes).await?;
    sound(&ack.instance)?;
    if ack.seq < 0 || ack.bundle_version < 0 {
        return Err(Refusal::malformed("a number is below zero"));
    }
    api.authority().acknowledge(&known.name, &ack, now_ms()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Notes what an agent has seen; who does not listen is not believed about it.
pub(super) async fn report(
    OfAgent(known): OfAgent,
    State(api): State<Api>,
    request: Request<Body>,
) -> Result<StatusCode, Refusal> {
    let report: ReportRequest = api.said(request, REPORTED).await?;
    sound(&report.instance)?;
    if report.seen.len() > SIGHTINGS {
        let sentence = format!("a report names at most {SIGHTINGS} certificates");
        return Err(Refusal::malformed(sentence));
    }
    let now_ms = now_ms();
    let unrecorded = api.authority().report(&known.name, known.listens, &report, now_ms).await?;
    for serial in unrecorded {
        let sentence = format!(
            "`{}` saw the certificate {serial}, which carries our signature and was never recorded \
             here (unrecorded_certificate); `segwan ca list --view unrecorded` lists such",
            known.name
        );
        if api.told().alarms.happened("unrecorded_certificate", &serial, &sentence, now_ms) {
            tracing::error!("{sentence}");
            let mut event = Event::new(EventKind::Alarm);
            event.sentence = sentence;
            event.serial = Some(serial);
            api.recorder().record(event);
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The id of an installation as it may be.
pub(super) fn sound(instance: &str) -> Result<(), Refusal> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if (1..=LONGEST).contains(&instance.len()) && instance.bytes().all(good) {
        return Ok(());
    }
    Err(Refusal::malformed(format!(
        "`instance` is not 1 to {LONGEST} letters, digits, `-`, `_`, `.`"
    )))
}
