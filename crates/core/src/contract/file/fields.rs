//! Field rules, values, pointers and schemas as written.

use super::{ReadFile, rule_error};
use crate::contract::field::{Decimal, FieldRule, Form};
use crate::contract::pattern::Pattern;
use crate::contract::schema::{Schema, SchemaFinding};
use crate::contract::text::{Confusables, ScriptName, TextClass, TextRule};
use crate::contract::value::{Pointer, Value};
use crate::document::{Placed, Table, integer, kind};
use std::ops::Range;
use toml::Spanned;
use toml::de::DeValue;

/// The rules of `fields`, by pointer.
pub(super) fn fields(
    message: &Table<'_, '_>,
    ascii: bool,
    list_bound: Option<usize>,
) -> Vec<(Pointer, FieldRule, Range<usize>)> {
    let Some(table) = message.table("fields") else { return Vec::new() };
    let mut rules = Vec::new();
    for (key, value) in table.entries() {
        let span = key.span.clone();
        let Some(rule) = table.named(&key, value).and_then(|t| bounded(&t, ascii, list_bound))
        else {
            continue;
        };
        match key.value.parse::<Pointer>() {
            Ok(pointer) => rules.push((pointer, rule, span)),
            Err(error) => table.error("K-02", span, error.to_string()),
        }
    }
    rules
}

/// One field's rule.
pub(super) fn rule(table: &Table<'_, '_>, ascii: bool) -> Option<FieldRule> {
    bounded(table, ascii, None)
}

/// One field's rule where a codec bounds every list by itself.
fn bounded(table: &Table<'_, '_>, ascii: bool, list_bound: Option<usize>) -> Option<FieldRule> {
    let int = range(table, "int").map(|r| (r.0, r.1));
    let each_int = range(table, "each_int");
    let size = |key| {
        let (lo, hi) = range(table, key)?;
        let unsigned = usize::try_from(lo).ok().zip(usize::try_from(hi).ok());
        if unsigned.is_none() {
            table.error("K-02", table.key_span(key), format!("`{key}` has a negative bound"));
        }
        unsigned
    };
    let each = table.table("each").and_then(|each| rule(&each, ascii));
    let each =
        each.or_else(|| each_int.map(|int| FieldRule { int: Some(int), ..FieldRule::default() }));
    let made = FieldRule {
        int,
        one_of: values(table, "enum"),
        constant: table.value("const").and_then(|value| scalar(table, value)),
        len: size("len").or_else(|| each.as_ref().and(list_bound).map(|most| (0, most))),
        bytes: size("bytes"),
        regex: table.text("regex").and_then(|text| pattern(table, &text, ascii)),
        form: form(table),
        each: each.map(Box::new),
        optional: table.boolean("optional").is_some_and(|flag| flag.value),
        text: text_rule(table),
        secret: table.boolean("secret").is_some_and(|flag| flag.value),
        tells: false,
    };
    table.finish();
    accepts_nothing(table, &made);
    made.consistent().map_err(|error| rule_error(table, table.span(), error)).ok()
}

/// K-15: a pattern, with the lengths beside it, that no text fits.
fn accepts_nothing(table: &Table<'_, '_>, rule: &FieldRule) {
    let Some(pattern) = rule.regex.as_ref().filter(|pattern| pattern.shortest().is_some()) else {
        return;
    };
    let (shortest, longest) = (pattern.shortest().unwrap_or_default(), pattern.longest());
    let least = [rule.len, rule.bytes].into_iter().flatten().map(|(lo, _)| lo).max();
    // A character has at most four bytes.
    let most = [rule.len.map(|(_, hi)| hi.saturating_mul(4)), rule.bytes.map(|(_, hi)| hi)];
    let long = most.into_iter().flatten().min().is_some_and(|most| shortest > most);
    let short = least.zip(longest).is_some_and(|(least, longest)| longest < least);
    if long || short {
        let text = "the pattern and the length beside it leave no text that fits";
        let finding = table.document().error("K-15", table.key_span("regex"), text).warning();
        table.document().find(finding);
    }
}

