use super::*;
use crate::rejection::Reason;
use proptest::prelude::*;

const BIG: Writing = Writing { little: false, charset: Some(Charset::Utf8) };

fn layout(items: &[&str]) -> Layout {
    Layout::parse(items, &Layout::default(), BIG).unwrap()
}

fn read(items: &[&str], bytes: &[u8]) -> Result<Value<'static>, Reason> {
    layout(items).read(bytes, 8).map(Value::into_owned).map_err(|v| v.reason)
}

fn item(items: &[&str], bytes: &[u8]) -> Result<Value<'static>, Reason> {
    let name = items.last().and_then(|text| text.split(':').next()).unwrap();
    Ok(read(items, bytes)?.member(name).cloned().unwrap())
}

// CON-04
#[test]
fn integers_come_in_both_orders_and_with_signs() {
    let rows: [(&str, &[u8], i64); 14] = [
        ("n: u8", b"\xff", 255),
        ("n: i8", b"\xff", -1),
        ("n: u16", b"\x01\x02", 0x0102),
        ("n: u16le", b"\x01\x02", 0x0201),
        ("n: i16", b"\xff\xfe", -2),
        ("n: i16le", b"\xfe\xff", -2),
        ("n: u24", b"\x01\x02\x03", 0x01_0203),
        ("n: u24le", b"\x01\x02\x03", 0x03_0201),
        ("n: u32be", b"\xff\xff\xff\xff", 0xffff_ffff),
        ("n: i32", b"\x80\0\0\0", -0x8000_0000),
        ("n: u64", b"\x7f\xff\xff\xff\xff\xff\xff\xff", i64::MAX),
        ("n: i64", b"\x80\0\0\0\0\0\0\0", i64::MIN),
        ("n: varint", b"\x80\x01", 128),
        ("n: varint", b"\xff\xff\xff\xff\x7f", (1 << 35) - 1),
    ];
    for (text, bytes, value) in rows {
        assert_eq!(item(&[text], bytes), Ok(Value::Int(value)), "{text}");
        let (lo, hi) = layout(&[text]).field_type("n").unwrap().bounds().unwrap();
        assert!((lo..=hi).contains(&value), "{text}");
    }
    assert_eq!(item(&["n: u64"], &[0xff; 8]), Err(Reason::Range));
    assert_eq!(item(&["n: u64"], b"\x80\0\0\0\0\0\0\0"), Err(Reason::Range));
}

// TRAP-08
#[test]
fn each_fault_has_its_reason() {
    let rows: [(&[&str], &[u8], Reason); 17] = [
        (&["n: u16"], b"\x01", Reason::Size),
        (&["n: u16"], b"\x01\x02\x03", Reason::TrailingBytes),
        (&["n: u8 = 0x05"], b"\x06", Reason::Constant),
        (&["n: bytes[2] = hex:dead"], b"\xde\xaf", Reason::Constant),
        (&["b: bool"], b"\x02", Reason::Range),
        (&["f: f32"], b"\x7f\x80\0\0", Reason::Range),
        (&["f: f64"], b"\xff\xf8\0\0\0\0\0\0", Reason::Range),
        (&["v: varint"], b"\x80\x00", Reason::IntegerForm),
        (&["v: varint"], b"\x80\x80\x80\x80\x80\x01", Reason::IntegerForm),
        (&["v: varint"], b"\x80", Reason::Size),
        (&["c: u32", "l: u16[c]"], b"\xff\xff\xff\xff\0\0", Reason::Size),
        (&["c: i8", "l: u8[c]"], b"\xff", Reason::Range),
        (&["c: u8", "d: bytes[c]"], b"\x05ab", Reason::Size),
        (&["c: u8", "d: text[c]"], b"\x02\xc3\x28", Reason::Charset),
        (&["l: u16[*]"], b"\0\x01\0", Reason::Size),
        (&["l: u8[*]"], b"123456789", Reason::JsonNodes),
        (&["c: u8", "l: bool[c]"], b"\x02\x01\x02", Reason::Range),
    ];
    for (items, bytes, reason) in rows {
        assert_eq!(read(items, bytes), Err(reason), "{items:?}");
    }
}

#[test]
fn counts_are_numbers_earlier_items_or_the_rest() {
    let ints = |numbers: &[i64]| Value::List(numbers.iter().map(|n| Value::Int(*n)).collect());
    assert_eq!(item(&["l: u8[2]"], b"\x01\x02"), Ok(ints(&[1, 2])));
    assert_eq!(item(&["c: varint", "l: i16[c]"], b"\x01\xff\xff"), Ok(ints(&[-1])));
    assert_eq!(item(&["c: u8", "l: u16[c]"], b"\0"), Ok(ints(&[])));
    assert_eq!(item(&["l: varint[*]"], b"\x01\x80\x01"), Ok(ints(&[1, 128])));
    assert_eq!(item(&["d: bytes[*]"], b""), Ok(Value::Bytes(b"".to_vec().into())));
    assert_eq!(item(&["t: text[*]"], "한".as_bytes()), Ok(Value::Text("한".into())));
}

