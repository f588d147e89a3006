//! The JSON-Schema-Test-Suite, 2020-12, required part, through our door to JSON Schema.
//!
//! `scripts/interop` fetches it. What a contract's schema may not say (section 10.2 of the design)
//! is refused before any value is judged; `schema_suite.txt` lists each of those groups with the
//! rule that refuses it, and each value that is no message. All other tests must pass, and those of
//! groups that are refused for being open alone (K-36).
//! `SEGWAN_UPDATE=1` writes the list anew.

use segwan_core::contract::decode::{JsonRule, Numbers, WireLimits};
use segwan_core::contract::schema::Schema;
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Tests that are judged; fewer would mean that all is refused.
const JUDGED: usize = 800;

fn suite() -> PathBuf {
    if let Some(folder) = std::env::var_os("JSON_SCHEMA_SUITE") {
        return folder.into();
    }
    let workspace = || concat!(env!("CARGO_MANIFEST_DIR"), "/../../target").into();
    let target: PathBuf =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(workspace, PathBuf::from);
    target.join("interop/json-schema-suite")
}

/// What happened to one group or one of its tests.
#[derive(Default)]
struct Outcome {
    refused: BTreeSet<String>,
    judged: usize,
    wrong: Vec<String>,
}

// CON-08
#[test]
fn the_test_suite_of_json_schema_passes_but_for_what_no_contract_may_say() {
    let folder = suite().join("draft2020-12");
    if !folder.is_dir() {
        println!(
            "{} is absent (scripts/interop fetches it), so nothing was tested",
            folder.display()
        );
        return;
    }
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|of| of == "json"));
    let mut outcome = Outcome::default();
    for file in &files {
        outcome.file(file);
    }
    println!("{} tests judged, {} refused by rule", outcome.judged, outcome.refused.len());
    assert_eq!(outcome.wrong, Vec::<String>::new());
    assert!(outcome.judged >= JUDGED, "{} tests are judged", outcome.judged);
    let listed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schema_suite.txt");
    let text: String = outcome.refused.iter().map(|line| format!("{line}\n")).collect();
    if std::env::var_os("SEGWAN_UPDATE").is_some() {
        std::fs::write(&listed, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&listed).unwrap(), text);
}

impl Outcome {
    fn file(&mut self, file: &Path) {
        let groups: Vec<Json> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let name = file.file_stem().unwrap().to_string_lossy();
        for group in &groups {
            let place = format!("{name}: {}", group["description"].as_str().unwrap());
            if let Err(findings) = Schema::compile(&group["schema"]) {
                let rules: BTreeSet<&str> = findings.iter().map(|found| found.check).collect();
                let rules: Vec<&str> = rules.into_iter().collect();
                self.refused.insert(format!("{} {place}", rules.join(" ")));
            }
            // Nearly every schema of the suite is open. What it says is judged all the same.
            if let Ok(schema) = Schema::danger_open(&group["schema"]) {
                self.group(&place, &schema, group);
            }
        }
    }

    fn group(&mut self, place: &str, schema: &Schema, group: &Json) {
        let rule = JsonRule { numbers: Numbers::IJson, top_any: true, nul_allowed: true };
        for test in group["tests"].as_array().unwrap() {
            let place = format!("{place}: {}", test["description"].as_str().unwrap());
            let text = test["data"].to_string();
            match rule.read(text.as_bytes(), &WireLimits::default()) {
                Ok(value) => {
                    self.judged += 1;
                    let passes = schema.check(&value).is_ok();
                    let asserted = group["schema"]["format"].is_string() && !passes;
                    if Json::Bool(passes) == test["valid"] {
                        continue;
                    } else if asserted && place.ends_with("only an annotation by default") {
                        // A contract's `format` is never a mere annotation.
                        self.refused.insert(format!("K-39 {place}"));
                    } else {
                        self.wrong.push(place);
                    }
                }
                // It is no message of any contract, so no schema judges it.
                Err(violation) => {
                    self.refused.insert(format!("{} {place}", violation.reason.as_str()));
                }
            }
        }
    }
}
