//! `columns` as written: one table for each column.

use super::{charset, from_frame, word};
use crate::contract::decode::{Column, ColumnType, Columns, DecodeRule, Sign};
use crate::contract::file::{fields, rule_error};
use crate::contract::units;
use crate::contract::value::Value;
use crate::document::Table;

const TYPES: [&str; 7] = ["text", "digits", "number", "date", "time", "blank", "bytes"];

pub(super) fn columns(table: &Table<'_, '_>) -> Option<DecodeRule> {
    let charset = charset(table);
    let from_frame = from_frame(table);
    if !table.has("columns") {
        table.missing(
            "K-10",
            "columns",
            "`columns = [{ name = \"code\", bytes = 4, type = \"digits\" }]`",
        );
    }
    let tables = table.tables("columns");
    let columns: Vec<Option<Column>> = tables.iter().map(column).collect();
    let columns: Vec<Column> = columns.into_iter().collect::<Option<_>>()?;
    match Columns::new(charset?, from_frame, columns) {
        Ok(columns) => Some(DecodeRule::Columns(columns)),
        Err(error) => {
            rule_error(table, table.key_span("columns"), error);
            None
        }
    }
}

fn column(table: &Table<'_, '_>) -> Option<Column> {
    let name = table.text("name").map(|name| name.value);
    let good = |name: &str| {
        name.len() <= 64
            && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    if !name.is_some_and(good) {
        let at = table.key_span("name");
        table.error("K-02", at, "a column has a `name` of letters, digits, `_`");
    }
    let bytes = table.integer("bytes").and_then(|n| usize::try_from(n.value).ok());
    if bytes.is_none() {
        table.error("K-02", table.key_span("bytes"), "a column has a width: `bytes = 8`");
    }
    if !table.has("type") {
        table.missing("K-02", "type", TYPES.join(", "));
    }
    let kind = match TYPES.get(word(table, "type", &TYPES)).copied().unwrap_or_default() {
        "text" => ColumnType::Text { right: word(table, "align", &["left", "right"]) == 1 },
        "digits" => ColumnType::Digits,
        "number" => {
            ColumnType::Number(match word(table, "sign", &["none", "leading", "trailing"]) {
                1 => Sign::Leading,
                2 => Sign::Trailing,
                _ => Sign::None,
            })
        }
        "date" => ColumnType::Date,
        "time" => ColumnType::Time,
        "blank" => ColumnType::Blank,
        _ => ColumnType::Bytes,
    };
    let constant = constant(table, kind);
    table.finish();
    Some(Column { name: name.filter(|name| good(name))?.into(), bytes: bytes?, kind, constant })
}

fn constant(table: &Table<'_, '_>, kind: ColumnType) -> Option<Value<'static>> {
    let value = table.value("const")?;
    let constant = fields::scalar(table, value)?;
    match (kind, constant) {
        (ColumnType::Bytes, Value::Text(text)) => match units::bytes(&text) {
            Ok(bytes) => Some(Value::Bytes(bytes.into())),
            Err(sentence) => {
                table.error("K-02", value.span(), sentence);
                None
            }
        },
        (ColumnType::Blank, _) => {
            table.error("K-02", value.span(), "a blank column holds spaces and nothing else");
            None
        }
        (_, constant) => Some(constant),
    }
}
