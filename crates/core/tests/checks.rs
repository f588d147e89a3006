//! For each static check a contract that it refuses, or warns about, at its place and by it alone.

use segwan_core::contract::Contract;
use segwan_core::finding::{Finding, Severity};
use std::collections::BTreeSet;
use std::path::Path;

/// A contract that no check has anything against. Its vectors are left out: K-91 is a row.
const BASE: &str = r#"contract = "t/1"
title = "a service of parts"
pair = { by = "key", key = "/id" }

[limits]
message = 4096
rate = { per = "identity", messages = "10/s" }

[client]
frame = { kind = "lines" }
decode = { kind = "json" }
tag = "/op"

[[client.message]]
name = "get"
match = ["get"]
action = "get"
resource = "part/${part}"
fields.id = { int = [1, 99] }
fields.op = { const = "get" }
fields.part = { regex = "[a-z]{1,8}" }

[[client.message]]
name = "put"
match = ["put"]
action = "put"
fields.id = { int = [1, 99] }
fields.op = { const = "put" }
fields.size = { int = [0, 9] }

[server]
frame = { kind = "lines" }
decode = { kind = "json" }

[[server.message]]
name = "done"
answers = ["get", "put"]
fields.id = { int = [1, 99] }
fields.ok = { const = true }

[reject]
invalid = { reply = '{"id":${id},"ok":false}', then = "continue" }

[reject.values]
id = { at = "/id", int = [1, 99], or = "0" }

[[test]]
name = "a part"
append = "\n"
client = ['{"id":1,"op":"get","part":"a"}']
expect = "forward"
message = "get"

[[test]]
name = "a size"
append = "\n"
client = ['{"id":1,"op":"put","size":1}']
expect = "forward"
message = "put"

[[test]]
name = "no part"
append = "\n"
client = ['{"id":1,"op":"get"}']
expect = "invalid"

[[test]]
name = "an answer, and none"
append = "\n"
steps = [
  { client = '{"id":1,"op":"put","size":1}', expect = ["forward"] },
  { server = '{"id":1,"ok":true}', expect = ["forward"] },
  { client = '{"id":2,"op":"put","size":1}', expect = ["forward"] },
  { server = '{"id":2}', expect = ["server"] },
]
"#;

/// A check, what of the contract is replaced, and by what (nothing: all of it): `§` stands where it
/// is found.
type Row = (&'static str, &'static [(&'static str, &'static str)]);

const SCHEMA: &str = "action = \"put\"\n";
const SIZE: &str = "fields.size = { int = [0, 9] }";

const MODBUS: &str = "contract = \"t/1\"\ncodec = \"modbus\"\n§[[client.message]]\nname = \"read\"\nmatch = [3]\naction = \"read\"\n";
const RAW: &str = "contract = \"t/1\"\n[client]\nframe = { kind = \"raw\", danger_uninspected = §\"because\" }\n[server]\nframe = { kind = \"lines\" }\ndecode = { kind = \"text\", charset = \"ascii\" }\n[[server.message]]\nname = \"a\"\ngrammar = 'a'\npushes = true\n";
const BYTES: &str = "contract = \"t/1\"\n[client]\nframe = { kind = \"lines\" }\ndecode = { kind = \"bytes\" }\nforward = §\"canonical\"\n[[client.message]]\nname = \"a\"\naction = \"a\"\nexpects = \"none\"\nfields.data = { bytes = [1, 9] }\n[server]\nframe = { kind = \"raw\", danger_uninspected = \"it says nothing of use\" }\n";
const PAIRS: &str = "contract = \"t/1\"\n[§client]\nframe = { kind = \"lines\" }\ndecode = { kind = \"kv\", charset = \"ascii\", sep = \"\\n\", eq = \"=\", names = [\"n\"] }\n[[client.message]]\nname = \"a\"\naction = \"a\"\nexpects = \"none\"\nfields.n = { int = [1, 9] }\n[server]\nframe = { kind = \"raw\", danger_uninspected = \"it says nothing of use\" }\n";
const CHARSET: &str = "contract = \"t/1\"\n[client]\nframe = { kind = \"lines\" }\ndecode = { kind = \"kv\", charset = \"ascii\", sep = \";\", eq = §\"é\", names = [\"n\"] }\n[[client.message]]\nname = \"a\"\naction = \"a\"\nexpects = \"none\"\nfields.n = { int = [1, 9] }\n[server]\nframe = { kind = \"raw\", danger_uninspected = \"it says nothing of use\" }\n";
const STATES: &str = "contract = \"t/1\"\n[client]\nframe = { kind = \"lines\" }\ndecode = { kind = \"text\", charset = \"ascii\" }\n§[[client.message]]\nname = \"a\"\ngrammar = 'a'\nsetup = true\nexpects = \"none\"\nstate = { from = [\"*\"] }\n[[client.message]]\nname = \"b\"\ngrammar = 'b'\naction = \"b\"\nexpects = \"none\"\nstate = { from = [\"*\"] }\n[server]\nframe = { kind = \"raw\", danger_uninspected = \"it says nothing of use\" }\n";

