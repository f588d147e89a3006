//! What other readers make of the same text: the JSONTestSuite, Python and Node.
//!
//! `scripts/interop` fetches the suite and runs this with `CI` as it is set; elsewhere what is
//! missing is said and left out.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use segwan_core::contract::decode::{JsonRule, Numbers, WireLimits, write_json};
use segwan_core::contract::text::TextRule;
use segwan_core::contract::value::Value;
use segwan_core::rejection::Reason;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const ANY: JsonRule = JsonRule { numbers: Numbers::IJson, top_any: true, nul_allowed: false };

fn read(text: &[u8]) -> Result<Value<'_>, Reason> {
    ANY.read(text, &WireLimits::default()).map_err(|violation| violation.reason)
}

/// What must be accepted by a parser and is refused here on purpose (contracts.md section 7).
const ON_PURPOSE: [(&str, Reason); 15] = [
    ("object_duplicated_key", Reason::DuplicateKey),
    ("object_duplicated_key_and_value", Reason::DuplicateKey),
    ("number_minus_zero", Reason::JsonNumber),
    ("number_negative_zero", Reason::JsonNumber),
    ("number_double_close_to_zero", Reason::JsonNumber),
    ("object_escaped_null_in_key", Reason::TextDenied),
    ("string_null_escape", Reason::TextDenied),
    ("string_escaped_noncharacter", Reason::TextDenied),
    ("string_last_surrogates_1_and_2", Reason::TextDenied),
    ("string_nonCharacterInUTF-8_U+10FFFF", Reason::TextDenied),
    ("string_nonCharacterInUTF-8_U+FFFF", Reason::TextDenied),
    ("string_unicode_U+10FFFE_nonchar", Reason::TextDenied),
    ("string_unicode_U+1FFFE_nonchar", Reason::TextDenied),
    ("string_unicode_U+FDD0_nonchar", Reason::TextDenied),
    ("string_unicode_U+FFFE_nonchar", Reason::TextDenied),
];

/// The files that are no UTF-8, which the package that carries the suite cannot hold as text.
const BYTES: [(&str, &[u8]); 25] = [
    ("i_string_UTF-16LE_with_BOM", b"\xff\xfe[\0\"\0\xe9\0\"\0]\0"),
    ("i_string_UTF-8_invalid_sequence", b"[\"\xe6\x97\xa5\xd1\x88\xfa\"]"),
    ("i_string_UTF8_surrogate_U+D800", b"[\"\xed\xa0\x80\"]"),
    ("i_string_invalid_utf-8", b"[\"\xff\"]"),
    ("i_string_iso_latin_1", b"[\"\xe9\"]"),
    ("i_string_lone_utf8_continuation_byte", b"[\"\x81\"]"),
    ("i_string_not_in_unicode_range", b"[\"\xf4\xbf\xbf\xbf\"]"),
    ("i_string_overlong_sequence_2_bytes", b"[\"\xc0\xaf\"]"),
    ("i_string_overlong_sequence_6_bytes", b"[\"\xfc\x83\xbf\xbf\xbf\xbf\"]"),
    ("i_string_overlong_sequence_6_bytes_null", b"[\"\xfc\x80\x80\x80\x80\x80\"]"),
    ("i_string_truncated-utf-8", b"[\"\xe0\xff\"]"),
    ("i_string_utf16BE_no_BOM", b"\0[\0\"\0\xe9\0\"\0]"),
    ("i_string_utf16LE_no_BOM", b"[\0\"\0\xe9\0\"\0]\0"),
    ("n_array_a_invalid_utf8", b"[a\xe5]"),
    ("n_array_invalid_utf8", b"[\xff]"),
    ("n_number_invalid-utf-8-in-bigger-int", b"[123\xe5]"),
    ("n_number_invalid-utf-8-in-exponent", b"[1e1\xe5]"),
    ("n_number_invalid-utf-8-in-int", b"[0\xe5]\n"),
    ("n_number_real_with_invalid_utf8_after_e", b"[1e\xe5]"),
    ("n_object_lone_continuation_byte_in_key_and_trailing_comma", b"{\"\xb9\":\"0\",}"),
    ("n_string_invalid-utf-8-in-escape", b"[\"\\u\xe5\"]"),
    ("n_string_invalid_utf8_after_escape", b"[\"\\\xe5\"]"),
    ("n_structure_incomplete_UTF8_BOM", b"\xef\xbb{}"),
    ("n_structure_lone-invalid-utf-8", b"\xe5"),
    ("n_structure_single_eacute", b"\xe9"),
];

