//! `segwan status`: how the process that serves a state stands.

use super::columns::{Cell, Columns, plain};
use super::report::{Look, Report};
use super::{Exit, Failure, Global};
use crate::admin::{client, wire};
use crate::alarms::Raised;
use crate::gateway::{NOT_ENFORCED, Replaced, and_beside};
use crate::status::when::{distance, instant};
use crate::status::{AuthorityStatus, IdentityStatus, PeerStatus, Status, TableStatus};
use std::path::Path;

/// Show services, peers, certificates and refusals of a running process
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan status
  segwan status --state /var/lib/segwan
  segwan status --json | jq '.services[].refused'

Exit codes: 0 shown; 1 the process did not answer as it should; 2 no process serves the state.")]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// If no process serves the state, or it does not answer.
#[allow(clippy::needless_pass_by_value, reason = "every command is called alike")]
pub fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    let state = global.state_dir(None)?;
    let status: Status = client::get(&socket(&state), wire::STATUS)?;
    if args.json {
        global.report.text(&json(&status)?);
    } else {
        show(&global.report, &status, jiff::Timestamp::now().as_millisecond());
    }
    Ok(Exit::Done)
}

/// Where the process that serves `state` can be asked.
pub(super) fn socket(state: &Path) -> std::path::PathBuf {
    state.join("run/admin.sock")
}

/// JSON for scripts, with an end of line.
pub(super) fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|error| Failure::refused(format!("no JSON: {error}")))?;
    Ok(text + "\n")
}

fn show(report: &Report, status: &Status, now_ms: i64) {
    if status.authority.as_ref().is_some_and(|authority| authority.root_key_online) {
        let nag = "the root key lies on this host: whoever takes the host takes the Authority; \
                   `segwan ca root export --to DIR` moves it away";
        report.line(format_args!("{}", report.style(Look::Warning, nag)));
    }
    let since = distance(status.started_ms, now_ms);
    let (version, pid) = (&status.version, status.pid);
    report.line(format_args!("segwan {version}, process {pid}, started {since}"));
    alarms(report, &status.alarms, now_ms);
    tables(report, "services", &status.services, now_ms);
    tables(report, "clients", &status.clients, now_ms);
    identities(report, &status.identities, now_ms);
    if let Some(authority) = &status.authority {
        show_authority(report, authority, now_ms);
    }
}

fn heading(report: &Report, text: &str) {
    report.line(format_args!("\n{}", report.style(Look::Bold, text)));
}

fn alarms(report: &Report, alarms: &[Raised], now_ms: i64) {
    if alarms.is_empty() {
        return;
    }
    heading(report, "alarms");
    let mut columns = Columns::headed(&["ALARM", "SINCE", ""]);
    for one in alarms {
        columns.row([
            (Look::Bad, one.alarm.clone()),
            plain(distance(one.since_ms, now_ms)),
            plain(&one.sentence),
        ]);
    }
    columns.print(report, 2);
}

fn tables(report: &Report, name: &str, tables: &[TableStatus], now_ms: i64) {
    if tables.is_empty() {
        return;
    }
    heading(report, name);
    let mut columns =
        Columns::headed(&["NAME", "LISTEN", "TO", "CONTRACT", "OPEN", "ACCEPTED", "REFUSED"]);
    for table in tables {
        columns.row([
            (Look::Bold, table.name.clone()),
            plain(&table.listen),
            plain(&table.to),
            contract(table),
            plain(open(table, now_ms)),
            plain(table.accepted.to_string()),
            refused(table),
        ]);
    }
    columns.print(report, 2);
    let peers: Vec<_> = tables.iter().flat_map(|t| t.peers.iter().map(move |p| (t, p))).collect();
    if !peers.is_empty() {
        heading(report, &format!("peers of {name}"));
        show_peers(report, &peers, now_ms);
        let more: usize = tables.iter().map(|t| t.connections.saturating_sub(t.peers.len())).sum();
        if more > 0 {
            report.line(format_args!("  and {more} more"));
        }
    }
}

fn show_peers(report: &Report, peers: &[(&TableStatus, &PeerStatus)], now_ms: i64) {
    let mut columns = Columns::headed(&["PEER", "AT", "ADDRESS", "SINCE", "CERTIFICATE ENDS"]);
    for (table, peer) in peers {
        columns.row([
            plain(&peer.peer),
            plain(&table.name),
            plain(&peer.address),
            plain(distance(peer.began_ms, now_ms)),
            ends(peer.not_after_ms, now_ms),
        ]);
    }
    columns.print(report, 2);
}

