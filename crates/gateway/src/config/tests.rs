//! A directory with a `segwan.toml` and what it names, and what is told of it.

mod authority;
mod contracts;
mod file;
mod meant;
mod tables;

use super::*;
use crate::registering::Registering;
use segwan::{StaleCrl, WhenUnreachable};
use segwan_pki::profile::Profile;
use std::fs;
use std::sync::Arc;
use tempfile::TempDir;

/// A directory with a configuration and what it names.
struct World(TempDir);

const CONTRACT: &str = include_str!("../../../../examples/article/add-ten.toml");

impl World {
    fn new() -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        world.file("add-ten.toml", CONTRACT);
        world
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn load(&self, text: &str) -> Result<(Config, Vec<Finding>), Vec<Finding>> {
        Config::load(&self.file("segwan.toml", text))
    }

    /// What is printed, without the directory.
    fn told(&self, findings: &[Finding]) -> Vec<String> {
        let directory = format!("{}/", self.0.path().display());
        findings.iter().map(|finding| finding.to_string().replace(&directory, "")).collect()
    }

    fn refused(&self, text: &str) -> Vec<String> {
        match self.load(text) {
            Err(findings) => self.told(&findings),
            Ok((_, findings)) => panic!("it loads, with {:?}", self.told(&findings)),
        }
    }
}

fn loaded(text: &str) -> Config {
    let world = World::new();
    match world.load(text) {
        Ok((config, findings)) => {
            assert!(findings.iter().all(|finding| !finding.is_error()));
            config
        }
        Err(findings) => panic!("{:?}", world.told(&findings)),
    }
}

fn refused(text: &str) -> Vec<String> {
    World::new().refused(text)
}

/// Exactly one finding, with this beginning and, somewhere, these words.
fn only(text: &str, begins: &str, words: &[&str]) {
    let findings = refused(text);
    assert_eq!(findings.len(), 1, "{text}\n{findings:#?}");
    assert!(findings[0].starts_with(begins), "{text}\n{findings:#?}");
    for word in words {
        assert!(findings[0].contains(word), "{word}: {findings:#?}");
    }
}

const SERVICE: &str = "\
[service.orders]
listen   = \"127.0.0.1:7443\"
upstream = \"127.0.0.1:8000\"
contract = \"raw\"
allow    = [\"app\"]
";
const CLIENT: &str = "\
[client.stock]
listen   = \"127.0.0.1:8100\"
connect  = \"gw.example:7443\"
peer     = \"stock\"
contract = \"raw\"
";

/// The service above with more lines; the first of them is line 6.
fn service(more: &str) -> String {
    format!("{SERVICE}{more}\n")
}

fn client(more: &str) -> String {
    format!("{CLIENT}{more}\n")
}
