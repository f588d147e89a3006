//! Custody of keys over the admin socket: what a command asks of the process that serves the
//! state, and does itself where none does.
//!
//! The root's key is in none of these: a command signs with it and hands over the result.

use super::Fault;
use super::routes::{Admin, authority, now_ms, said};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::routing::{MethodRouter, post};
use segwan_core::audit::{Event, EventKind};
use segwan_pki::authority::{Adopted, Authority, AuthorityError};
use segwan_pki::custody::{Passphrase, Permitted, certificates, chain_text};
use segwan_pki::key::{from_hex, hex};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The path of [`issuing`].
pub(crate) const ISSUING: &str = "/v1/ca/issuing";
/// The path of [`request`].
pub(crate) const REQUEST: &str = "/v1/ca/issuing/request";
/// The path of [`import`].
pub(crate) const IMPORT: &str = "/v1/ca/issuing/import";
/// The path of [`distrust`].
pub(crate) const DISTRUST: &str = "/v1/ca/issuing/distrust";
/// The path of [`root_list`].
pub(crate) const ROOT_LIST: &str = "/v1/ca/root/list";
/// The path of [`import_root_list`].
pub(crate) const ROOT_LIST_IMPORT: &str = "/v1/ca/root/list/import";
/// The path of [`root_exported`].
pub(crate) const ROOT_EXPORTED: &str = "/v1/ca/root/exported";

/// The path of [`backup`].
pub(crate) const BACKUP: &str = "/v1/ca/backup";
/// The path of [`backup_moved`].
pub(crate) const BACKUP_MOVED: &str = "/v1/ca/backup/moved";
/// The path of [`adopt`].
pub(crate) const ADOPT: &str = "/v1/ca/adopt";

/// What seals a backup.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sealing {
    /// The passphrase.
    pub(crate) passphrase: String,
}

impl std::fmt::Debug for Sealing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealing")
    }
}

/// A backup, in a file beside the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BackedUp {
    /// The file, to be moved away.
    pub(crate) path: std::path::PathBuf,
    /// Its size.
    pub(crate) bytes: u64,
    /// The last line of the ledger in it.
    pub(crate) ledger: i64,
    /// Issuing keys in it.
    pub(crate) keys: usize,
}

/// What is to be adopted: one of both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Adopting {
    /// A serial number in hex.
    pub(crate) serial: Option<String>,
    /// The certificate in PEM, whatever follows it.
    pub(crate) pem: Option<String>,
}

/// What was adopted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AdoptedAnswer {
    /// Its serial number.
    pub(crate) serial: String,
    /// Whose it is, if the certificate is there already.
    pub(crate) name: Option<String>,
    /// When it ends, Unix milliseconds, if that is known.
    pub(crate) not_after_ms: Option<i64>,
}

/// An issuing key as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IssuingKey {
    /// Its key id.
    pub(crate) id: String,
    /// `spare`, `active`, `retiring` or `distrusted`.
    pub(crate) state: String,
    /// When its certificate was made, Unix milliseconds.
    pub(crate) made_ms: i64,
    /// When that ends.
    pub(crate) not_after_ms: i64,
    /// Certificates in force under it.
    pub(crate) certificates: i64,
    /// Its certificate in PEM.
    pub(crate) certificate: String,
}

/// All issuing keys, and how they are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IssuingKeys {
    /// They.
    pub(crate) keys: Vec<IssuingKey>,
    /// Whether they are encrypted on the disk.
    pub(crate) sealed: bool,
    /// Whether a request waits for what the root signs.
    pub(crate) request_is_open: bool,
}

/// What to sign where the root is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Requested {
    /// The request in DER, hex.
    pub(crate) request: String,
    /// The extension file for plain OpenSSL.
    pub(crate) extensions: String,
    /// What it shall speak for.
    pub(crate) permitted: Permitted,
}

/// A chain in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Chain {
    /// The issuing certificate, and the root behind it or nothing.
    pub(crate) pem: String,
}

/// What became of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Imported {
    /// Key id.
    pub(crate) id: String,
    /// `spare` or `active`.
    pub(crate) state: String,
    /// When it ends, Unix milliseconds.
    pub(crate) not_after_ms: i64,
}