/// What the text of a field is written as: at most one of `decimal`, `date`, `time`, `uuid`, `hex`
/// and `base64`.
fn form(table: &Table<'_, '_>) -> Option<Form> {
    let size = |key: &'static str| {
        let (lo, hi) = range(table, key)?;
        let sizes = usize::try_from(lo).ok().zip(usize::try_from(hi).ok());
        if sizes.is_none() {
            table.error("K-02", table.key_span(key), format!("`{key}` has a negative bound"));
        }
        sizes
    };
    let one_of = |key: &'static str, forms: &[(&str, Form)]| {
        let text = table.text(key)?;
        let known = forms.iter().find(|(name, _)| *name == text.value);
        if known.is_none() {
            let all: Vec<&str> = forms.iter().map(|(name, _)| *name).collect();
            let message = format!("`{key}` is `{}`", text.value);
            table.error_with_hint("K-02", text.span, message, all.join(", "));
        }
        known.map(|(_, form)| form.clone())
    };
    let days = [("YYYYMMDD", Form::Day), ("YYMMDD", Form::ShortDay), ("rfc3339", Form::Rfc3339)];
    let forms = [
        table.table("decimal").and_then(|decimal| self::decimal(&decimal)).map(Form::Decimal),
        one_of("date", &days),
        one_of("time", &[("hhmmss", Form::Time)]),
        table.boolean("uuid").filter(|flag| flag.value).map(|_| Form::Uuid),
        size("hex").map(|(lo, hi)| Form::Hex(lo, hi)),
        size("base64").map(|(lo, hi)| Form::Base64(lo, hi)),
    ];
    let mut forms = forms.into_iter().flatten();
    let form = forms.next();
    if forms.next().is_some() {
        table.error("K-02", table.span(), "a field is written in one form only");
    }
    form
}

fn decimal(table: &Table<'_, '_>) -> Option<Decimal> {
    let digits = table.integer("digits");
    let scale = table.integer("scale").map_or(0, |scale| scale.value);
    let (min, max) = (table.text("min"), table.text("max"));
    table.finish();
    let Some(digits) = digits else {
        if !table.has("digits") {
            table.missing("K-02", "digits", "most digits before the point: `digits = 9`");
        }
        return None;
    };
    let bound = |text: Option<Placed<&str>>| text.map(|text| text.value.to_owned());
    let (min, max) = (bound(min), bound(max));
    Decimal::new(digits.value, scale, min.as_deref(), max.as_deref())
        .map_err(|error| rule_error(table, table.span(), error))
        .ok()
}

/// `[lo, hi]`.
fn range(table: &Table<'_, '_>, key: &'static str) -> Option<(i64, i64)> {
    let value = table.value(key)?;
    if let DeValue::Array(list) = value.get_ref() {
        let numbers: Vec<i64> = list.iter().filter_map(|n| integer(n.get_ref())).collect();
        if let [lo, hi] = numbers.as_slice()
            && list.len() == 2
        {
            return Some((*lo, *hi));
        }
        let over = |n: &&Spanned<DeValue<'_>>| {
            matches!(n.get_ref(), DeValue::Integer(_)) && integer(n.get_ref()).is_none()
        };
        if let Some(bound) = list.iter().find(over) {
            let message = format!("a bound of `{key}` is {}", kind(bound.get_ref()));
            table.error("K-02", bound.span(), message);
            return None;
        }
    }
    let message = format!("`{key}` is {}, not two whole numbers", kind(value.get_ref()));
    table.error_with_hint("K-02", value.span(), message, format!("`{key} = [0, 100]`"));
    None
}

/// A list of scalars.
pub(super) fn values(table: &Table<'_, '_>, key: &'static str) -> Option<Vec<Value<'static>>> {
    listed(table, key, table.value(key)?)
}

/// The scalars of a list that stands under `key`.
pub(super) fn listed(
    table: &Table<'_, '_>,
    key: &str,
    value: &Spanned<DeValue<'_>>,
) -> Option<Vec<Value<'static>>> {
    let DeValue::Array(list) = value.get_ref() else {
        table.error(
            "K-02",
            value.span(),
            format!("`{key}` is {}, not a list", kind(value.get_ref())),
        );
        return None;
    };
    if list.is_empty() {
        table.error("K-02", value.span(), format!("`{key}` is empty, so nothing fits it"));
    }
    list.iter().map(|element| scalar(table, element)).collect()
}

pub(super) fn scalar(
    table: &Table<'_, '_>,
    value: &Spanned<DeValue<'_>>,
) -> Option<Value<'static>> {
    match value.get_ref() {
        DeValue::String(text) => Some(Value::Text(text.to_string().into())),
        DeValue::Boolean(flag) => Some(Value::Bool(*flag)),
        other => match integer(other) {
            Some(number) => Some(Value::Int(number)),
            None => {
                let message = format!("{} cannot be compared with", kind(other));
                table.error("K-02", value.span(), message);
                None
            }
        },
    }
}

