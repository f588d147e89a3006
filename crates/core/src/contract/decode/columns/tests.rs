use super::*;
use proptest::prelude::*;

fn column(name: &str, bytes: usize, kind: ColumnType) -> Column {
    Column { name: name.into(), bytes, kind, constant: None }
}

fn one(kind: ColumnType, charset: Charset, bytes: &[u8]) -> Result<Value<'_>, Reason> {
    let columns = vec![column("x", bytes.len(), kind)];
    let columns = Columns::new(charset, false, columns).map_err(|_| Reason::Internal)?;
    let tree = columns.read(bytes).map_err(|v| v.reason)?;
    Ok(tree.member("x").cloned().unwrap_or(Value::Null))
}

const LEFT: ColumnType = ColumnType::Text { right: false };
const RIGHT: ColumnType = ColumnType::Text { right: true };

// TRAP-25
#[test]
fn each_column_is_decoded_alone() {
    let syllables = b"\xc8\xab\xb1\xe6\xb5\xbf  ";
    assert_eq!(one(LEFT, Charset::EucKr, syllables), Ok(Value::Text("홍길동".into())));
    // Half a syllable at the end, which would swallow the first byte of the next column.
    assert_eq!(one(LEFT, Charset::EucKr, b"\xc8\xab\xb1"), Err(Reason::Charset));
    assert_eq!(one(LEFT, Charset::EucKr, b"\x8c\x63"), Err(Reason::Charset));
    assert_eq!(one(LEFT, Charset::Cp949, b"\x8c\x63"), Ok(Value::Text("똠".into())));
    // Full-width digits are letters here and no digits.
    assert_eq!(one(ColumnType::Digits, Charset::EucKr, b"\xa3\xb1\xa3\xb2"), Err(Reason::Digits));
    // U+3000 is no padding.
    assert_eq!(one(LEFT, Charset::EucKr, b"\xb1\xe6\xa1\xa1"), Err(Reason::Filler));
    assert_eq!(one(RIGHT, Charset::EucKr, b"\xa1\xa1\xb1\xe6"), Err(Reason::Filler));
}

#[test]
fn text_is_padded_on_one_side_only() {
    let ascii = |kind, bytes| one(kind, Charset::Ascii, bytes);
    assert_eq!(ascii(LEFT, b"a b "), Ok(Value::Text("a b".into())));
    assert_eq!(ascii(RIGHT, b" a b"), Ok(Value::Text("a b".into())));
    assert_eq!(ascii(LEFT, b"   "), Ok(Value::Text("".into())));
    assert_eq!(ascii(LEFT, b" ab"), Err(Reason::Filler));
    assert_eq!(ascii(RIGHT, b"ab "), Err(Reason::Filler));
    assert_eq!(ascii(LEFT, b"a\0\0"), Ok(Value::Text("a\0\0".into())));
}

// TRAP-18, CON-13
#[test]
fn numbers_are_digits_with_a_sign_where_one_may_stand() {
    let number = |sign, bytes| one(ColumnType::Number(sign), Charset::Ascii, bytes);
    assert_eq!(number(Sign::None, b"000123"), Ok(Value::Int(123)));
    assert_eq!(number(Sign::Leading, b"-00123"), Ok(Value::Int(-123)));
    assert_eq!(number(Sign::Trailing, b"00123-"), Ok(Value::Int(-123)));
    assert_eq!(number(Sign::Leading, b"+00123"), Ok(Value::Int(123)));
    assert_eq!(number(Sign::Leading, b"000123"), Ok(Value::Int(123)));
    for bad in ["-00123", "   123", "123   ", "0x0123", "1_0000", "12.345", "\u{ff11}123", "12345-"]
    {
        assert_eq!(number(Sign::None, bad.as_bytes()), Err(Reason::Digits), "{bad}");
    }
    for bad in ["-00000", "--0001", "-+0001", "00001-", "- 0001"] {
        assert_eq!(number(Sign::Leading, bad.as_bytes()), Err(Reason::Digits), "{bad}");
    }
    let most = b"9999999999999999999";
    assert_eq!(number(Sign::Leading, most), Err(Reason::Digits));
    assert_eq!(
        number(Sign::Leading, b"-999999999999999999"),
        Ok(Value::Int(-999_999_999_999_999_999))
    );
}

