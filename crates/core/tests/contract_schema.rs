//! `docs/reference/contract.schema.json`, which editors read, says of a contract's file what the
//! reader says: every contract of the repository fits it, and a key that nobody knows fits neither.

use serde_json::Value as Json;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every contract below these directories, with its text.
fn contracts() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = ["examples", "crates/gateway/src/cli/contract/templates"]
        .map(|at| root().join(at))
        .to_vec();
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "toml") {
                let text = std::fs::read_to_string(&path).unwrap();
                if text.lines().any(|line| line.starts_with("contract ") && line.contains("/1\"")) {
                    found.push((path, text));
                }
            }
        }
    }
    found.sort();
    found
}

fn json(value: &toml::Value) -> Json {
    match value {
        toml::Value::String(text) => Json::from(text.as_str()),
        toml::Value::Integer(number) => Json::from(*number),
        toml::Value::Float(number) => Json::from(*number),
        toml::Value::Boolean(flag) => Json::from(*flag),
        toml::Value::Datetime(time) => Json::from(time.to_string()),
        toml::Value::Array(list) => Json::Array(list.iter().map(json).collect()),
        toml::Value::Table(table) => {
            Json::Object(table.iter().map(|(key, value)| (key.clone(), json(value))).collect())
        }
    }
}

fn schema() -> jsonschema::Validator {
    let text = std::fs::read_to_string(root().join("docs/reference/contract.schema.json")).unwrap();
    let schema: Json = serde_json::from_str(&text).unwrap();
    jsonschema::draft202012::options().offline().build(&schema).unwrap()
}

#[test]
fn every_contract_of_the_repository_fits_the_schema_for_editors() {
    let schema = schema();
    let contracts = contracts();
    assert!(contracts.len() >= 9, "{contracts:?}");
    for (path, text) in contracts {
        let contract = json(&toml::from_str(&text).unwrap());
        let faults: Vec<String> = schema
            .iter_errors(&contract)
            .map(|error| format!("{}: {}", error.instance_path(), error))
            .collect();
        assert!(faults.is_empty(), "{}\n{}", path.display(), faults.join("\n"));
    }
}

/// Every table of a contract in which keys are fixed, as a pointer.
fn tables(at: &Json, place: &str, found: &mut Vec<String>) {
    match at {
        Json::Object(members) => {
            // Here names are the author's, or another language begins.
            let free = [
                "/fields",
                "/context",
                "/values",
                "/where",
                "/remember",
                "/schema",
                "/cases",
                "/columns",
            ];
            if !free.iter().any(|end| place.ends_with(end)) {
                found.push(place.to_owned());
            }
            for (name, below) in members.iter().filter(|(name, _)| *name != "schema") {
                let name = name.replace('~', "~0").replace('/', "~1");
                tables(below, &format!("{place}/{name}"), found);
            }
        }
        Json::Array(list) => {
            for (number, below) in list.iter().enumerate() {
                tables(below, &format!("{place}/{number}"), found);
            }
        }
        _ => {}
    }
}

// K-01
#[test]
fn a_key_that_nobody_knows_is_refused_by_the_schema_and_by_the_reader() {
    let schema = schema();
    let text = std::fs::read_to_string(root().join("examples/jsonl/inventory.toml")).unwrap();
    let contract = json(&toml::from_str(&text).unwrap());
    let mut places = Vec::new();
    tables(&contract, "", &mut places);
    places.retain(|place| !place.ends_with("/context") && !place.contains("/context/"));
    assert!(places.len() > 30, "{places:?}");
    for place in places {
        let mut wrong = contract.clone();
        let table = wrong.pointer_mut(&place).unwrap().as_object_mut().unwrap();
        table.insert("nobody_knows".to_owned(), Json::from(1));
        assert!(!schema.is_valid(&wrong), "the schema takes a key at `{place}`");
        let text = toml::to_string(&wrong).unwrap();
        let read = segwan_core::contract::Contract::read("x", &text, &|_| Err("none".to_owned()));
        let findings = read.expect_err(&place);
        let named = findings.iter().any(|finding| finding.message.contains("nobody_knows"));
        assert!(named, "{place}: {findings:?}");
    }
}

// K-14, K-02: why something is let through is one line, for the schema and for the reader.
#[test]
fn a_reason_is_one_line() {
    let schema = schema();
    let contract = |reason: &str, hazard: &str| {
        let (reason, hazard) = (Json::from(reason), Json::from(hazard));
        format!(
            "contract = \"c/1\"\n[client]\nframe = {{ kind = \"lines\" }}\ndecode = {{ kind = \"text\", charset = \
             \"ascii\" }}\n[[client.message]]\nname = \"a\"\naction = \"a\"\ngrammar = 'a'\nexpects = \"none\"\n\
             hazard = {hazard}\n[server]\nframe = {{ kind = \"raw\", danger_uninspected = {reason} }}\n"
        )
    };
    let good = "it is a stream of 상태 pages";
    for (reason, takes) in [
        (good, true),
        ("ten bytes.", true),
        ("too short", false),
        ("one line\nand another", false),
        ("a tab\tstands in it", false),
        (" a space before it", false),
        ("a space behind it ", false),
        ("\u{1b}[2J and it is gone", false),
        ("a control \u{85} of Latin 1", false),
    ] {
        for text in [contract(reason, good), contract(good, reason)] {
            let read = segwan_core::contract::Contract::read("x", &text, &|_| Err(String::new()));
            assert_eq!(read.is_ok(), takes, "{reason:?}: {:?}", read.err());
            let written = json(&toml::from_str(&text).unwrap());
            let faults: Vec<String> = schema.iter_errors(&written).map(|e| e.to_string()).collect();
            assert_eq!(faults.is_empty(), takes, "{reason:?}: {faults:?}");
        }
    }
}