// CON-12: 318 files.
#[test]
fn the_json_test_suite_is_accepted_where_all_parsers_read_alike() {
    let workspace = || concat!(env!("CARGO_MANIFEST_DIR"), "/../../target").into();
    let target: PathBuf =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(workspace, PathBuf::from);
    let file = target.join("interop/json-test-suite/parsing.js");
    let Ok(text) = std::fs::read_to_string(&file) else {
        println!(
            "{} is absent (scripts/interop fetches it), so nothing was tested",
            file.display()
        );
        return;
    };
    // A module of JavaScript whose value is one list in JSON.
    let list = text.find('[').zip(text.rfind(']')).map(|(from, to)| &text[from..=to]).unwrap();
    let files: Vec<serde_json::Value> = serde_json::from_str(list).unwrap();
    let (mut count, mut refused, mut bytes) = ([0; 3], Vec::new(), 0);
    for file in &files {
        let name = file["name"].as_str().unwrap().strip_suffix(".json").unwrap();
        let text = file["input"].as_str().unwrap();
        let input = match BYTES.iter().find(|(of, _)| *of == name) {
            Some((_, input)) => {
                assert_eq!(String::from_utf8_lossy(input), text, "{name}");
                bytes += 1;
                *input
            }
            None => {
                assert!(!text.contains('\u{fffd}'), "{name} is not in `BYTES`");
                text.as_bytes()
            }
        };
        let read = read(input);
        match name.split_once('_').unwrap() {
            ("y", name) => {
                count[0] += 1;
                refused.extend(read.err().map(|reason| (name, reason)));
            }
            ("n", name) => {
                count[1] += 1;
                assert!(read.is_err(), "{name}: {read:?}");
            }
            (_, name) => {
                count[2] += 1;
                assert!(read.is_err(), "{name}: {read:?}");
            }
        }
    }
    assert_eq!((count, bytes), ([95, 188, 35], BYTES.len()));
    let mut on_purpose = ON_PURPOSE.to_vec();
    on_purpose.sort_unstable();
    refused.sort_unstable();
    assert_eq!(refused, on_purpose);
}

/// Texts that are JSON, or nearly: keys that are one under two spellings, long runs of digits,
/// numbers that vanish or overflow, half surrogates.
fn jsonish() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        3 => "-?[0-9]{1,18}",
        2 => "-?(0|[1-9][0-9]{0,20})\\.[0-9]{1,20}([eE][-+]?[0-9]{1,3})?",
        1 => "-?[1-9][eE][-+]?[0-9]{1,3}",
        1 => "-?[1-9][0-9]{16,399}",
        1 => prop::sample::select(vec![
            "1e400", "-1e400", "1e-400", "-0", "-0.0", "-0e5", "0e5", "1.0", "1e3", "0.0",
            "9007199254740991", "9007199254740992", "-9007199254740992", "9223372036854775808",
            "2.2250738585072011e-308", "4.9e-324", "1.7976931348623157e308", "1.7976931348623159e308",
        ]).prop_map(str::to_owned),
        4 => "\"([a-z ]|\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-fA-F]{4}|\\\\ud83d\\\\ude00|é|한|\u{1f600}){0,6}\"",
        1 => prop::sample::select(vec!["true", "false", "null"]).prop_map(str::to_owned),
    ];
    let key = prop::sample::select(vec![
        "a",
        "b",
        "\\u0061",
        "\\u0062",
        "1",
        "0",
        "ab",
        "\\u0061b",
        "가",
        "\\uac00",
        "__proto__",
    ]);
    leaf.prop_recursive(4, 30, 5, move |inner| {
        let blank = prop::sample::select(vec!["", " ", "\n", "\t\r"]);
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..4), blank.clone())
                .prop_map(|(all, blank)| format!("[{}]", all.join(&format!("{blank},")))),
            (prop::collection::vec((key.clone(), inner), 0..4), blank).prop_map(|(all, blank)| {
                let members: Vec<_> =
                    all.iter().map(|(key, value)| format!("\"{key}\"{blank}:{value}")).collect();
                format!("{{{blank}{}}}", members.join(","))
            }),
        ]
    })
}