const ERRORS: &[Row] = &[
    ("K-01", &[("title =", "§titel =")]),
    ("K-01", &[("const = true", "const = true, §consts = true")]),
    ("K-01", &[("title = \"a", "title = §a\"a")]),
    ("K-02", &[("\"t/1\"", "§\"T/1\"")]),
    ("K-02", &[("\"10/s\"", "§\"10/d\"")]),
    ("K-02", &[("fields.size = { int = [0, 9]", "fields.§size = { int = [9, 0]")]),
    (
        "K-02",
        &[
            ("[[client.message]]\nname = \"put\"", "§[[client.message]]\nname = \"get\""),
            ("answers = [\"get\", \"put\"]", "answers = [\"get\"]"),
        ],
    ),
    ("K-03", &[("title =", "codec = §\"mqtt\"\ntitle =")]),
    ("K-03", &[("decode = { kind = \"json\" }\ntag", "decode = { kind = §\"cbor\" }\ntag")]),
    ("K-04", &[(SCHEMA, "action = \"put\"\nschema = §\"absent.json\"\n")]),
    ("K-04", &[(SCHEMA, "action = \"put\"\nschema = §\"../up.json\"\n")]),
    (
        "K-04",
        &[(
            SCHEMA,
            "action = \"put\"\nschema = §'{ \"type\": \"object\", \"type\": \"array\" }'\n",
        )],
    ),
    ("K-10", &[("decode = { kind = \"json\" }\ntag", "tag"), ("[client]", "§[client]")]),
    (
        "K-10",
        &[(
            "frame = { kind = \"lines\" }\ndecode = { kind = \"json\" }\ntag",
            "frame = { kind = §\"line\" }\ndecode = { kind = \"json\" }\ntag",
        )],
    ),
    (
        "K-10",
        &[(
            "frame = { kind = \"lines\" }\ndecode = { kind = \"json\" }\ntag",
            "§frame = { kind = \"headers\", allow = [\"Content-Length\", \"content-encoding\"] }\ndecode = { kind = \"json\" }\ntag",
        )],
    ),
    (
        "K-11",
        &[
            (
                "frame = { kind = \"lines\" }\ndecode = { kind = \"json\" }\ntag",
                "frame = { kind = \"fixed\", size = 5000 }\ndecode = { kind = \"json\" }\ntag",
            ),
            ("[client]", "[§client]"),
        ],
    ),
    (
        "K-12",
        &[(
            "frame = { kind = \"lines\" }\ndecode = { kind = \"json\" }\ntag",
            "frame = { kind = \"delimiter\", bytes = §\"aa\" }\ndecode = { kind = \"json\" }\ntag",
        )],
    ),
    ("K-12", &[("", PAIRS)]),
    ("K-12", &[("", CHARSET)]),
    ("K-13", &[("", BYTES)]),
    ("K-14", &[("", RAW)]),
    ("K-16", &[("messages = \"10/s\"", "bytes = \"10KiB/s\", §burst = 4095")]),
    (
        "K-18",
        &[
            (
                "[[client.message]]\nname = \"put\"\nmatch = [\"put\"]\naction = \"put\"\n",
                "§[[client.message]]\nname = \"put\"\nmatch = [\"put\"]\n",
            ),
            ("answers = [\"get\", \"put\"]", "answers = [\"get\"]"),
        ],
    ),
    (
        "K-20",
        &[
            ("match = [\"put\"]", "match = [\"put\", \"get\"]"),
            ("fields.op = { const = \"put\" }", "fields.op = { enum = [\"put\", \"get\"] }"),
            ("[[client.message]]\nname = \"put\"", "§[[client.message]]\nname = \"put\""),
        ],
    ),
    (
        "K-21",
        &[
            ("answers = [\"get\", \"put\"]\n", "answers = [\"get\", \"put\", \"move\"]\n"),
            ("[[server.message]]", "§[[server.message]]"),
        ],
    ),
    (
        "K-22",
        &[
            ("answers = [\"get\", \"put\"]", "answers = [\"get\"]"),
            ("[[client.message]]\nname = \"put\"", "§[[client.message]]\nname = \"put\""),
        ],
    ),
    (
        "K-23",
        &[
            (
                "action = \"put\"\nfields.id = { int = [1, 99] }",
                "action = \"put\"\nfields.id = { int = [1, 99], optional = true }",
            ),
            ("[[client.message]]\nname = \"put\"", "§[[client.message]]\nname = \"put\""),
        ],
    ),
    ("K-30", &[("action = \"put\"\n", "action = \"put\"\nremember = { n = §\"/nothing\" }\n")]),
    (
        "K-31",
        &[
            ("kind = \"json\" }\ntag", "kind = \"json\", numbers = \"i64\" }\ntag"),
            (
                "fields.op = { const = \"put\" }\nfields.size = { int = [0, 9] }",
                "context = { size = §\"/size\" }\nschema = '{ \"type\": \"object\", \"additionalProperties\": false, \"required\": [\"id\", \"op\", \"size\"], \"properties\": { \"id\": { \"type\": \"integer\" }, \"op\": { \"const\": \"put\" }, \"size\": { \"type\": \"integer\" } } }'",
            ),
        ],
    ),
    ("K-32", &[(SIZE, "fields.§size = { each = { int = [0, 9] } }")]),
    (
        "K-33",
        &[(
            SCHEMA,
            "action = \"put\"\nschema = §'{ \"type\": \"object\", \"additionalProperties\": true, \"maxProperties\": 5, \"requird\": [] }'\n",
        )],
    ),
    (
        "K-33",
        &[(SCHEMA, "action = \"put\"\nschema = §'{ \"$ref\": \"http://example.com/a.json\" }'\n")],
    ),
    (
        "K-35",
        &[(
            SCHEMA,
            "action = \"put\"\nschema = §'{ \"$ref\": \"#/$defs/a\", \"$defs\": { \"a\": { \"type\": \"object\", \"additionalProperties\": false, \"properties\": { \"a\": { \"$ref\": \"#/$defs/a\" } } } } }'\n",
        )],
    ),
    ("K-36", &[(SCHEMA, "action = \"put\"\nschema = §'{ \"type\": \"object\" }'\n")]),
    (
        "K-37",
        &[(
            SCHEMA,
            "action = \"put\"\nschema = §'{ \"type\": \"object\", \"additionalProperties\": false, \"properties\": { \"a\": { \"type\": \"string\", \"pattern\": \"[0-9]{3}\" } } }'\n",
        )],
    ),
    (
        "K-38",
        &[(
            SCHEMA,
            "action = \"put\"\nschema = §'{ \"type\": \"object\", \"additionalProperties\": false, \"properties\": { \"a\": { \"type\": \"array\", \"uniqueItems\": true, \"maxItems\": 1001, \"items\": { \"type\": \"integer\" } } } }'\n",
        )],
    ),
    (
        "K-39",
        &[(
            SCHEMA,
            "action = \"put\"\nschema = §'{ \"type\": \"object\", \"additionalProperties\": false, \"properties\": { \"a\": { \"type\": \"string\", \"maxLength\": 9, \"format\": \"email\" } } }'\n",
        )],
    ),
    ("K-40", &[("action = \"put\"\n", "action = \"put\"\nrules = [\"this.§sise > 1\"]\n")]),
    (
        "K-41",
        &[("action = \"get\"\n", "action = \"get\"\nrules = [\"this.part.matches(§'[a')\"]\n")],
    ),
    (
        "K-34",
        &[(
            SCHEMA,
            "action = \"put\"\nschema = §'{ \"type\": \"object\", \"additionalProperties\": false, \"properties\": { \"a\": { \"type\": \"string\", \"maxLength\": 9, \"pattern\": \"^[0-9$\" } } }'\n",
        )],
    ),
    ("K-44", &[("\"part/${part}\"", "§\"part/${nothing}\"")]),
    (
        "K-45",
        &[
            ("action = \"put\"", "action = \"get\""),
            ("[[client.message]]\nname = \"put\"", "§[[client.message]]\nname = \"put\""),
        ],
    ),
    (
        "K-46",
        &[
            (
                "action = \"get\"\nresource",
                "action = \"get\"\ncontext = { v = \"/part\" }\nresource",
            ),
            (
                "action = \"put\"\n",
                "action = \"get\"\nresource = \"size/${size}\"\ncontext = { v = \"/size\" }\n",
            ),
            ("[[client.message]]\nname = \"put\"", "§[[client.message]]\nname = \"put\""),
        ],
    ),
    (
        "K-47",
        &[
            (SIZE, "fields.size = { each = { int = [0, 9] }, len = [0, 3] }"),
            ("action = \"put\"\n", "action = \"put\"\nremember = { n = §\"/size\" }\n"),
        ],
    ),
    (
        "K-48",
        &[
            ("int = [0, 9]", "int = [-1, 9]"),
            (
                "action = \"put\"\n",
                "action = \"put\"\nquota = { per = \"identity\", sum = §\"/size\", max = 3, window = \"24h\" }\n",
            ),
        ],
    ),
    ("K-50", &[("action = \"get\"\n", "action = \"get\"\nstate = §{ from = [] }\n")]),
    ("K-51", &[("title =", "initial_state = §\"new\"\ntitle =")]),
    (
        "K-60",
        &[
            ("int = [0, 9] }", "int = [0, 9], secret = true }"),
            ("action = \"put\"\n", "action = \"put\"\nresource = §\"size/${size}\"\n"),
        ],
    ),
    ("K-70", &[("[reject]\n", "[reject]\nframe = { then = §\"continue\" }\n")]),
    (
        "K-71",
        &[
            ("pair = { by = \"key\", key = \"/id\" }", "pair = { by = \"order\" }"),
            ("[reject]\n", "[reject]\nstate = { then = §\"drop\" }\n"),
        ],
    ),
    (
        "K-72",
        &[
            ("[reject]\n", "[reject]\nserver = { then = §\"continue\" }\n"),
            ("pair = { by = \"key\", key = \"/id\" }", "pair = { by = \"order\" }"),
        ],
    ),
    (
        "K-73",
        &[
            ("pair = { by = \"key\", key = \"/id\" }", "pair = { by = \"order\" }"),
            ("action = \"put\"\n", "action = \"put\"\nexpects = \"none\"\n"),
            ("answers = [\"get\", \"put\"]", "answers = [\"get\"]"),
            (
                "invalid = { reply = '{\"id\":${id},\"ok\":false}', then = \"continue\" }",
                "invalid = { reply = '{\"id\":${id},\"ok\":false}', then = §\"continue\" }",
            ),
        ],
    ),
    ("K-74", &[("'{\"id\":${id},\"ok\":false}'", "§'{\"id\":${it},\"ok\":false}'")]),
    ("K-80", &[("", MODBUS)]),
    (
        "K-90",
        &[
            ("expect = \"invalid\"", "expect = \"forward\""),
            ("[[test]]\nname = \"no part\"", "§[[test]]\nname = \"no part\""),
        ],
    ),
    (
        "K-95",
        &[("[[client.message]]", "§[[client.message]]"), ("message = 4096", "message = \"16MiB\"")],
    ),
];

