//! Every decoder but JSON, which has a target of its own: what is read is written as the same
//! bytes, or where a value has several spellings, as bytes that read as the same value; nothing is
//! larger than what came.
//!
//! Input: one byte chooses the decoder, the rest is the payload.
#![no_main]

use libfuzzer_sys::fuzz_target;
use segwan_core::contract::charset::Charset;
use segwan_core::contract::decode::{
    Checksum, Column, ColumnType, Columns, DecodeRule, Delimited, Layout, Pairs, Sign, StructRule,
    WireLimits, Words, Writing,
};
use segwan_core::contract::value::Value;
use std::sync::LazyLock;

const CHARSETS: [Charset; 5] =
    [Charset::Ascii, Charset::Utf8, Charset::Latin1, Charset::EucKr, Charset::Cp949];

struct Binary {
    rule: StructRule,
    whole: Layout,
}

static BINARIES: LazyLock<Vec<Binary>> = LazyLock::new(|| {
    let binary = |little, charset, check: Option<Checksum>, tail: &[&str]| {
        let writing = Writing { little, charset: Some(charset) };
        let head = Layout::parse(&["kind: u8"], &Layout::default(), writing).expect("a head");
        let whole = Layout::parse(tail, &head, writing).expect("a layout");
        let check = check.map(|check| ("sum".into(), check));
        let rule = StructRule { head, from_frame: false, check, writing };
        rule.checked(&whole).expect("a checksum at the end");
        Binary { rule, whole }
    };
    vec![
        binary(false, Charset::Utf8, None, &["n: i32"]),
        binary(false, Charset::Utf8, None, &["c: varint", "l: i16[c]", "s: u8", "t: text[s]"]),
        binary(true, Charset::Cp949, None, &["a: u24", "b: u64", "f: f64", "g: f32be", "t: text[*]"]),
        binary(true, Charset::EucKr, None, &["m: bytes[2] = hex:5347", "z: u16 = 7", "l: varint[*]"]),
        binary(false, Charset::Ascii, Some(Checksum::Xor8), &["b: bool[2]", "sum: u8"]),
        binary(false, Charset::Ascii, Some(Checksum::Crc16Modbus), &["n: i64", "sum: u16le"]),
        binary(false, Charset::Ascii, Some(Checksum::Crc32), &["n: i8", "sum: u32"]),
    ]
});

static COLUMNS: LazyLock<Vec<Columns>> = LazyLock::new(|| {
    let column = |name: &str, bytes, kind| Column { name: name.into(), bytes, kind, constant: None };
    let columns = |charset| {
        let columns = vec![
            column("left", 5, ColumnType::Text { right: false }),
            column("right", 5, ColumnType::Text { right: true }),
            column("code", 2, ColumnType::Digits),
            column("lead", 3, ColumnType::Number(Sign::Leading)),
            column("gap", 1, ColumnType::Blank),
            column("trail", 3, ColumnType::Number(Sign::Trailing)),
            column("raw", 2, ColumnType::Bytes),
        ];
        Columns::new(charset, false, columns).expect("columns")
    };
    CHARSETS.map(columns).to_vec()
});

fuzz_target!(|data: &[u8]| {
    let [which, payload @ ..] = data else { return };
    let limits = WireLimits { nodes: 64, ..WireLimits::default() };
    let charset = CHARSETS[usize::from(which >> 4) % CHARSETS.len()];
    match which & 0xf {
        0..=6 => binary(&BINARIES[usize::from(which & 0xf) % BINARIES.len()], payload, &limits),
        7..=9 => columns(&COLUMNS[usize::from(which >> 4) % COLUMNS.len()], payload),
        10 => {
            let words = Words { charset, sep: " ".into(), max: 8 };
            let Ok(tree) = words.read(payload) else { return };
            let Some(Value::List(args)) = tree.member("args") else { panic!("no args") };
            let words: Vec<&str> =
                tree.member("verb").into_iter().chain(args).filter_map(Value::as_text).collect();
            assert_eq!(charset.encode(&words.join(" ")).as_deref(), Some(payload));
        }
        11 | 12 => {
            let names = if which & 1 == 0 { vec!["a".into(), "b".into()] } else { Vec::new() };
            let rule = Delimited { charset, sep: ",".into(), quote: Some('"'), names };
            let Ok(tree) = rule.read(payload, limits.nodes) else { return };
            let written = rule.write(&tree).expect("what was read is written");
            assert_eq!(rule.read(&written, limits.nodes), Ok(tree));
        }
        13 => {
            let names = ["a", "b", "c"].map(Into::into).to_vec();
            let (sep, eq) = (";".into(), "=".into());
            let rule = Pairs { charset, sep, eq, ordered: which & 0x80 != 0, names };
            let Ok(Value::Map(members)) = rule.read(payload) else { return };
            let pair = |(key, value): &(_, Value<'_>)| {
                format!("{key}={}", value.as_text().expect("a text"))
            };
            let pairs: Vec<String> = members.iter().map(pair).collect();
            assert_eq!(charset.encode(&pairs.join(";")).as_deref(), Some(payload));
        }
        _ => {
            let Ok(Value::Text(text)) = (DecodeRule::Text { charset }).read(payload, &limits) else {
                return;
            };
            assert_eq!(charset.encode(&text).as_deref(), Some(payload));
        }
    }
});

fn binary(binary: &Binary, payload: &[u8], limits: &WireLimits) {
    let Binary { rule, whole } = binary;
    let Ok(tree) = rule.read(whole, payload, limits.nodes) else { return };
    let head = rule.read_head(payload, limits.nodes).expect("a whole message has its head");
    assert_eq!(head.member("kind"), tree.member("kind"));
    assert_eq!(rule.write(whole, &tree).as_deref(), Some(payload), "{tree:?}");
}

fn columns(columns: &Columns, payload: &[u8]) {
    let salvaged = columns.salvage(payload);
    let Ok(tree) = columns.read(payload) else { return };
    assert_eq!(salvaged.as_ref(), Some(&tree));
    let written = columns.write(&tree).expect("what was read is written");
    assert_eq!(columns.read(&written), Ok(tree));
}