/// A value in a spelling that owes nothing to JSON: doubles by their bits, texts by their bytes.
fn spelled(value: &Value<'_>, out: &mut String) {
    match value {
        Value::Null => out.push('n'),
        Value::Bool(is) => out.push(if *is { 't' } else { 'f' }),
        #[expect(clippy::cast_precision_loss, reason = "J5: every reader's double holds it")]
        Value::Int(n) => write!(out, "#{:016x}", (*n as f64).to_bits()).unwrap(),
        Value::Float(x) => write!(out, "#{:016x}", x.to_bits()).unwrap(),
        Value::Text(text) => write!(out, "'{}", hex(text.as_bytes())).unwrap(),
        Value::List(all) => {
            out.push('[');
            all.iter().for_each(|one| spelled(one, out));
            out.push(']');
        }
        Value::Map(members) => {
            let mut sorted: Vec<_> =
                members.iter().map(|(key, value)| (hex(key.as_bytes()), value)).collect();
            sorted.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            out.push('{');
            for (key, value) in sorted {
                write!(out, "'{key}:").unwrap();
                spelled(value, out);
            }
            out.push('}');
        }
        other => panic!("no JSON: {other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(half.into(), 16).unwrap();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

const PYTHON: &str = r#"
import json, struct, sys
def spelled(v):
    if v is None: return 'n'
    if v is True: return 't'
    if v is False: return 'f'
    if isinstance(v, int):
        assert int(float(v)) == v, v
        v = float(v)
    if isinstance(v, float): return '#' + struct.pack('>d', v).hex()
    if isinstance(v, str): return "'" + v.encode().hex()
    if isinstance(v, list): return '[' + ''.join(map(spelled, v)) + ']'
    return '{' + ''.join(f"'{k}:{spelled(v)}" for k, v in sorted((k.encode().hex(), v) for k, v in v.items())) + '}'
for line in sys.stdin:
    print(spelled(json.loads(bytes.fromhex(line).decode())))
"#;

const NODE: &str = r#"
const hex = (text) => Buffer.from(text).toString('hex');
const spelled = (v) => {
  if (v === null) return 'n';
  if (v === true) return 't';
  if (v === false) return 'f';
  if (typeof v === 'number') { const b = Buffer.alloc(8); b.writeDoubleBE(v); return '#' + b.toString('hex'); }
  if (typeof v === 'string') return "'" + hex(v);
  if (Array.isArray(v)) return '[' + v.map(spelled).join('') + ']';
  const all = Object.keys(v).map((k) => [hex(k), v[k]]).sort((a, b) => (a[0] < b[0] ? -1 : 1));
  return '{' + all.map(([k, v]) => `'${k}:${spelled(v)}`).join('') + '}';
};
const lines = require('fs').readFileSync(0, 'latin1').trimEnd().split('\n');
console.log(lines.map((line) => spelled(JSON.parse(Buffer.from(line, 'hex').toString()))).join('\n'));
"#;

/// What a program prints for these lines. None where it is missing, which CI does not allow.
fn told(program: &str, args: &[&str], lines: String) -> Option<Vec<String>> {
    let started = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| assert!(std::env::var_os("CI").is_none(), "{program}: {error}"));
    let Ok(mut started) = started else {
        println!("{program} is missing, so nothing was tested against it");
        return None;
    };
    let mut input = started.stdin.take().unwrap();
    let feeds = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let done = started.wait_with_output().unwrap();
    assert!(done.status.success(), "{program}: {}", done.status);
    feeds.join().unwrap().unwrap();
    Some(String::from_utf8(done.stdout).unwrap().lines().map(str::to_owned).collect())
}

// CON-11: whatever is cleared, Python and Node read as the same value, as it came and in its
// canonical form.
#[test]
fn what_is_cleared_python_and_node_read_as_the_same_value() {
    let (mut runner, texts) = (TestRunner::deterministic(), jsonish());
    let (mut cleared, mut expected, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..6_000 {
        let text = texts.new_tree(&mut runner).unwrap().current();
        match read(text.as_bytes()) {
            Ok(value) => {
                let (mut spelling, mut canonical) = (String::new(), Vec::new());
                spelled(&value, &mut spelling);
                write_json(&value, &mut canonical);
                expected.extend([spelling.clone(), spelling]);
                cleared.extend([text.into_bytes(), canonical]);
            }
            Err(reason) => reasons.push(reason),
        }
    }
    // Both happen often enough to mean something, and each trap is met.
    assert!(cleared.len() > 3_000, "{}", cleared.len());
    for met in [Reason::DuplicateKey, Reason::JsonNumber, Reason::JsonSurrogate, Reason::JsonSyntax]
    {
        assert!(reasons.iter().filter(|reason| **reason == met).count() > 30, "{met}");
    }
    let lines: String = cleared.iter().map(|text| hex(text) + "\n").collect();
    for (program, args) in [("python3", ["-c", PYTHON]), ("node", ["-e", NODE])] {
        let Some(told) = told(program, &args, lines.clone()) else { continue };
        assert_eq!(told.len(), expected.len());
        for ((text, ours), theirs) in cleared.iter().zip(&expected).zip(told) {
            assert_eq!(*ours, theirs, "{program}: {}", text.escape_ascii());
        }
    }
}

const NORMAL: &str = r#"
import sys, unicodedata
for line in sys.stdin:
    text = bytes.fromhex(line).decode()
    known = all(unicodedata.category(c) != 'Cn' for c in text)
    print('?' if not known else 'y' if unicodedata.is_normalized('NFC', text) else 'n')
"#;

// CON-14: every character alone; letters, Hangul and kana with what may follow them; marks in any
// order. Python's tables may be older: what it does not know is left out.
#[test]
fn what_is_composed_python_says_too() {
    let chars = |ranges: &[(u32, u32, usize)]| -> Vec<char> {
        let all = ranges.iter().flat_map(|(from, to, step)| (*from..=*to).step_by(*step));
        all.filter_map(char::from_u32).collect()
    };
    let bases = chars(&[
        (0x41, 0x24f, 1),
        (0x370, 0x45f, 1),
        (0x1e00, 0x1fff, 3),
        (0x1100, 0x11ff, 3),
        (0xac00, 0xd7a3, 37),
        (0x3041, 0x30ff, 1),
        (0x915, 0x939, 1),
    ]);
    let marks = chars(&[
        (0x300, 0x36f, 1),
        (0x1161, 0x1175, 1),
        (0x11a7, 0x11c3, 1),
        (0x3099, 0x309a, 1),
        (0x93c, 0x93c, 1),
        (0x5b0, 0x5bc, 1),
        (0x64b, 0x655, 1),
    ]);
    // What lies between is not assigned, or for private use.
    let alone = chars(&[(0, 0x3_3fff, 1), (0xe_0000, 0xe_0fff, 1)]);
    let mut texts: Vec<String> = alone.into_iter().map(String::from).collect();
    for base in &bases {
        texts.extend(marks.iter().map(|mark| format!("{base}{mark}")));
    }
    for base in ['a', 'ǘ', '\u{1112}', '한', '하', 'か', '\u{3b1}', '\u{915}'] {
        for first in marks.iter().step_by(5) {
            texts.extend(marks.iter().map(|second| format!("{base}{first}{second}")));
        }
    }
    let rule = TextRule { nfc: true, deny: Vec::new(), ..TextRule::plain() };
    let lines: String = texts.iter().map(|text| hex(text.as_bytes()) + "\n").collect();
    let Some(told) = told("python3", &["-c", NORMAL], lines) else { return };
    assert_eq!(told.len(), texts.len());
    let mut known = [0; 2];
    for (text, theirs) in texts.iter().zip(told).filter(|(_, theirs)| theirs != "?") {
        let ours = rule.text(text, "/x").is_ok();
        known[usize::from(ours)] += 1;
        assert_eq!(ours, theirs == "y", "{}", text.escape_unicode());
    }
    assert!(known[0] > 20_000 && known[1] > 200_000, "{known:?}");
}