// K-02
#[test]
fn an_item_that_cannot_be_is_refused_at_load() {
    for bad in [
        &["n u8"][..],
        &["n: u7"],
        &["n: u8be"],
        &["1n: u8"],
        &["n: u8", "n: u8"],
        &["d: bytes"],
        &["d: bytes[0]"],
        &["d: bytes[x]"],
        &["f: f32", "d: bytes[f]"],
        &["l: u8[2]", "d: bytes[l]"],
        &["d: bytes[*]", "n: u8"],
        &["n: u8 = 256"],
        &["n: u8 = x"],
        &["f: f32 = 1"],
        &["d: bytes[2] = hex:00"],
        &["d: bytes[2"],
        &["l: u8[2] = 1"],
    ] {
        let refused = Layout::parse(bad, &Layout::default(), BIG).unwrap_err();
        assert_eq!(refused.check, "K-02", "{bad:?}");
    }
    let none = Writing { little: false, charset: None };
    assert!(Layout::parse(&["t: text[2]"], &Layout::default(), none).is_err());
}

#[test]
fn a_checksum_is_the_last_item_and_of_all_before_it() {
    let rule = StructRule {
        head: layout(&["n: u8"]),
        from_frame: false,
        check: Some(("crc".into(), Checksum::Crc16Modbus)),
        writing: BIG,
    };
    let whole = Layout::parse(&["fc: u8", "at: u16", "count: u16", "crc: u16le"], &rule.head, BIG);
    let whole = whole.unwrap();
    rule.checked(&whole).unwrap();
    // A request of Modbus over serial lines, as its specification shows one.
    let mut bytes = b"\x11\x03\x00\x6b\x00\x03\x76\x87".to_vec();
    let tree = rule.read(&whole, &bytes, 8).unwrap();
    assert_eq!(tree.member("at"), Some(&Value::Int(0x6b)));
    assert_eq!(rule.write(&whole, &tree).as_deref(), Some(&bytes[..]));
    bytes[3] ^= 1;
    assert_eq!(rule.read(&whole, &bytes, 8).unwrap_err().reason, Reason::Checksum);
    assert_eq!(rule.checked(&rule.head).unwrap_err().check, "K-02");
}

const ALL: [&str; 15] = [
    "magic: bytes[2] = hex:5347",
    "kind: u8",
    "n16: u16le",
    "n24: u24",
    "n32: i32",
    "n64: u64",
    "flag: bool",
    "var: varint",
    "half: f32",
    "full: f64le",
    "count: u8",
    "list: i16[count]",
    "size: varint",
    "name: text[size]",
    "rest: bytes[*]",
];

proptest! {
    // CON-04
    #[test]
    fn a_tree_is_written_as_it_is_read(
        n in (any::<u8>(), any::<u16>(), 0_i64..1 << 24, any::<i32>(), 0..=i64::MAX),
        var in 0_i64..1 << 35,
        flag in any::<bool>(),
        floats in (-1e30_f32..1e30, -1e300_f64..1e300),
        list in proptest::collection::vec(any::<i16>(), 0..6),
        name in "[a-z가-힣]{0,5}",
        rest in proptest::collection::vec(any::<u8>(), 0..5),
    ) {
        let int = |n: i64| Value::Int(n);
        let tree = Value::Map(vec![
            ("magic".into(), Value::Bytes(b"SG".to_vec().into())),
            ("kind".into(), int(n.0.into())),
            ("n16".into(), int(n.1.into())),
            ("n24".into(), int(n.2)),
            ("n32".into(), int(n.3.into())),
            ("n64".into(), int(n.4)),
            ("flag".into(), Value::Bool(flag)),
            ("var".into(), int(var)),
            ("half".into(), Value::Float(floats.0.into())),
            ("full".into(), Value::Float(floats.1)),
            ("count".into(), int(list.len() as i64)),
            ("list".into(), Value::List(list.iter().map(|n| int((*n).into())).collect())),
            ("size".into(), int(name.len() as i64)),
            ("name".into(), Value::Text(name.into())),
            ("rest".into(), Value::Bytes(rest.into())),
        ]);
        let layout = layout(&ALL);
        let bytes = layout.write(&tree).unwrap();
        prop_assert_eq!(layout.read(&bytes, 100), Ok(tree.clone()));
        // Cut anywhere it is another message or none.
        for at in 0..bytes.len() {
            prop_assert_ne!(layout.read(&bytes[..at], 100), Ok(tree.clone()));
        }
    }

    // CON-04: one spelling for each tree
    #[test]
    fn what_is_read_is_written_as_the_same_bytes(
        mut bytes in proptest::collection::vec(prop_oneof![0_u8..4, any::<u8>()], 33..60),
    ) {
        bytes[..2].copy_from_slice(b"SG");
        let layout = layout(&ALL);
        if let Ok(tree) = layout.read(&bytes, 100) {
            prop_assert_eq!(layout.write(&tree), Some(bytes.clone()));
        }
    }
}
