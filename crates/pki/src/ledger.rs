//! The ledger: every change of the Authority's state, chained by hashes.

use crate::key::sha256;
use serde::Serialize;

/// One entry. Its canonical bytes are made from this struct, field by field, never from a generic
/// JSON value, whose key order depends on what else is linked (`crates.md` DEP-33).
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Entry<'a> {
    /// What kind of change: `init`, `registration`, `token`, `intent`, `issued`, `void`, `revoked`,
    /// `crl`, `bundle`, `issuing`, `root_exported`, `rotation`, `backup`, `restore`, `adopted`.
    pub(crate) kind: &'a str,
    /// When, Unix milliseconds.
    pub(crate) at: i64,
    /// The registration it is about.
    pub(crate) name: &'a str,
    /// The certificate it is about: issuer and serial.
    pub(crate) issuer: &'a str,
    pub(crate) serial: &'a str,
    /// What else identifies it, such as a hash. Never a secret.
    pub(crate) detail: &'a str,
}

impl<'a> Entry<'a> {
    pub(crate) fn new(kind: &'a str, at: i64, name: &'a str) -> Self {
        Self { kind, at, name, issuer: "", serial: "", detail: "" }
    }
}

/// One line as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) seq: i64,
    pub(crate) entry: String,
    pub(crate) prev: Vec<u8>,
    pub(crate) hash: Vec<u8>,
}

impl Line {
    /// The line after the one with number `seq` and hash `prev`.
    pub(crate) fn after(seq: i64, prev: Vec<u8>, entry: &Entry<'_>) -> Self {
        let (seq, entry) = (seq + 1, serde_json::to_string(entry).unwrap_or_default());
        let hash = hash(seq, &entry, &prev);
        Self { seq, entry, prev, hash }
    }
}

fn hash(seq: i64, entry: &str, prev: &[u8]) -> Vec<u8> {
    let mut bytes = b"segwan ledger v1".to_vec();
    bytes.extend_from_slice(prev);
    bytes.extend_from_slice(&seq.to_be_bytes());
    bytes.extend_from_slice(entry.as_bytes());
    sha256(&bytes).to_vec()
}

/// Walks along a chain of lines, page by page.
#[derive(Debug, Clone)]
pub(crate) struct Walk {
    seq: i64,
    hash: Vec<u8>,
}

impl Default for Walk {
    fn default() -> Self {
        Self { seq: 0, hash: vec![0; 32] }
    }
}

impl Walk {
    /// The number of the last good line.
    pub(crate) fn seq(&self) -> i64 {
        self.seq
    }

    /// Goes on over these lines.
    ///
    /// # Errors
    /// The number of the first line that breaks the chain.
    pub(crate) fn over(&mut self, lines: &[Line]) -> Result<(), i64> {
        for line in lines {
            let whole = line.seq == self.seq + 1
                && line.prev == self.hash
                && line.hash == hash(line.seq, &line.entry, &line.prev);
            if !whole {
                return Err(self.seq + 1);
            }
            self.seq = line.seq;
            self.hash.clone_from(&line.hash);
        }
        Ok(())
    }
}

/// What a line says, as far as it is compared with the rest of the store.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub(crate) struct Said {
    pub(crate) kind: String,
    pub(crate) issuer: String,
    pub(crate) serial: String,
}

impl Line {
    /// What the line says.
    pub(crate) fn said(&self) -> Option<Said> {
        serde_json::from_str(&self.entry).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // PKI-55
    #[test]
    fn a_changed_removed_or_swapped_line_is_named() {
        let mut lines: Vec<Line> = Vec::new();
        for n in 0..5 {
            let (seq, prev) =
                lines.last().map_or_else(|| (0, vec![0; 32]), |l| (l.seq, l.hash.clone()));
            lines.push(Line::after(seq, prev, &Entry::new("token", n, "app")));
        }
        let broken = |lines: &[Line]| Walk::default().over(lines).err();
        assert_eq!(broken(&lines), None);
        let mut changed = lines.clone();
        changed[2].entry = changed[2].entry.replace("token", "toker");
        assert_eq!(broken(&changed), Some(3));
        let mut removed = lines.clone();
        removed.remove(1);
        assert_eq!(broken(&removed), Some(2));
        let mut swapped = lines;
        swapped.swap(3, 4);
        assert_eq!(broken(&swapped), Some(4));
    }
}