fn contract(table: &TableStatus) -> Cell {
    let (look, in_force) = in_force(table);
    match table.beside.as_deref() {
        None => (look, in_force),
        beside => (Look::Warning, format!("{in_force}{}", and_beside(beside))),
    }
}

fn in_force(table: &TableStatus) -> Cell {
    match &table.contract {
        Some(contract) if table.shadow => (Look::Warning, format!("{contract} ({NOT_ENFORCED})")),
        Some(contract) => match &table.uninspected {
            Some(what) => (Look::Warning, format!("{contract} ({what})")),
            None => plain(contract),
        },
        None if table.recorded => (Look::Warning, "uninspected, recorded".to_owned()),
        None => (Look::Warning, "uninspected".to_owned()),
    }
}

fn open(table: &TableStatus, now_ms: i64) -> String {
    let mut open = table.connections.to_string();
    for Replaced { contract, connections, until_ms } in &table.replaced {
        let contract = contract.as_deref().unwrap_or("no contract");
        let end = match until_ms {
            past if *past <= now_ms => "that end now".to_owned(),
            until => format!("for {}", distance(*until, now_ms).trim_start_matches("in ")),
        };
        open += &format!(", {connections} under {contract} {end}");
    }
    if table.handshakes > 0 {
        open += &format!(" +{} arriving", table.handshakes);
    }
    open
}

fn refused(table: &TableStatus) -> Cell {
    if table.refused.is_empty() {
        return plain("0");
    }
    let mut counts: Vec<_> = table.refused.iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let words: Vec<String> =
        counts.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    (Look::Warning, words.join(", "))
}

fn identities(report: &Report, identities: &[IdentityStatus], now_ms: i64) {
    if identities.is_empty() {
        return;
    }
    heading(report, "identities");
    let mut columns = Columns::headed(&["IDENTITY", "ENDS", "RENEWS", "STATE"]);
    for identity in identities {
        let renews = match identity.renew_at_ms {
            Some(at) if at <= now_ms => "due".to_owned(),
            Some(at) => distance(at, now_ms),
            None => "by whoever made it".to_owned(),
        };
        columns.row([
            (Look::Bold, identity.identity.clone()),
            ends(identity.not_after_ms, now_ms),
            plain(renews),
            health(identity, now_ms),
        ]);
    }
    columns.print(report, 2);
}

fn health(identity: &IdentityStatus, now_ms: i64) -> Cell {
    if identity.not_after_ms <= now_ms {
        return (Look::Bad, with_error("ended", identity));
    }
    match identity.failures {
        0 => (Look::Good, "good".to_owned()),
        1 => (Look::Warning, with_error("1 renewal failed", identity)),
        many => (Look::Warning, with_error(&format!("{many} renewals failed"), identity)),
    }
}

fn with_error(state: &str, identity: &IdentityStatus) -> String {
    match &identity.last_error {
        Some(error) => format!("{state}: {error}"),
        None => state.to_owned(),
    }
}

/// An end, and that it is past or near.
pub(super) fn ends(at_ms: i64, now_ms: i64) -> Cell {
    const NEAR: i64 = 24 * 3_600_000;
    let look = match at_ms - now_ms {
        ..=0 => Look::Bad,
        left if left < NEAR => Look::Warning,
        _ => Look::Plain,
    };
    (look, distance(at_ms, now_ms))
}

fn show_authority(report: &Report, authority: &AuthorityStatus, now_ms: i64) {
    heading(report, "authority");
    let mut columns = Columns::default();
    let mut fact = |name: &str, cell: Cell| columns.row([(Look::Dim, name.to_owned()), cell]);
    fact("listens", plain(&authority.listen));
    fact("trust domain", plain(&authority.trust_domain));
    fact("root", plain(&authority.root_fingerprint));
    match &authority.fault {
        Some(fault) => fact("store", (Look::Bad, fault.clone())),
        None => {
            fact("registrations", plain(authority.registrations.to_string()));
            fact("open tokens", plain(authority.open_tokens.to_string()));
            fact("agents", plain(agents(authority)));
            fact("bundle", plain(format!("version {}", authority.bundle_version)));
            fact("may be down", outage_budget(authority));
            fact("last backup", backup(authority, now_ms));
        }
    }
    let kept = if authority.issuing_keys_sealed {
        "encrypted on the disk"
    } else {
        "protected by file mode only"
    };
    fact("issuing keys", plain(kept));
    if authority.read_only {
        let full = "the disk is full: nothing is issued, revoking works".to_owned();
        fact("issuing", (Look::Bad, full));
    }
    columns.print(report, 2);
}

