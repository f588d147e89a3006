//! Contracts from files: the text, and the schema files that it names beside it.
//!
//! A contract reaches no file but those below its own directory: not by `..`, not by `/`, not by
//! a symbolic link that leads elsewhere (`contracts.md` section 3.1).

use super::read;
use segwan_core::contract::Contract;
use segwan_core::finding::Finding;
use std::cell::Cell;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Most schema files of one contract, and most bytes of them together.
const SCHEMAS: usize = 64;
const SCHEMA_BYTES: usize = 8 << 20;

/// A contract with its warnings, or everything that is wrong with it.
pub type Loaded = Result<(Arc<Contract>, Vec<Finding>), Vec<Finding>>;

/// Reads a contract from a file, checks it and runs its vectors; gives it with its warnings.
///
/// # Errors
/// Every independent error, each with its place.
pub fn load_contract(path: &Path) -> Loaded {
    let text = text(path)?;
    load_text(path, &text)
}

/// As [`load_contract`], but runs no vector: for a report on each of them.
///
/// # Errors
/// Every independent error, each with its place.
pub fn read_contract(path: &Path) -> Loaded {
    let text = text(path)?;
    let beside = Beside::new(path);
    Contract::read(&path.display().to_string(), &text, &|name| beside.read(name))
}

/// As [`load_contract`], with the text that `path` holds.
pub(super) fn load_text(path: &Path, text: &str) -> Loaded {
    let beside = Beside::new(path);
    Contract::load(&path.display().to_string(), text, &|name| beside.read(name))
}

fn text(path: &Path) -> Result<String, Vec<Finding>> {
    read::document(path).map_err(|fault| vec![fault])
}

/// The files beside one contract, and how much of them was read.
struct Beside {
    directory: PathBuf,
    files: Cell<usize>,
    bytes: Cell<usize>,
}

impl Beside {
    fn new(contract: &Path) -> Self {
        let directory = match contract.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        Self { directory, files: Cell::new(0), bytes: Cell::new(0) }
    }

    fn read(&self, name: &str) -> Result<String, String> {
        let plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if name.is_empty() || !plain {
            return Err(format!("`{name}` is no plain path below the contract's directory"));
        }
        let missing = |_| format!("there is no file `{name}` beside the contract");
        let directory = self.directory.canonicalize().map_err(missing)?;
        let path = directory.join(name).canonicalize().map_err(missing)?;
        if !path.starts_with(&directory) {
            return Err(format!("`{name}` leads out of the contract's directory"));
        }
        let text = read::text(&path)?;
        self.files.set(self.files.get() + 1);
        self.bytes.set(self.bytes.get() + text.len());
        if self.files.get() > SCHEMAS || self.bytes.get() > SCHEMA_BYTES {
            return Err(format!("the contract names over {SCHEMAS} schema files, or over 8 MiB"));
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // contracts.md section 3.1
    #[test]
    fn a_contract_reads_no_file_outside_its_directory() {
        let world = tempfile::tempdir().unwrap();
        let inside = world.path().join("contracts");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(world.path().join("secret.json"), "{}").unwrap();
        std::fs::write(inside.join("order.json"), "{}").unwrap();
        std::os::unix::fs::symlink("../secret.json", inside.join("link.json")).unwrap();
        std::os::unix::fs::symlink("order.json", inside.join("alias.json")).unwrap();
        let beside = Beside::new(&inside.join("orders.toml"));
        assert_eq!(beside.read("order.json"), Ok("{}".to_owned()));
        assert_eq!(beside.read("alias.json"), Ok("{}".to_owned()));
        let absolute = world.path().join("secret.json").display().to_string();
        for bad in ["../secret.json", absolute.as_str(), "./../secret.json", "link.json", ""] {
            assert!(beside.read(bad).is_err(), "{bad}");
        }
        assert!(beside.read("link.json").unwrap_err().contains("leads out"));
        assert!(beside.read("none.json").unwrap_err().contains("there is no file"));
    }

    #[test]
    fn a_schema_file_has_a_size() {
        let world = tempfile::tempdir().unwrap();
        std::fs::write(world.path().join("big.json"), vec![b' '; (1 << 20) + 1]).unwrap();
        let beside = Beside::new(&world.path().join("orders.toml"));
        assert!(beside.read("big.json").unwrap_err().contains("over 1 MiB"));
    }
}