/// Makes bytes of the texts that rules of bytes compare with: `hex:` and digits, or their UTF-8.
pub(super) fn as_bytes(
    message: &Table<'_, '_>,
    rules: &mut [(Pointer, FieldRule, Range<usize>)],
    is_bytes: impl Fn(&Pointer) -> bool,
) {
    for (_, rule, _) in rules.iter_mut().filter(|(at, ..)| is_bytes(at)) {
        bytes_of(message, "fields", rule.one_of.iter_mut().flatten().chain(&mut rule.constant));
    }
}

/// The same for the values under one key of a message.
pub(super) fn bytes_of<'v>(
    message: &Table<'_, '_>,
    key: &str,
    values: impl IntoIterator<Item = &'v mut Value<'static>>,
) {
    for value in values {
        let Value::Text(text) = value else { continue };
        match crate::contract::units::bytes(text) {
            Ok(bytes) => *value = Value::Bytes(bytes.into()),
            Err(sentence) => message.error("K-02", message.key_span(key), sentence),
        }
    }
}

/// A pattern, with the place of what is wrong in it.
pub(super) fn pattern(table: &Table<'_, '_>, text: &Placed<&str>, ascii: bool) -> Option<Pattern> {
    let pattern = Pattern::compile(text.value, ascii)
        .map_err(|error| rule_error(table, text.span.clone(), error))
        .ok()?;
    if pattern.shortest().is_none() {
        let text_of = format!("no text matches `{}`", pattern.source());
        table.document().find(table.document().error("K-15", text.span.clone(), text_of).warning());
    }
    Some(pattern)
}

/// A list of pointers.
pub(super) fn pointers(table: &Table<'_, '_>, key: &'static str) -> Vec<Pointer> {
    let texts = table.texts(key).unwrap_or_default();
    texts.into_iter().filter_map(|text| pointer(table, &text)).collect()
}

/// One pointer.
pub(super) fn pointer(table: &Table<'_, '_>, text: &Placed<&str>) -> Option<Pointer> {
    let parsed = text.value.parse();
    parsed.map_err(|error| table.error("K-02", text.span.clone(), format!("{error}"))).ok()
}

/// `text = "plain" | "strict" | { form, deny }`.
pub(super) fn text_rule(table: &Table<'_, '_>) -> Option<TextRule> {
    let value = table.value("text")?;
    match value.get_ref() {
        DeValue::String(name) => match name.as_ref() {
            "plain" => Some(TextRule::plain()),
            "strict" => Some(TextRule::strict()),
            "identifier" => Some(TextRule::identifier()),
            other => {
                let message = format!("there is no text rule `{other}`");
                table.error_with_hint(
                    "K-02",
                    value.span(),
                    message,
                    "`plain`, `strict` or `identifier`",
                );
                None
            }
        },
        _ => table.table("text").map(|rule| {
            let nfc = match rule.text("form").map(|form| (form.value, form.span)) {
                None | Some(("any", _)) => false,
                Some(("nfc", _)) => true,
                Some((other, span)) => {
                    rule.error("K-02", span, format!("`form` is `{other}`, not `any` or `nfc`"));
                    false
                }
            };
            let deny = rule.texts("deny").map(|names| classes(&rule, names));
            let deny = deny.unwrap_or_else(|| TextRule::plain().deny);
            let scripts = scripts(&rule);
            let confusables = rule.text("confusables").and_then(|text| level(&rule, &text));
            rule.finish();
            TextRule { nfc, deny, scripts, confusables: confusables.unwrap_or(Confusables::Any) }
        }),
    }
}

fn scripts(rule: &Table<'_, '_>) -> Vec<ScriptName> {
    let Some(names) = rule.texts("scripts") else { return Vec::new() };
    if names.is_empty() {
        rule.error("K-02", rule.key_span("scripts"), "`scripts` is empty, so no text fits it");
    }
    let script = |name: Placed<&str>| {
        let known = ScriptName::named(name.value);
        if known.is_none() {
            let message = format!("there is no script `{}`", name.value);
            let hint = "Unicode's names: `Hangul`, `Latin`, `Han`, `Common`";
            rule.error_with_hint("K-02", name.span, message, hint);
        }
        known
    };
    names.into_iter().filter_map(script).collect()
}