const WARNINGS: &[Row] = &[
    (
        "K-15",
        &[(
            SIZE,
            "fields.size = { int = [0, 9] }\nfields.x = { §regex = \"[a-z]{9}\", len = [0, 2], optional = true }",
        )],
    ),
    (
        "K-38",
        &[(
            SCHEMA,
            "action = \"put\"\nschema = §'{ \"type\": \"object\", \"additionalProperties\": false, \"required\": [\"id\", \"op\"], \"properties\": { \"id\": { \"type\": \"integer\", \"minimum\": 1, \"maximum\": 99 }, \"op\": { \"const\": \"put\" }, \"size\": { \"type\": \"integer\" }, \"a\": { \"type\": \"string\" } } }'\n",
        )],
    ),
    ("K-52", &[("", STATES)]),
    (
        "K-91",
        &[(
            "[[test]]\nname = \"a part\"\nappend = \"\\n\"\nclient = ['{\"id\":1,\"op\":\"get\",\"part\":\"a\"}']\nexpect = \"forward\"\nmessage = \"get\"\n\n",
            "",
        )],
    ),
    ("K-92", &[("rate = { per = \"identity\", messages = \"10/s\" }\n", "")]),
    ("K-92", &[("title =", "mode = §\"shadow\"\ntitle =")]),
];

