//! What a reload did, or why it did nothing, on the record and as an alarm until one succeeds.

use super::Running;
use crate::admin::wire::TableReloaded;
use crate::process::upkeep;
use segwan_core::audit::{Event, EventKind};
use segwan_core::finding::Finding;

/// The alarm while what is written is not what is in force.
const REFUSED: &str = "reload_refused";
/// Most bytes of findings in one event.
const SENTENCE: usize = 8 << 10;

impl Running {
    /// The tables, with those newcomers alone who have no registration, and so no token.
    pub(super) async fn without_the_known(
        &self,
        mut tables: Vec<TableReloaded>,
    ) -> Vec<TableReloaded> {
        let Some(at) = &self.authority else { return tables };
        for table in &mut tables {
            for name in std::mem::take(&mut table.newcomers) {
                // Where the store does not answer, the hint costs nothing.
                if !matches!(at.authority.registration(&name).await, Ok(Some(_))) {
                    table.newcomers.push(name);
                }
            }
        }
        tables
    }

    pub(super) fn tell_reloaded(&self, tables: &[TableReloaded], ended: u64) {
        let changed = |table: &TableReloaded| {
            let changes = table.changes();
            (!changes.is_empty()).then(|| format!("`{}`: {}", table.name, changes.join(", ")))
        };
        let changed: Vec<String> = tables.iter().filter_map(changed).collect();
        let mut event = Event::new(EventKind::Reloaded);
        event.sentence = match (changed.is_empty(), ended) {
            (true, _) => "nothing had changed".to_owned(),
            (false, 0) => changed.join("; "),
            (false, 1) => format!("{}; 1 connection was ended", changed.join("; ")),
            (false, ended) => format!("{}; {ended} connections were ended", changed.join("; ")),
        };
        self.recorder.record(event);
        upkeep::end(self, REFUSED, "");
    }

    pub(super) fn tell_refused(&self, findings: &[Finding]) {
        let one_line = |finding: &Finding| finding.to_string().replace("\n  hint: ", "; hint: ");
        let errors: Vec<_> = findings.iter().filter(|it| it.is_error()).map(one_line).collect();
        let mut sentence = errors.join("; ");
        if sentence.len() > SENTENCE {
            sentence.truncate(sentence.floor_char_boundary(SENTENCE));
            sentence.push('…');
        }
        let mut event = Event::new(EventKind::ReloadRefused);
        event.sentence = sentence;
        self.recorder.record(event);
        let first = errors.first().map(String::as_str).unwrap_or_default();
        let more = match errors.len() {
            0 | 1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        let stays = "what was in force stays so";
        upkeep::raise(
            self,
            REFUSED,
            "",
            &format!("{stays}: {first}{more}; `segwan reload` says all"),
        );
    }
}
