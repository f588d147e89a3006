//! What can be asked, and where: everything on the socket, health and metrics on the address too.

use super::fault::Fault;
use super::token::{self, Defaults};
use super::wire::{
    EXPLAIN, HEALTH, METRICS, RELOAD, ReloadAnswer, STATUS, TOKEN, TokenAnswer, TokenRequest,
};
use crate::explain::{ExplainError, Explanation, Question, find};
use crate::http::{Bounds, whole};
use crate::metrics::{AuthorityNumbers, Standing};
use crate::process::{AuthorityAtWork, Running};
use crate::status::{self, Status};
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{Request, StatusCode};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use segwan_core::audit::{Event, EventKind};
use segwan_core::now::Now;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Instant;

/// What every handler needs. Cheap to clone.
#[derive(Clone)]
pub(super) struct Admin {
    pub(super) running: Arc<Running>,
    pub(super) bounds: Bounds,
}

/// What anybody on this host may ask, also over the loopback address.
pub(super) fn open() -> [(&'static str, MethodRouter<Admin>); 2] {
    [(HEALTH, get(health)), (METRICS, get(metrics))]
}

/// What only the operator may ask, over the socket.
pub(super) fn of_operator() -> [(&'static str, MethodRouter<Admin>); 4] {
    [
        (STATUS, get(show_status)),
        (TOKEN, post(make_token)),
        (EXPLAIN, post(explain)),
        (RELOAD, post(reload)),
    ]
}

/// A router of these routes and no other.
pub(super) fn router(
    routes: impl IntoIterator<Item = (&'static str, MethodRouter<Admin>)>,
    admin: Admin,
) -> Router {
    let mut router = Router::new();
    for (path, route) in routes {
        router = router.route(path, route);
    }
    let not_found = || async { Fault::new(StatusCode::NOT_FOUND, "there is nothing at this path") };
    let method = || async {
        Fault::new(StatusCode::METHOD_NOT_ALLOWED, "this path is not asked by this method")
    };
    router.fallback(not_found).method_not_allowed_fallback(method).with_state(admin)
}

/// Not ready is a process of which a table lets nobody in, because its own certificate has ended.
async fn health(State(admin): State<Admin>) -> (StatusCode, Json<serde_json::Value>) {
    let not_ready = admin.running.gateway.not_ready();
    if not_ready.is_empty() {
        return (StatusCode::OK, Json(serde_json::json!({ "ok": true })));
    }
    let answer = serde_json::json!({ "ok": false, "not_ready": not_ready });
    (StatusCode::SERVICE_UNAVAILABLE, Json(answer))
}

async fn metrics(State(admin): State<Admin>) -> ([(HeaderName, &'static str); 1], String) {
    let running = &admin.running;
    let identities: Vec<_> = running.agents.iter().map(|agent| agent.status()).collect();
    let now_ms = now_ms();
    let authority = match &running.authority {
        // A store that does not answer leaves its numbers out, and nothing else.
        Some(at_work) => AuthorityNumbers::of(&at_work.authority, now_ms).await.ok(),
        None => None,
    };
    let text = running.metrics.render(Standing {
        gates: &running.gateway.status(0),
        identities: &identities,
        authority: authority.as_ref(),
        alarms: &running.alarms.list(now_ms),
    });
    ([(CONTENT_TYPE, crate::metrics::CONTENT_TYPE)], text)
}

async fn show_status(State(admin): State<Admin>) -> Json<Status> {
    Json(status::of(&admin.running).await)
}

async fn make_token(
    State(admin): State<Admin>,
    request: Request<Body>,
) -> Result<Json<TokenAnswer>, Fault> {
    let asked: TokenRequest = said(request, admin.bounds).await?;
    let AuthorityAtWork { authority, advertise, .. } = authority(&admin)?;
    let gates = admin.running.gateway.status(0);
    let services = gates.into_iter().filter(|gate| gate.mode == "service").map(|gate| gate.name);
    let defaults = Defaults { addresses: advertise.clone(), services: Some(services.collect()) };
    let made = token::mint(authority, asked, defaults, now_ms()).await?;
    let mut event = Event::new(EventKind::Admin);
    event.sentence = format!("a token of `{}` was made", made.name);
    admin.running.recorder.record(event);
    Ok(Json(made))
}

async fn explain(
    State(admin): State<Admin>,
    request: Request<Body>,
) -> Result<Json<Explanation>, Fault> {
    let question: Question = said(request, admin.bounds).await?;
    let rules = admin.running.rules.load_full();
    let rules = find(&rules, &question.service).map_err(|e| asked(&e))?;
    let now = Now { instant: Instant::now(), unix_ms: now_ms() };
    crate::explain::explain(rules, &question, now).map(Json).map_err(|e| asked(&e))
}

/// Also a reload that is refused is an answer, with every finding.
async fn reload(State(admin): State<Admin>) -> Json<ReloadAnswer> {
    Json(admin.running.reload().await)
}

fn asked(error: &ExplainError) -> Fault {
    Fault::asked(error.to_string())
}

pub(super) fn authority(admin: &Admin) -> Result<&AuthorityAtWork, Fault> {
    admin.running.authority.as_ref().ok_or_else(|| {
        Fault::new(StatusCode::CONFLICT, "no Authority runs in this process")
            .hint("ask where `segwan serve` made it")
    })
}

/// The body of a request, as the type that the route expects.
pub(super) async fn said<T: DeserializeOwned>(
    request: Request<Body>,
    bounds: Bounds,
) -> Result<T, Fault> {
    let body = whole(request.into_body(), bounds).await?;
    serde_json::from_slice(&body).map_err(|error| {
        let why = segwan_core::audit::shown(error.to_string().as_bytes());
        Fault::new(StatusCode::BAD_REQUEST, format!("the request is not well-formed: {why}"))
    })
}

pub(super) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
