//! The routes of the Authority, for its operator alone.

use super::super::fault::Fault;
use super::super::routes::{Admin, authority, now_ms, said};
use super::super::wire::{
    AGENTS, Agents, CALENDAR, CRL, Calendar, ENABLE, History, Inventory, LEDGER, LIST,
    LedgerAnswer, List, ListRequest, Met, REGISTER, REVOCATION, REVOKE, RegistrationView,
    RevokeAnswer, RevokeRequest, SHOW, SpreadAnswer, TOKENS, TokenView, WOULD_REVOKE, Which, Whose,
};
use super::{looking, revoking};
use crate::registering::Registering;
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{Request, StatusCode};
use axum::routing::{MethodRouter, get, post};
use segwan_core::audit::{Event, EventKind};
use segwan_pki::authority::AuthorityError;
use serde::de::DeserializeOwned;

/// Every route.
pub(in crate::admin) fn routes() -> [(&'static str, MethodRouter<Admin>); 12] {
    [
        (LIST, get(list)),
        (SHOW, get(show)),
        (AGENTS, get(agents)),
        (CALENDAR, get(calendar)),
        (TOKENS, get(tokens)),
        (CRL, get(crl)),
        (LEDGER, get(ledger)),
        (REGISTER, post(register)),
        (ENABLE, post(enable)),
        (REVOKE, post(revoke)),
        (WOULD_REVOKE, get(would_revoke)),
        (REVOCATION, get(revocation)),
    ]
}

type Asked<T> = Result<Query<T>, QueryRejection>;

fn query<T: DeserializeOwned>(asked: Asked<T>) -> Result<T, Fault> {
    asked.map(|Query(asked)| asked).map_err(|error| {
        let why = segwan_core::audit::shown(error.body_text().as_bytes());
        Fault::new(StatusCode::BAD_REQUEST, format!("the query is not well-formed: {why}"))
    })
}

async fn list(
    State(admin): State<Admin>,
    asked: Asked<ListRequest>,
) -> Result<Json<Inventory>, Fault> {
    let asked = query(asked)?;
    looking::list(&authority(&admin)?.authority, &asked, now_ms()).await.map(Json)
}

async fn show(State(admin): State<Admin>, asked: Asked<Whose>) -> Result<Json<History>, Fault> {
    let asked = query(asked)?;
    looking::history(&authority(&admin)?.authority, &asked.what).await.map(Json)
}

async fn agents(State(admin): State<Admin>) -> Result<Json<Agents>, Fault> {
    looking::agents(&authority(&admin)?.authority, 0).await.map(Json)
}

async fn calendar(State(admin): State<Admin>) -> Result<Json<Calendar>, Fault> {
    looking::calendar(&authority(&admin)?.authority, now_ms()).await.map(Json)
}

async fn tokens(State(admin): State<Admin>) -> Result<Json<Vec<TokenView>>, Fault> {
    looking::tokens(&authority(&admin)?.authority, now_ms()).await.map(Json)
}

async fn crl(State(admin): State<Admin>, asked: Asked<Whose>) -> Result<Json<List>, Fault> {
    let asked = query(asked)?;
    looking::revocation_list(&authority(&admin)?.authority, &asked.what).await.map(Json)
}

async fn ledger(State(admin): State<Admin>) -> Result<Json<LedgerAnswer>, Fault> {
    let verified = looking::verify(&authority(&admin)?.authority).await;
    if let Err(AuthorityError::Broken(what)) = &verified {
        let sentence = format!("the ledger is broken: {what}; `segwan ca ledger verify`");
        if admin.running.alarms.raise("ledger_broken", "", &sentence, now_ms()) {
            tracing::error!("{sentence}");
            note(&admin, EventKind::Alarm, format!("{sentence} (ledger_broken)"));
        }
    } else if verified.is_ok() {
        admin.running.alarms.clear("ledger_broken", "");
    }
    Ok(Json(verified?))
}

async fn register(
    State(admin): State<Admin>,
    request: Request<Body>,
) -> Result<Json<RegistrationView>, Fault> {
    let asked: Registering = said(request, admin.bounds).await?;
    let made = super::register(&authority(&admin)?.authority, asked, now_ms()).await?;
    note(&admin, EventKind::Admin, format!("`{}` was registered as {}", made.name, made.profile));
    Ok(Json(made))
}

async fn enable(
    State(admin): State<Admin>,
    request: Request<Body>,
) -> Result<Json<RegistrationView>, Fault> {
    let asked: Whose = said(request, admin.bounds).await?;
    let made = super::enable(&authority(&admin)?.authority, &asked.what, now_ms()).await?;
    note(&admin, EventKind::Admin, format!("`{}` was enabled", made.name));
    Ok(Json(made))
}

async fn revoke(
    State(admin): State<Admin>,
    request: Request<Body>,
) -> Result<Json<RevokeAnswer>, Fault> {
    let asked: RevokeRequest = said(request, admin.bounds).await?;
    let authority = authority(&admin)?.authority.clone();
    // Once begun it is finished, also for somebody who has gone.
    let (told, what) = (admin.clone(), segwan_core::audit::shown(asked.what.as_bytes()));
    let revoking = tokio::spawn(async move {
        let answer = revoking::revoke(&authority, &asked, now_ms()).await?;
        let sentence = format!(
            "`{what}` was revoked: {} certificates, {} tokens; {} of {} connected gateways \
             confirmed, {} connections closed",
            answer.certificates, answer.tokens, answer.confirmed, answer.live, answer.closed
        );
        note(&told, EventKind::Admin, sentence);
        Ok::<_, Fault>(answer)
    });
    let broke =
        |error| Fault::new(StatusCode::INTERNAL_SERVER_ERROR, format!("it broke off: {error}"));
    revoking.await.map_err(broke)?.map(Json)
}

async fn would_revoke(State(admin): State<Admin>, asked: Asked<Whose>) -> Result<Json<Met>, Fault> {
    let asked = query(asked)?;
    revoking::would_revoke(&authority(&admin)?.authority, &asked.what, now_ms()).await.map(Json)
}

async fn revocation(
    State(admin): State<Admin>,
    asked: Asked<Which>,
) -> Result<Json<SpreadAnswer>, Fault> {
    let asked = query(asked)?;
    revoking::spread(&authority(&admin)?.authority, asked.seq, now_ms()).await.map(Json)
}

fn note(admin: &Admin, kind: EventKind, sentence: String) {
    let mut event = Event::new(kind);
    event.sentence = sentence;
    admin.running.recorder.record(event);
}
