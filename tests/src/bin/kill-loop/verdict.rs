//! What must hold at the end, however often it was killed.

use crate::record::Record;
use crate::server::Server;
use segwan_pki::authority::{
    Authority, AuthorityError, AuthorityOptions, LEAF_LIFETIME, RENEWAL_GRACE,
};
use segwan_pki::directory::StateDir;
use segwan_pki::key::from_hex;
use segwan_pki::revocation::Crl;
use segwan_pki::store::{CertificateRow, Filter};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Holds the store to the record; gives what to print.
pub(crate) async fn look(server: &Server, record: &Record) -> Result<String, Box<dyn Error>> {
    let verified = server.run(&["ca", "ledger", "verify"]).await?;
    let said = String::from_utf8_lossy(&verified.stdout).trim().to_owned();
    if !verified.status.success() {
        let why = String::from_utf8_lossy(&verified.stderr);
        return Err(
            format!("`segwan ca ledger verify` ended with {}: {why}", verified.status).into()
        );
    }
    nothing_is_left(server.state())?;
    let options = AuthorityOptions {
        trust_domain: "segwan.internal".parse()?,
        leaf_lifetime: LEAF_LIFETIME,
        renewal_grace: RENEWAL_GRACE,
    };
    let now = now_ms();
    let state = StateDir::open(server.state())?;
    let authority = Authority::open(&state, &options, now).await?;
    let found = inspect(&authority, record, now).await;
    authority.close().await;
    Ok(format!("{said}\n{}", found?))
}

async fn inspect(
    authority: &Authority,
    record: &Record,
    now: i64,
) -> Result<String, Box<dyn Error>> {
    let all = Filter { most: u32::MAX, ..Filter::default() };
    let rows = authority.list(&all, now).await?;
    let mut by_serial: BTreeMap<&str, &CertificateRow> = BTreeMap::new();
    for row in &rows {
        if by_serial.insert(&row.serial, row).is_some() {
            return Err(format!("the serial number {} was given twice", row.serial).into());
        }
    }
    let held = record.held();
    for (serial, held) in &held {
        let row = by_serial.get(serial.as_str());
        let row =
            row.ok_or_else(|| format!("the store does not know {serial} of {}", held.name))?;
        let known = matches!(row.state.as_str(), "issued" | "revoked");
        if !known || row.name != held.name || row.issuer != held.issuer {
            return Err(format!("the store has {serial} of {} as {row:?}", held.name).into());
        }
        // Byte for byte: no other certificate is renewed, and without a request none is at all.
        match authority.renew(&held.der, b"", now).await {
            Err(AuthorityError::Unrecorded { .. }) => {
                return Err(format!("the store has {serial} with other bytes").into());
            }
            Err(_) => {}
            Ok(_) => return Err("a renewal without a request was granted".into()),
        }
    }
    let listed = on_the_lists(authority, &rows).await?;
    let ended = record.all_ended();
    for serial in &ended {
        let row = by_serial.get(serial.as_str());
        if row.is_none_or(|row| row.state != "revoked") || !listed.contains(serial) {
            return Err(format!("the revocation of {serial} is lost: {row:?}").into());
        }
    }
    // Who was replaced is out; who was voided is on the list; nothing is left half done.
    let count = |state: &str| rows.iter().filter(|row| row.state == state).count();
    for row in rows.iter().filter(|row| matches!(row.state.as_str(), "revoked" | "void")) {
        if !listed.contains(&row.serial) {
            return Err(
                format!("{} of {} is not on the list: {row:?}", row.serial, row.name).into()
            );
        }
    }
    if count("intent") > 0 {
        return Err(format!("{} intents are neither issued nor void", count("intent")).into());
    }
    Ok(format!(
        "{} certificates that clients received are on the record, {} revocations that clients were \
         told of are in force; {} issued, {} revoked, {} void; no serial number twice, no file left",
        held.len(),
        ended.len(),
        count("issued"),
        count("revoked"),
        count("void"),
    ))
}

/// The serial numbers of every issuer's list.
async fn on_the_lists(
    authority: &Authority,
    rows: &[CertificateRow],
) -> Result<BTreeSet<String>, Box<dyn Error>> {
    let mut listed = BTreeSet::new();
    for key in authority.issuing_keys().await? {
        let (_, der) = authority.crl(&key.id).await?.ok_or("an issuing key has no list")?;
        let list = Crl::read(&der)?;
        let here = rows.iter().filter(|row| row.issuer == key.id);
        let revoked =
            here.filter(|row| from_hex(&row.serial).is_some_and(|serial| list.revokes(&serial)));
        listed.extend(revoked.map(|row| row.serial.clone()));
    }
    Ok(listed)
}

/// No file of a half-done work, and no token that has ended.
fn nothing_is_left(state: &Path) -> Result<(), Box<dyn Error>> {
    let mut folders = vec![state.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let (path, entry) = {
                let entry = entry?;
                (entry.path(), entry)
            };
            if entry.file_type()?.is_dir() {
                folders.push(path.clone());
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            let half = [".tmp", ".init", "-wal", "-shm", "-journal", ".part"];
            if half.iter().any(|end| name.ends_with(end)) || name == "admin.sock" {
                return Err(format!("`{}` was left", path.display()).into());
            }
        }
    }
    Ok(())
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