fn backup(authority: &AuthorityStatus, now_ms: i64) -> Cell {
    const LONG: i64 = 7 * 86_400_000;
    match authority.backup_ms {
        Some(at) if now_ms - at < LONG => plain(distance(at, now_ms)),
        Some(at) => (Look::Warning, distance(at, now_ms)),
        None => (Look::Warning, "never; `segwan ca backup FILE` makes one".to_owned()),
    }
}

fn agents(authority: &AuthorityStatus) -> String {
    match authority.agents {
        0 => "none was heard of within a week".to_owned(),
        known => format!("{} listen, of {known} heard of within a week", authority.listening),
    }
}

/// How long the Authority may stay down before somebody has no certificate.
fn outage_budget(authority: &AuthorityStatus) -> Cell {
    const SHORT: i64 = 12 * 3_600_000;
    let Some(budget) = authority.outage_budget_ms else {
        return plain("for ever: nobody holds a certificate");
    };
    let look = if budget < SHORT { Look::Warning } else { Look::Plain };
    let time = match (budget / 3_600_000, budget / 60_000) {
        (0, minutes) => format!("{minutes} min"),
        (hours, _) => format!("{hours} h"),
    };
    (
        look,
        format!("for {time}, until the first of {} holders has no certificate", authority.in_force),
    )
}

/// An instant and how far it is, for single facts.
pub(super) fn instant_and_distance(ms: i64, now_ms: i64) -> String {
    format!("{} ({})", instant(ms), distance(ms, now_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const NOW: i64 = 1_790_000_000_000;
    const HOUR: i64 = 3_600_000;

    #[test]
    fn reasons_stand_in_the_order_of_their_number() {
        let mut table = TableStatus {
            name: "orders".to_owned(),
            listen: String::new(),
            to: String::new(),
            contract: None,
            contract_hash: None,
            recorded: false,
            shadow: false,
            beside: None,
            uninspected: None,
            accepted: 0,
            handshakes: 2,
            connections: 5,
            replaced: Vec::new(),
            refused: BTreeMap::new(),
            peers: Vec::new(),
        };
        assert_eq!(refused(&table).1, "0");
        assert_eq!(contract(&table), (Look::Warning, "uninspected".to_owned()));
        let tried = TableStatus { contract: Some("o/1".to_owned()), shadow: true, ..table.clone() };
        assert_eq!(contract(&tried), (Look::Warning, "o/1 (shadow, not enforced)".to_owned()));
        let what = "what the server says is not inspected: status pages".to_owned();
        let next = Some("o/2".to_owned());
        let beside = TableStatus { shadow: false, beside: next, ..tried.clone() };
        let shown = "o/1; beside it o/2 (shadow, not enforced)";
        assert_eq!(contract(&beside), (Look::Warning, shown.to_owned()));
        let half = TableStatus { shadow: false, uninspected: Some(what), ..tried };
        let shown = "o/1 (what the server says is not inspected: status pages)";
        assert_eq!(contract(&half), (Look::Warning, shown.to_owned()));
        assert_eq!(open(&table, NOW), "5 +2 arriving");
        let before =
            |until_ms| Replaced { contract: Some("o/1".to_owned()), connections: 3, until_ms };
        table.replaced = vec![before(NOW + HOUR / 12)];
        assert_eq!(open(&table, NOW), "5, 3 under o/1 for 5 min +2 arriving");
        table.replaced = vec![before(NOW - HOUR)];
        assert_eq!(open(&table, NOW), "5, 3 under o/1 that end now +2 arriving");
        table.refused = BTreeMap::from([("charset".to_owned(), 1), ("schema".to_owned(), 7)]);
        assert_eq!(refused(&table).1, "schema 7, charset 1");
    }

    #[test]
    fn an_identity_that_is_not_renewed_says_so() {
        let mut identity = IdentityStatus {
            identity: "spiffe://td/app".to_owned(),
            not_after_ms: NOW + 31 * HOUR,
            renew_at_ms: Some(NOW),
            failures: 0,
            last_error: None,
        };
        assert_eq!(health(&identity, NOW), (Look::Good, "good".to_owned()));
        assert_eq!(ends(identity.not_after_ms, NOW), (Look::Plain, "in 31 h".to_owned()));
        identity.failures = 2;
        identity.last_error = Some("nobody answers".to_owned());
        assert_eq!(health(&identity, NOW).1, "2 renewals failed: nobody answers");
        assert_eq!(health(&identity, NOW + 32 * HOUR).0, Look::Bad);
        assert_eq!(ends(identity.not_after_ms, NOW + 30 * HOUR).0, Look::Warning);
    }
}
