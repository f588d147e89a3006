//! Each numbered promise about certificates is shown by a test that names it, or says what it waits
//! for; `docs/reference/pki-tests.md` says which. `SEGWAN_UPDATE=1` writes the page anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Promises {
    part: Vec<Part>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    title: String,
    promises: Vec<Promise>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Promise {
    id: String,
    level: u8,
    says: String,
    waits: Option<String>,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn promises() -> Promises {
    let text = std::fs::read_to_string(root().join("tests/pki-tests.toml")).unwrap();
    toml::from_str(&text).unwrap()
}

/// Each test below these folders that names a number: the number, the test, its file.
fn shown() -> BTreeMap<String, BTreeSet<(String, String)>> {
    let mut shown = BTreeMap::<String, BTreeSet<_>>::new();
    let mut folders = vec![root().join("crates"), root().join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let read = || std::fs::read_to_string(&path).unwrap();
            let found = match path.extension().and_then(|end| end.to_str()) {
                _ if path.is_dir() => {
                    folders.push(path);
                    continue;
                }
                Some("rs") => in_rust(&read()),
                Some("py") => in_python(&read()),
                _ => continue,
            };
            let file = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            for (id, test) in found {
                shown.entry(id).or_default().insert((file.clone(), test));
            }
        }
    }
    shown
}

/// Comments above `#[test]`, `#[tokio::test]` and what a macro makes of such.
fn in_rust(text: &str) -> Vec<(String, String)> {
    let (mut named, mut is_test, mut found) = (Vec::new(), false, Vec::new());
    for line in text.lines().map(str::trim) {
        if line.starts_with("//") {
            named.extend(ids(line));
        } else if line.starts_with("#[") {
            is_test |= line.contains("test]") || line.contains("test(");
        } else if !line.is_empty() {
            let name = line.trim_start_matches("async ").strip_prefix("fn ");
            let name = name.and_then(|rest| rest.split(['(', '<']).next());
            if let (true, Some(name)) = (is_test, name) {
                found.extend(named.iter().map(|id| (id.clone(), name.to_owned())));
            }
            (named, is_test) = (Vec::new(), false);
        }
    }
    found
}

/// The docstring of a test, and comments above it.
fn in_python(text: &str) -> Vec<(String, String)> {
    let (mut above, mut found) = (Vec::new(), Vec::new());
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if line.starts_with('#') {
            above.extend(ids(line));
        } else if let Some(name) = line.strip_prefix("def ").and_then(|l| l.split('(').next()) {
            let mut named = std::mem::take(&mut above);
            let mut said = lines.next().unwrap_or_default().to_owned();
            while said.starts_with("\"\"\"") && said.matches("\"\"\"").count() < 2 {
                let Some(more) = lines.next() else { break };
                said.push_str(more);
            }
            if said.starts_with("\"\"\"") {
                named.extend(ids(&said));
            }
            if name.starts_with("test_") {
                found.extend(named.into_iter().map(|id| (id, name.to_owned())));
            }
        } else if !line.starts_with('@') {
            above.clear();
        }
    }
    found
}

fn ids(text: &str) -> Vec<String> {
    let parts = text.split("PKI-").skip(1);
    let digits = parts.filter_map(|part| part.get(..2));
    let whole = digits.filter(|two| two.bytes().all(|digit| digit.is_ascii_digit()));
    whole.map(|two| format!("PKI-{two}")).collect()
}

fn page(promises: &Promises, shown: &BTreeMap<String, BTreeSet<(String, String)>>) -> String {
    let mut page = "# Which test shows what about certificates\n\n\
        What is promised of certificates, by number, with the level of the design that it belongs to, \
        and the tests that\nname it. `SEGWAN_UPDATE=1 cargo test -p segwan-tests --test promises` \
        writes this page from `tests/pki-tests.toml` and\nthe tests themselves; the same test fails \
        for a promise that is neither shown nor says what it waits for.\n"
        .to_owned();
    for Part { title, promises } in &promises.part {
        page += &format!("\n## {title}\n\n| | level | promise | shown by |\n|---|---|---|---|\n");
        for Promise { id, level, says, waits } in promises {
            let tests = shown.get(id).into_iter().flatten();
            let mut by_file = BTreeMap::<&str, Vec<&str>>::new();
            for (file, test) in tests {
                by_file.entry(file).or_default().push(test);
            }
            let mut by: Vec<_> = by_file
                .iter()
                .map(|(file, tests)| format!("`{}` in `{file}`", tests.join("`, `")))
                .collect();
            by.extend(waits.iter().map(|waits| format!("waits for {waits}")));
            page += &format!("| {id} | L{level} | {says} | {} |\n", by.join("<br>"));
        }
    }
    page
}

#[test]
fn every_promise_is_shown_by_a_test_or_says_what_it_waits_for() {
    let (promises, shown) = (promises(), shown());
    let all: Vec<_> = promises.part.iter().flat_map(|part| &part.promises).collect();
    let known: BTreeSet<_> = all.iter().map(|promise| promise.id.as_str()).collect();
    assert_eq!(known.len(), all.len(), "a number is listed twice");
    let strangers: Vec<_> = shown.keys().filter(|id| !known.contains(id.as_str())).collect();
    assert!(strangers.is_empty(), "tests name what `pki-tests.toml` does not: {strangers:?}");
    let waits_for_nothing: Vec<_> = all
        .iter()
        .filter(|promise| promise.waits.is_some() && shown.contains_key(&promise.id))
        .map(|promise| promise.id.as_str())
        .collect();
    assert!(waits_for_nothing.is_empty(), "shown, and yet `waits`: {waits_for_nothing:?}");
    let open: Vec<_> = all
        .iter()
        .filter(|promise| !shown.contains_key(&promise.id) && promise.waits.is_none())
        .map(|promise| format!("{} {}", promise.id, promise.says))
        .collect();
    assert!(open.is_empty(), "no test shows\n{}", open.join("\n"));
}

#[test]
fn the_page_says_which_test_shows_what() {
    let path = root().join("docs/reference/pki-tests.md");
    let page = page(&promises(), &shown());
    if std::env::var_os("SEGWAN_UPDATE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let is = std::fs::read_to_string(Path::new(&path)).unwrap();
    assert!(is == page, "`SEGWAN_UPDATE=1` writes docs/reference/pki-tests.md anew");
}

#[test]
fn numbers_are_found_above_tests_and_nowhere_else() {
    let rust = "// PKI-01, PKI-02: why\n#[tokio::test]\nasync fn a() {\n// PKI-03\nlet x = 1;\n}\n\
                // PKI-04\nfn not_one() {}\n// PKI-05\n#[test]\n\nfn b() {}\n";
    let found = |id: &str, test: &str| (id.to_owned(), test.to_owned());
    assert_eq!(in_rust(rust), [found("PKI-01", "a"), found("PKI-02", "a"), found("PKI-05", "b")]);
    let python = "# PKI-06\ndef test_a(self):\n    \"\"\"PKI-07,\n    PKI-08.\"\"\"\n    x = 'PKI-09'\n\
                  def help():\n    \"\"\"PKI-10\"\"\"\n";
    let found: Vec<_> = in_python(python).into_iter().map(|(id, _)| id).collect();
    assert_eq!(found, ["PKI-06", "PKI-07", "PKI-08"]);
}