fn level(rule: &Table<'_, '_>, text: &Placed<&str>) -> Option<Confusables> {
    let known = Confusables::NAMES.iter().find(|(name, _)| *name == text.value);
    if known.is_none() {
        let message = format!("`confusables` is `{}`", text.value);
        let all: Vec<&str> = Confusables::NAMES.iter().map(|(name, _)| *name).collect();
        rule.error_with_hint("K-02", text.span.clone(), message, all.join(", "));
    }
    known.map(|(_, level)| *level)
}

fn classes(rule: &Table<'_, '_>, names: Vec<Placed<&str>>) -> Vec<TextClass> {
    let class = |name: Placed<&str>| {
        let known = TextClass::NAMES.iter().find(|(known, _)| *known == name.value);
        if known.is_none() {
            let all: Vec<&str> = TextClass::NAMES.iter().map(|(name, _)| *name).collect();
            let message = format!("there is no class of characters `{}`", name.value);
            rule.error_with_hint("K-02", name.span, message, all.join(", "));
        }
        known.map(|(_, class)| *class)
    };
    names.into_iter().filter_map(class).collect()
}

/// A message's schema: a TOML table, JSON text, or the name of a file.
/// `whole` makes of it the schema of the whole message.
pub(super) fn schema(
    message: &Table<'_, '_>,
    read: ReadFile<'_>,
    whole: impl Fn(serde_json::Value) -> serde_json::Value,
) -> Option<Schema> {
    let value = message.value("schema")?;
    let span = value.span();
    let mut file = None;
    let json = match value.get_ref() {
        DeValue::String(text) if text.trim_start().starts_with('{') => parse(text),
        DeValue::String(name) => {
            file = Some(name.as_ref());
            let text = if is_plain_path(name) {
                read(name)
            } else {
                Err(format!(
                    "`{name}` is not a plain path beside the contract that ends in `.json`"
                ))
            };
            match text {
                Ok(text) => parse(&text).map_err(|error| format!("{name}: {error}")),
                Err(sentence) => {
                    message.error("K-04", span, sentence);
                    return None;
                }
            }
        }
        other => json(other).ok_or_else(|| "a schema is a table, JSON text or a file".to_owned()),
    };
    let json = json.and_then(|json| super::bundle::bundle(json, file, read, parse));
    let json = json.map_err(|sentence| message.error("K-04", span.clone(), sentence)).ok()?;
    let add = |finding: SchemaFinding, warning: bool| {
        let made = message.document().error(finding.check, span.clone(), finding.message);
        let made = made.hint_if(finding.hint);
        message.document().find(if warning { made.warning() } else { made });
    };
    match Schema::compile(&whole(json)) {
        Ok((schema, warnings)) => {
            warnings.into_iter().for_each(|warning| add(warning, true));
            Some(schema)
        }
        Err(errors) => {
            errors.into_iter().for_each(|error| add(error, false));
            None
        }
    }
}

/// Schema texts are read by the strict decoder too, so that a doubled keyword is seen.
fn parse(text: &str) -> Result<serde_json::Value, String> {
    use crate::contract::decode::{JsonRule, Numbers, WireLimits};
    let rule = JsonRule { numbers: Numbers::I64, top_any: true, nul_allowed: false };
    let limits =
        WireLimits { message: 1 << 20, depth: 64, nodes: 100_000, string: 1 << 20, key: 4096 };
    rule.read(text.as_bytes(), &limits)
        .map_err(|error| format!("the schema is no JSON: {error}"))?;
    serde_json::from_str(text).map_err(|error| format!("the schema is no JSON: {error}"))
}

fn json(value: &DeValue<'_>) -> Option<serde_json::Value> {
    use serde_json::Value as Json;
    Some(match value {
        DeValue::String(text) => Json::from(text.as_ref()),
        DeValue::Boolean(flag) => Json::from(*flag),
        DeValue::Integer(_) => Json::from(integer(value)?),
        DeValue::Float(number) => Json::from(number.as_str().parse::<f64>().ok()?),
        DeValue::Array(list) => {
            Json::Array(list.iter().map(|v| json(v.get_ref())).collect::<Option<_>>()?)
        }
        DeValue::Table(table) => Json::Object(
            table
                .iter()
                .map(|(key, value)| Some((key.get_ref().to_string(), json(value.get_ref())?)))
                .collect::<Option<_>>()?,
        ),
        DeValue::Datetime(_) => return None,
    })
}

pub(super) fn is_plain_path(path: &str) -> bool {
    let good = |b: u8| {
        b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'/' | b'-')
    };
    path.ends_with(".json")
        && path.bytes().all(good)
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}