#[test]
fn dates_blanks_and_constants_hold() {
    let ascii = |kind, bytes| one(kind, Charset::Ascii, bytes);
    assert_eq!(ascii(ColumnType::Date, b"20240229"), Ok(Value::Text("20240229".into())));
    assert_eq!(ascii(ColumnType::Date, b"20230229"), Err(Reason::Date));
    assert_eq!(ascii(ColumnType::Date, b"230229"), Err(Reason::Date));
    assert_eq!(ascii(ColumnType::Time, b"235960"), Err(Reason::Date));
    assert_eq!(ascii(ColumnType::Blank, b"   "), Ok(Value::Null));
    assert_eq!(ascii(ColumnType::Blank, b" \0 "), Err(Reason::Filler));
    let constant = Some(Value::Text("AB".into()));
    let fixed = Column { constant, ..column("x", 3, LEFT) };
    let columns = Columns::new(Charset::Ascii, false, vec![fixed]).unwrap();
    assert!(columns.read(b"AB ").is_ok());
    assert_eq!(columns.read(b"ABC").unwrap_err().reason, Reason::Constant);
    assert_eq!(columns.read(b"AB").unwrap_err().reason, Reason::Size);
    assert_eq!(columns.read(b"AB  ").unwrap_err().reason, Reason::Size);
}

// K-02
#[test]
fn columns_that_cannot_be_are_refused_at_load() {
    let made = |columns| Columns::new(Charset::Ascii, false, columns).map(|_| ());
    let number = ColumnType::Number(Sign::None);
    for bad in [
        vec![],
        vec![column("a", 0, LEFT)],
        vec![column("a", 19, number)],
        vec![column("a", 7, ColumnType::Date)],
        vec![column("a", 1, LEFT), column("a", 1, LEFT)],
        vec![Column { constant: Some(Value::Int(100)), ..column("a", 2, number) }],
        vec![Column { constant: Some(Value::Text("가".into())), ..column("a", 2, LEFT) }],
    ] {
        assert_eq!(made(bad.clone()).unwrap_err().check, "K-02", "{bad:?}");
    }
}

#[test]
fn what_holds_of_a_broken_message_is_what_stands_alone() {
    let columns = vec![column("a", 2, ColumnType::Digits), column("b", 2, ColumnType::Digits)];
    let columns = Columns::new(Charset::Ascii, false, columns).unwrap();
    let salvaged = columns.salvage(b"x112").unwrap();
    assert_eq!(
        (salvaged.member("a"), salvaged.member("b")),
        (None, Some(&Value::Text("12".into())))
    );
    assert_eq!(columns.salvage(b"12"), None);
}

// K-31
#[test]
fn a_number_has_the_bounds_of_its_width() {
    let columns = |sign, bytes| {
        let columns = vec![column("n", bytes, ColumnType::Number(sign))];
        Columns::new(Charset::Ascii, false, columns).unwrap().field_type("n").unwrap().bounds()
    };
    assert_eq!(columns(Sign::None, 3), Some((0, 999)));
    assert_eq!(columns(Sign::Leading, 3), Some((-99, 999)));
    let most = 999_999_999_999_999_999;
    assert_eq!(columns(Sign::Trailing, 19), Some((-most, most)));
}

fn all() -> Columns {
    let constant = Some(Value::Int(7));
    Columns::new(
        Charset::EucKr,
        false,
        vec![
            column("left", 8, LEFT),
            column("right", 8, RIGHT),
            column("code", 3, ColumnType::Digits),
            column("lead", 5, ColumnType::Number(Sign::Leading)),
            column("gap", 2, ColumnType::Blank),
            column("trail", 5, ColumnType::Number(Sign::Trailing)),
            column("day", 8, ColumnType::Date),
            column("raw", 2, ColumnType::Bytes),
            Column { constant, ..column("seven", 2, ColumnType::Number(Sign::None)) },
        ],
    )
    .unwrap()
}

proptest! {
    // CON-04
    #[test]
    fn a_tree_is_written_as_it_is_read(
        left in "[가-힣&&[강홍길동]]{0,4}",
        right in "[a-z]{0,4}",
        code in "[0-9]{3}",
        numbers in (-9999_i64..=99999, -9999_i64..=99999),
        raw in any::<[u8; 2]>(),
    ) {
        let text = |text: &str| Value::Text(text.to_owned().into());
        let tree = Value::Map(vec![
            ("left".into(), text(&left)),
            ("right".into(), text(&right)),
            ("code".into(), text(&code)),
            ("lead".into(), Value::Int(numbers.0)),
            ("trail".into(), Value::Int(numbers.1)),
            ("day".into(), text("20240229")),
            ("raw".into(), Value::Bytes(raw.to_vec().into())),
            ("seven".into(), Value::Int(7)),
        ]);
        let columns = all();
        let written = columns.write(&tree).unwrap();
        prop_assert_eq!(written.len(), columns.size());
        let again = columns.read(&written).unwrap();
        prop_assert_eq!(&again, &tree);
        prop_assert_eq!(columns.write(&again), Some(written.clone()));
    }

    // CON-04, P5
    #[test]
    fn what_is_read_is_written_with_the_same_value(
        bytes in proptest::collection::vec(prop_oneof![Just(b' '), b'0'..=b'9', any::<u8>()], 43),
    ) {
        let columns = all();
        if let Ok(tree) = columns.read(&bytes) {
            let written = columns.write(&tree).unwrap();
            prop_assert_eq!(columns.read(&written), Ok(tree));
        }
        let _ = columns.salvage(&bytes);
    }
}