fn findings(text: &str) -> Vec<Finding> {
    let none = |_: &str| Err("no file".to_owned());
    match Contract::load("t.toml", text, &none) {
        Ok((_, warnings)) => warnings,
        Err(findings) => findings,
    }
}

fn told(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("  {finding}\n")).collect()
}

/// The contract with its changes; where the finding is to be, if that is said.
fn changed(changes: &[(&str, &str)]) -> (String, Option<(usize, usize)>) {
    let mut text = BASE.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = if from.is_empty() { (*to).to_owned() } else { text.replacen(from, to, 1) };
    }
    let place = text.find('§').map(|at| {
        let before = &text[..at];
        let line = before.matches('\n').count() + 1;
        (line, before.rsplit('\n').next().unwrap_or_default().chars().count() + 1)
    });
    (text.replace('§', ""), place)
}

// CON-06: exactly that check, its line and its column.
#[test]
fn each_check_refuses_its_contract_at_its_place() {
    assert_eq!(told(&findings(BASE)), "");
    let mut wrong = String::new();
    for (at, (check, changes)) in ERRORS.iter().chain(WARNINGS).enumerate() {
        let (text, place) = changed(changes);
        let found = findings(&text);
        let severity = if at < ERRORS.len() { Severity::Error } else { Severity::Warning };
        let errors: Vec<_> =
            found.iter().filter(|finding| finding.severity == Severity::Error).collect();
        let here = |finding: &&Finding| {
            finding.check == Some(check)
                && finding.severity == severity
                && place.is_none_or(|place| place == (finding.line, finding.column))
        };
        let alone = errors.iter().all(|finding| finding.check == Some(check));
        let right = found.iter().any(|finding| here(&finding)) && alone;
        if !right || (severity == Severity::Warning && !errors.is_empty()) {
            wrong += &format!("{check} at {place:?}:\n{}", told(&found));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

// CON-06: every id that the code gives has its row.
#[test]
fn no_check_is_left_out() {
    let mut ids = BTreeSet::new();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut below = vec![here.join("src/contract"), here.join("src/document.rs")];
    while let Some(path) = below.pop() {
        if path.is_dir() {
            below.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if !path.ends_with("tests.rs") && !path.to_string_lossy().contains("/tests/") {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let ends = code.match_indices("\"K-").map(|(at, _)| &code[at + 1..]);
            ids.extend(ends.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
        }
    }
    assert!(ids.len() >= 45, "{ids:?}");
    for (check, _) in ERRORS.iter().chain(WARNINGS) {
        ids.remove(*check);
    }
    assert!(ids.is_empty(), "no row for {ids:?}");
}

// CON-09, K-33: what a schema names outside of it is not looked for. A contract reaches files through
// `read` alone, and the crate that judges schemas is built without anything that could fetch.
#[test]
fn a_reference_that_leads_outside_opens_nothing() {
    for outside in [
        "http://127.0.0.1:1/a.json",
        "https://example.com/a.json",
        "file:///etc/passwd",
        "/etc/passwd",
        "../a.json",
        "urn:example:a",
        "json-schema:///a.json",
    ] {
        let schema = format!("action = \"put\"\nschema = '{{ \"$ref\": \"{outside}\" }}'\n");
        let text = BASE.replacen(SCHEMA, &schema, 1);
        let asked = std::cell::RefCell::new(Vec::new());
        let read = |name: &str| {
            asked.borrow_mut().push(name.to_owned());
            Err("no file".to_owned())
        };
        let found = Contract::load("t.toml", &text, &read).map(|_| ()).expect_err(outside);
        assert!(found.iter().any(|finding| finding.check == Some("K-33")), "{}", told(&found));
        assert_eq!(asked.into_inner(), Vec::<String>::new(), "{outside}");
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let manifest = std::fs::read_to_string(workspace.join("Cargo.toml")).unwrap();
    let line = manifest.lines().find(|line| line.starts_with("jsonschema = ")).unwrap();
    assert!(line.contains("default-features = false") && !line.contains("features = ["), "{line}");
    let lock = std::fs::read_to_string(workspace.join("Cargo.lock")).unwrap();
    let package =
        lock.split("[[package]]").find(|one| one.contains("name = \"jsonschema\"")).unwrap();
    for fetches in ["reqwest", "ureq", "hyper", "tokio"] {
        assert!(!package.contains(&format!("\"{fetches}")), "{fetches}: {package}");
    }
}

/// All that is said of the contract with its changes.
fn told_of(changes: &[(&str, &str)]) -> String {
    told(&findings(&changed(changes).0))
}

// CON-06, K-01, K-02, K-10, K-44: what is wrong is said once, and nothing that follows from it.
#[test]
fn one_fault_is_one_finding() {
    let put = "name = \"put\"\n";
    let frame = "[server]\nframe = { kind = \"lines\" }";
    let rows: [(&str, &str, &str); 10] = [
        (
            "title =",
            "codec = \"modbuss\"\ntitle =",
            "t.toml:2:9: error[K-10]: there is no codec `modbuss`\n  hint: did you mean `modbus`?",
        ),
        (
            "title =",
            "codec = \"mqtt\"\ntitle =",
            "t.toml:2:9: error[K-03]: codec `mqtt` needs contract level 3, this build has level 2",
        ),
        (
            SIZE,
            "fields.size = { int = [0, 99999999999999999999] }\n",
            "error[K-02]: a bound of `int` is a whole number over 64 bits",
        ),
        (
            "title =",
            "audit_bytes = 99999999999999999999\ntitle =",
            "error[K-01]: `audit_bytes` is a whole number over 64 bits",
        ),
        (
            frame,
            "[server]\nframe = { kind = \"lines\", ends = [\"\\t\"] }",
            "error[K-02]: a line ends with `\\n` or `\\r\\n`",
        ),
        (put, "", "error[K-02]: `[[client.message]]` has no `name`\n  hint: `name = \"add\"`"),
        (
            "part/${part}",
            "part/${prat}",
            "error[K-44]: the resource names `/prat`, which the message does not have\n  hint: did you mean `/part`?",
        ),
        ("title =", "pair = 1\ntitle =", "error[K-01]: duplicate key `pair`"),
        (
            "message = 4096",
            "message = [0 10]",
            "error[K-01]: string values must be quoted, expected literal string\n  hint: quotes around a text, commas between the values of a list",
        ),
        (
            SIZE,
            "schema = '{ \"type\": \"objekt\", \"additionalProperties\": false }'\n",
            "error[K-33]: there is no type `objekt`, as at the root\n  hint: did you mean `object`?",
        ),
    ];
    for (from, to, says) in rows {
        let told = told_of(&[(from, to)]);
        assert!(told.contains(says), "{to}\n{told}");
        assert_eq!(told.matches("error[").count(), 1, "{to}\n{told}");
    }
}

// K-90, K-91: a test that failed shows nothing, and leaves nothing unshown either.
#[test]
fn what_a_failed_test_would_show_is_not_missed() {
    let told =
        told_of(&[("part = { regex = \"[a-z]{1,8}\" }", "part = { regex = \"[b-z]{1,8}\" }")]);
    assert!(told.starts_with("  t.toml:") && told.contains("error[K-90]"), "{told}");
    assert!(!told.contains("K-91"), "{told}");
    assert!(told.contains("\"part\":\"a\"}\\n`"), "{told}");
}

// K-80: a command is refused where it stands.
#[test]
fn a_command_is_refused_at_its_match() {
    let text = "contract = \"r/1\"\ncodec = \"resp\"\n\n[limits]\nrate = { per = \"identity\", messages = \"10/s\" }\n\n\
                [[client.message]]\nname = \"run\"\nmatch = [\"EVAL\"]\naction = \"run\"\n";
    let text = text.replace("[[client.message]]", "[client]\n[[client.message]]");
    let told = told(&findings(&text));
    assert!(told.contains("t.toml:10:1: error[K-80]: `EVAL` reaches beyond"), "{told}");
}

// K-90: twenty of the tests that fail are told, and how many more there are.
#[test]
fn of_thousands_of_tests_that_fail_the_first_are_told() {
    let test = "[[test]]\nname = \"no part\"\nclient = [\"x\\n\"]\nexpect = \"forward\"\n";
    let (base, _) = BASE.split_once("[[test]]").unwrap();
    let text = format!("{base}{}", test.repeat(4000));
    let found = Contract::load("t.toml", &text, &|_| Err("no file".to_owned())).unwrap_err();
    assert_eq!(found.len(), 21);
    let first = text.lines().position(|line| line == "[[test]]").unwrap() + 1;
    let told = found[0].to_string();
    assert!(told.starts_with(&format!("t.toml:{first}:1: error[K-90]: test `no part`")), "{told}");
    assert_eq!(found[20].to_string(), "t.toml: error: 3980 more, not listed");
}
