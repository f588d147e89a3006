//! What a large Authority costs: how long it takes to list, revoke, rebuild a list and open, with
//! 10,000 registrations and 100,000 certificates, most of them ended or all of them live.
//!
//! `cargo run --release -p segwan-bench --bin pki_scale` issues every certificate in the real way,
//! which takes some minutes, and then prints one table. A first argument sets the number of
//! certificates. The store is filled where nothing is slow (`/dev/shm`) and measured on the disk of
//! `$TMPDIR`.

use segwan_pki::authority::{
    Authority, AuthorityOptions, LEAF_LIFETIME, OnReenroll, RENEWAL_GRACE, Registration, Selector,
};
use segwan_pki::directory::StateDir;
use segwan_pki::key::PrivateKey;
use segwan_pki::profile::Profile;
use segwan_pki::revocation::{self, RevocationReason};
use segwan_pki::store::Filter;
use segwan_pki::x509::{self, certificate_request};
use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const START: i64 = 1_790_000_000_000;
const HOUR: i64 = 3_600_000;
/// Certificates of each registration.
const EACH: usize = 10;
/// So much later the last are made: whoever ended may renew for 30 days, and is revoked until then.
const LATER: i64 = 40 * 24 * HOUR;
/// Live certificates where most have ended.
const FEW: usize = 2_000;
/// How often what changes nothing is measured; the least counts, because other
/// programs only add to it.
const ROUNDS: usize = 9;

/// What was measured, and the milliseconds of each store.
type Row = (&'static str, Vec<f64>);

fn main() -> Result<(), Box<dyn Error>> {
    let all = std::env::args().nth(1).map_or(Ok(100_000), |text| text.parse())?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build()?;
    let (mut rows, mut entries) = (Vec::new(), Vec::new());
    runtime.block_on(async {
        let shared = Path::new("/dev/shm");
        let fast = match shared.is_dir() {
            true => tempfile::tempdir_in(shared)?,
            false => tempfile::tempdir()?,
        };
        let filled = fast.path().join("state");
        let began = Instant::now();
        fill(&filled, all).await?;
        eprintln!("{all} certificates were issued in {:.0} s", began.elapsed().as_secs_f64());
        // Forty days later all but the last have ended, and their time to renew too; two hours
        // later none has.
        let few = Case { all, live: FEW, now: START + LATER, old: START + LATER - 2 * HOUR + 1 };
        let many = Case { all, live: all, now: START + 2 * HOUR, old: START + 1 };
        for case in [few, many] {
            entries.push(one_store(&filled, &case, &mut rows).await?);
        }
        Ok::<_, Box<dyn Error>>(())
    })?;
    println!("| milliseconds | {FEW} live | all {all} live |\n|---|---:|---:|");
    for (what, took) in rows {
        let took: Vec<_> = took.iter().map(|ms| format!("{ms:.1}")).collect();
        println!("| {what} | {} |", took.join(" | "));
    }
    println!("\nThe longest list has {} and {} entries.", entries[0], entries[1]);
    Ok(())
}

/// One look at the store, from a clock of its own.
struct Case {
    all: usize,
    live: usize,
    now: i64,
    /// What was made before is revoked together: a thousand.
    old: i64,
}

async fn one_store(
    filled: &Path,
    case: &Case,
    rows: &mut Vec<Row>,
) -> Result<usize, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let copied = Command::new("cp").arg("-a").arg(filled).arg(folder.path()).status()?;
    if !copied.success() {
        return Err("the store cannot be copied".into());
    }
    let state = StateDir::open(&folder.path().join("state"))?;
    let began = Instant::now();
    let authority = Authority::open(&state, &options()?, case.now).await?;
    note(rows, "open", ms(began));
    let entries = measure(&authority, case, rows).await?;
    authority.close().await;
    Ok(entries)
}

fn options() -> Result<AuthorityOptions, Box<dyn Error>> {
    Ok(AuthorityOptions {
        trust_domain: "segwan.internal".parse()?,
        leaf_lifetime: LEAF_LIFETIME,
        renewal_grace: RENEWAL_GRACE,
    })
}

/// Issues `all` certificates: a thousand, then most an hour later, then the last two thousand forty
/// days later, half of these an hour before the others.
async fn fill(place: &Path, all: usize) -> Result<(), Box<dyn Error>> {
    let state = StateDir::open(place)?;
    let authority = Authority::open(&state, &options()?, START).await?;
    for number in 0..all.div_ceil(EACH) {
        let registration = Registration {
            on_reenroll: OnReenroll::Add,
            max_lineages: u32::try_from(EACH)? + 1,
            leaf_lifetime: Some(Duration::from_secs(96 * 3600)),
            ..Registration::new(&format!("client-{number}"), Profile::Client)
        };
        authority.register(&registration, START).await?;
    }
    for number in 0..all {
        let at = match number {
            _ if number < 1000 => START,
            _ if number < all - FEW => START + HOUR,
            _ if number < all - FEW / 2 => START + LATER - 2 * HOUR,
            _ => START + LATER - HOUR,
        };
        let csr = certificate_request(&PrivateKey::generate()?)?;
        authority.issue_local(&format!("client-{}", number / EACH), &csr, at).await?;
    }
    authority.close().await;
    Ok(())
}