/// Which key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyId {
    /// Its id, or at least 8 characters of its beginning.
    pub(crate) id: String,
}

/// What became of a key that is distrusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Distrusted {
    /// Key id.
    pub(crate) id: String,
    /// The one that signs now, if that changed.
    pub(crate) successor: Option<String>,
    /// Certificates under it that nobody believes now.
    pub(crate) certificates: i64,
    /// Whether no spare is left.
    pub(crate) last: bool,
}

/// What the list of the root has to say: number, and serials with their times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RootList {
    /// The least number.
    pub(crate) number: i64,
    /// Serial in hex, and Unix milliseconds.
    pub(crate) revoked: Vec<(String, i64)>,
}

/// Something in DER, hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Der {
    /// It.
    pub(crate) der: String,
}

/// Nothing more to say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Nothing {}

/// Every issuing key.
pub(crate) async fn issuing(authority: &Authority, _: Nothing) -> Result<IssuingKeys, Fault> {
    let custody = authority.custody().await?;
    let all = authority.issuing(now_ms()).await?;
    let shown = |key: segwan_pki::authority::IssuingView| IssuingKey {
        certificate: chain_text(&[key.der]),
        id: key.id,
        state: key.state.to_owned(),
        made_ms: key.made_ms,
        not_after_ms: key.not_after_ms,
        certificates: key.certificates,
    };
    Ok(IssuingKeys {
        keys: all.into_iter().map(shown).collect(),
        sealed: custody.issuing_keys_sealed,
        request_is_open: custody.request_is_open,
    })
}

/// A request for an issuing certificate.
pub(crate) async fn request(
    authority: &Authority,
    permitted: Permitted,
) -> Result<Requested, Fault> {
    let made = authority.request_issuing(permitted).await?;
    let (extensions, permitted) = (made.extensions, made.permitted);
    Ok(Requested { request: hex(&made.request), extensions, permitted })
}

/// Takes what was signed.
pub(crate) async fn import(authority: &Authority, chain: Chain) -> Result<Imported, Fault> {
    let chain = certificates(&chain.pem).map_err(AuthorityError::from)?;
    let done = authority.import_issuing(&chain, now_ms()).await?;
    let state = done.state.to_owned();
    Ok(Imported { id: done.id, state, not_after_ms: done.not_after_ms })
}

/// Ends belief in a key.
pub(crate) async fn distrust(authority: &Authority, key: KeyId) -> Result<Distrusted, Fault> {
    let done = authority.distrust_issuing(&key.id, now_ms()).await?;
    Ok(Distrusted {
        id: done.id,
        successor: done.successor,
        certificates: done.certificates,
        last: done.last,
    })
}

/// What the root's list has to say.
pub(crate) async fn root_list(authority: &Authority, _: Nothing) -> Result<RootList, Fault> {
    let list = authority.root_list(now_ms()).await?;
    Ok(RootList { number: list.number, revoked: list.revoked })
}

/// Takes the root's list.
pub(crate) async fn import_root_list(authority: &Authority, list: Der) -> Result<Nothing, Fault> {
    let der = from_hex(&list.der).ok_or_else(|| Fault::asked("the list is not hexadecimal"))?;
    authority.import_root_list(&der, now_ms()).await?;
    Ok(Nothing {})
}

/// Records that the root's key was copied.
pub(crate) async fn root_exported(authority: &Authority, _: Nothing) -> Result<Nothing, Fault> {
    authority.note_root_exported(now_ms()).await?;
    Ok(Nothing {})
}

/// Writes a backup beside the store.
pub(crate) async fn backup(authority: &Authority, sealing: Sealing) -> Result<BackedUp, Fault> {
    let passphrase = Passphrase::new(sealing.passphrase).map_err(AuthorityError::from)?;
    let made = authority.backup(&passphrase, now_ms()).await?;
    Ok(BackedUp { path: made.path, bytes: made.bytes, ledger: made.ledger, keys: made.keys })
}

/// Records that the backup was moved to where it is kept.
pub(crate) async fn backup_moved(authority: &Authority, _: Nothing) -> Result<Nothing, Fault> {
    authority.note_backup(now_ms()).await?;
    Ok(Nothing {})
}

