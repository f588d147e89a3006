//! `Fingerprint`: which contract it is, beyond its name: SHA-256 over what it was made of.
//!
//! A name and a version are a promise of whoever writes the file; the hash is what was read. Of a
//! contract in one file it is what `sha256sum` prints. The one door to SHA-256 in core.

use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write;

/// SHA-256 in lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint(String);

impl Fingerprint {
    /// Over the contract's text, then each schema file in the order of their names: NUL, name, NUL,
    /// text. Neither TOML nor JSON holds a NUL, so nothing can move from one file to another.
    fn over(text: &str, beside: &BTreeMap<String, String>) -> Self {
        let mut hash = Sha256::new();
        hash.update(text);
        for (name, text) in beside {
            for part in ["\0", name, "\0", text] {
                hash.update(part);
            }
        }
        let digits = hash.finalize().iter().fold(String::with_capacity(64), |mut digits, byte| {
            let _ = write!(digits, "{byte:02x}");
            digits
        });
        Self(digits)
    }

    /// All 64 digits.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 16 digits, for lines that many of are written.
    pub(crate) fn short(&self) -> &str {
        self.0.get(..16).unwrap_or(&self.0)
    }
}

/// The schema files that a contract names, kept as they were read.
pub(super) struct Beside<'r> {
    read: &'r dyn Fn(&str) -> Result<String, String>,
    seen: RefCell<BTreeMap<String, String>>,
}

impl<'r> Beside<'r> {
    pub(super) fn new(read: &'r dyn Fn(&str) -> Result<String, String>) -> Self {
        Self { read, seen: RefCell::default() }
    }

    /// The text of a file; whoever asks again is given what was read before, so the hash is over
    /// the very text that is enforced.
    pub(super) fn read(&self, name: &str) -> Result<String, String> {
        if let Some(text) = self.seen.borrow().get(name) {
            return Ok(text.clone());
        }
        let text = (self.read)(name)?;
        self.seen.borrow_mut().insert(name.to_owned(), text.clone());
        Ok(text)
    }

    pub(super) fn fingerprint(&self, text: &str) -> Fingerprint {
        Fingerprint::over(text, &self.seen.borrow())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, files: &[(&str, &str)]) -> String {
        let read = |name: &str| {
            let found = files.iter().find(|(known, _)| *known == name);
            found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| "no file".to_owned())
        };
        let beside = Beside::new(&read);
        for (name, _) in files {
            assert!(beside.read(name).is_ok());
        }
        beside.fingerprint(text).as_str().to_owned()
    }

    // contracts.md section 3.1
    #[test]
    fn it_is_the_sum_of_the_file_where_there_is_but_one() {
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(of("abc", &[]), sum);
    }

    // contracts.md section 3.1
    #[test]
    fn every_file_counts_by_its_name_and_in_the_order_of_names() {
        let one = of("c", &[("a.json", "{}"), ("b.json", "[]")]);
        assert_eq!(of("c", &[("b.json", "[]"), ("a.json", "{}")]), one);
        for other in [
            of("c", &[("a.json", "[]"), ("b.json", "{}")]),
            of("c", &[("a.json", "{}b.json[]")]),
            of("c", &[("a.json", "{}")]),
            of("c", &[]),
            of("d", &[("a.json", "{}"), ("b.json", "[]")]),
        ] {
            assert_ne!(other, one);
        }
    }

    #[test]
    fn a_file_is_read_once() {
        let times = std::cell::Cell::new(0);
        let read = |_: &str| {
            times.set(times.get() + 1);
            Ok(times.get().to_string())
        };
        let beside = Beside::new(&read);
        assert_eq!(beside.read("a.json"), beside.read("a.json"));
        assert_eq!(times.get(), 1);
    }
}