/// Measures one store; gives the entries of its longest revocation list.
async fn measure(
    authority: &Authority,
    case: &Case,
    rows: &mut Vec<Row>,
) -> Result<usize, Box<dyn Error>> {
    let Case { all, live, now, old } = *case;
    for (what, most) in [("list, 1,000 rows", 1000), ("list, at most 10,000 rows", 10_000)] {
        let filter = Filter { most, ..Filter::default() };
        let wanted = live.min(usize::try_from(most)?);
        let took = least(async || match authority.list(&filter, now).await?.len() {
            enough if enough >= wanted => Ok(()),
            listed => Err(format!("{listed} rows, not {wanted}").into()),
        });
        note(rows, what, took.await?);
    }
    let took = least(async || Ok(authority.registrations().await.map(|_| ())?)).await?;
    note(rows, "list every registration", took);
    let took = least(async || Ok(authority.outage_budget(now).await.map(|_| ())?)).await?;
    note(rows, "outage budget", took);
    let reason = RevocationReason::Unspecified;
    // The last names lose one certificate each.
    let mut last = all / EACH;
    let mut revoke_one = async || {
        last -= 1;
        let name = Some(format!("client-{last}"));
        let listed = authority.list(&Filter { name, ..Filter::default() }, now).await?;
        let one = listed.into_iter().find(|row| row.state == "issued");
        let serial = one.ok_or("no certificate is left")?.serial;
        authority.revoke(&Selector::Serial(serial), reason, now).await?;
        Ok(())
    };
    note(rows, "find and revoke one", least(&mut revoke_one).await?);
    let began = Instant::now();
    let before = Selector::Before(old);
    let revoked = authority.revoke(&before, reason, now).await?.certificates.len();
    note(rows, "revoke 1,000 at once", ms(began));
    let mut entries = revoked + ROUNDS;
    let took = least(async || Ok(authority.trust(now).await.map(|_| ())?)).await?;
    note(rows, "all that an agent is told, 1,000 revoked", took);
    // As many entries as the promise is about; few live ones give no more than they are.
    for number in (1000 / EACH..all / EACH - 100).rev() {
        if live < all || entries >= 20_000 {
            break;
        }
        let name = Selector::Name(format!("client-{number}"));
        entries += authority.revoke(&name, reason, now).await?.certificates.len();
    }
    note(rows, "sign the longest list, alone", sign(entries).await?);
    let mut hour = now;
    let took = least(async || {
        hour += HOUR + 1;
        Ok(authority.maintain(hour).await.map(|_| ())?)
    });
    note(rows, "hourly work, with the longest list", took.await?);
    note(rows, "find and revoke one, with the longest list", least(&mut revoke_one).await?);
    let took = least(async || Ok(authority.trust(now).await.map(|_| ())?)).await?;
    note(rows, "all that an agent is told, with the longest list", took);
    let began = Instant::now();
    authority.verify_ledger().await?;
    note(rows, "verify the ledger", ms(began));
    Ok(entries + ROUNDS)
}

/// Signs a list of so many entries, without the store.
async fn sign(entries: usize) -> Result<f64, Box<dyn Error>> {
    let (domain, at) = ("segwan.internal", START / 1000);
    let root = x509::Authority::root(domain, PrivateKey::generate_root()?, [7; 16], at)?;
    let issuer = root.issuing(domain, PrivateKey::generate()?, [8; 16], at, 365)?;
    let entry = |number: usize| {
        let mut serial = vec![0x5a; 16];
        serial.splice(..8, (number as u64 | 1 << 62).to_be_bytes());
        revocation::Entry { serial, at_ms: START, reason: RevocationReason::Unspecified }
    };
    let entries: Vec<_> = (0..entries).map(entry).collect();
    let end = START + 168 * HOUR;
    least(async || Ok(revocation::sign(&issuer, 1, START, end, &entries).map(|_| ())?)).await
}

async fn least(
    mut work: impl AsyncFnMut() -> Result<(), Box<dyn Error>>,
) -> Result<f64, Box<dyn Error>> {
    let mut least = f64::INFINITY;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        work().await?;
        least = least.min(ms(began));
    }
    Ok(least)
}

fn note(rows: &mut Vec<Row>, what: &'static str, took: f64) {
    match rows.iter_mut().find(|(known, _)| *known == what) {
        Some((_, row)) => row.push(took),
        None => rows.push((what, vec![took])),
    }
}

fn ms(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1000.0
}