/// Adopts a certificate that a restore does not know.
pub(crate) async fn adopt(
    authority: &Authority,
    adopting: Adopting,
) -> Result<AdoptedAnswer, Fault> {
    let done = match (adopting.serial, adopting.pem) {
        (Some(serial), None) => authority.adopt_serial(&serial, now_ms()).await?,
        (None, Some(pem)) => {
            let chain = certificates(&pem).map_err(AuthorityError::from)?;
            let leaf = chain.into_iter().next().unwrap_or_default();
            authority.adopt(&leaf, now_ms()).await?
        }
        _ => return Err(Fault::asked("a serial number or a certificate is needed")),
    };
    Ok(match done {
        Adopted::Now { name, serial, not_after_ms } => {
            AdoptedAnswer { serial, name: Some(name), not_after_ms: Some(not_after_ms) }
        }
        Adopted::When { serial } => AdoptedAnswer { serial, name: None, not_after_ms: None },
    })
}

/// The routes, for the socket alone.
pub(super) fn routes() -> Vec<(&'static str, MethodRouter<Admin>)> {
    vec![
        (ISSUING, post(|admin, body| answer(admin, body, "", issuing))),
        (
            REQUEST,
            post(|admin, body| {
                finished(answer(admin, body, "an issuing certificate was asked for", request))
            }),
        ),
        (
            IMPORT,
            post(|admin, body| {
                finished(answer(admin, body, "an issuing certificate was imported", import))
            }),
        ),
        (
            DISTRUST,
            post(|admin, body| {
                finished(answer(admin, body, "an issuing key was distrusted", distrust))
            }),
        ),
        (BACKUP, post(|admin, body| answer(admin, body, "", backup))),
        (
            BACKUP_MOVED,
            post(|admin, body| finished(answer(admin, body, "a backup was made", backup_moved))),
        ),
        (
            ADOPT,
            post(|admin, body| finished(answer(admin, body, "a certificate was adopted", adopt))),
        ),
        (ROOT_LIST, post(|admin, body| answer(admin, body, "", root_list))),
        (
            ROOT_LIST_IMPORT,
            post(|admin, body| {
                finished(answer(
                    admin,
                    body,
                    "the root's revocation list was imported",
                    import_root_list,
                ))
            }),
        ),
        (
            ROOT_EXPORTED,
            post(|admin, body| {
                finished(answer(admin, body, "the root's key was exported", root_exported))
            }),
        ),
    ]
}

/// What changes something: once begun it is finished, also for somebody who has gone. Store and
/// memory must not part where a request is dropped.
pub(super) async fn finished<A: Send + 'static>(
    answer: impl Future<Output = Result<Json<A>, Fault>> + Send + 'static,
) -> Result<Json<A>, Fault> {
    let broke =
        |error| Fault::new(StatusCode::INTERNAL_SERVER_ERROR, format!("it broke off: {error}"));
    tokio::spawn(answer).await.map_err(broke)?
}

/// One question, answered by the Authority of this process, and recorded if it changed something.
pub(super) async fn answer<Q: DeserializeOwned, A: Serialize>(
    State(admin): State<Admin>,
    body: Request<Body>,
    sentence: &str,
    ask: impl AsyncFnOnce(&Authority, Q) -> Result<A, Fault>,
) -> Result<Json<A>, Fault> {
    let question = said(body, admin.bounds).await?;
    let answer = ask(&authority(&admin)?.authority, question).await?;
    if !sentence.is_empty() {
        let mut event = Event::new(EventKind::Admin);
        sentence.clone_into(&mut event.sentence);
        admin.running.recorder.record(event);
    }
    Ok(Json(answer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_change_that_was_begun_is_finished_for_somebody_who_has_gone() {
        let (go, gone) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let changing = finished(async move {
            gone.await.unwrap();
            tell.send("done").unwrap();
            Ok(Json(Nothing {}))
        });
        let dropped = tokio::time::timeout(std::time::Duration::from_millis(10), changing);
        assert!(dropped.await.is_err());
        go.send(()).unwrap();
        assert_eq!(told.await.unwrap(), "done");
    }
}
