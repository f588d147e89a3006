//! The parts of a request's cost, each measured alone.

use crate::loads::{NOTE, ORDER, ORDER_POLICY, note, order};
use crate::{admitted, contract, each, now, spread};
use segwan_core::contract::decode::{JsonRule, Numbers, WireLimits, write_json};
use segwan_core::contract::frame::{AtEof, FrameRule, Lines};
use segwan_core::contract::schema::Schema;
use segwan_core::contract::text::TextRule;
use segwan_core::contract::value::Value;
use segwan_core::policy::{Ask, DecisionCache};
use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: usize = 201;
const TIMES: usize = 256;

/// Prints what the parts of the two JSON requests cost.
pub(crate) fn print(word: &str) -> Result<(), Box<dyn Error>> {
    if !"parts JSON".contains(word) {
        return Ok(());
    }
    println!("\n| part of a request, ns | least | median |\n|---|---:|---:|");
    for (text, line) in [(NOTE, note()), (ORDER, order(999_999, 123_456_789))] {
        message(text, &line)?;
    }
    policy()
}

fn message(text: &str, line: &[u8]) -> Result<(), Box<dyn Error>> {
    let size = line.len();
    let frame = FrameRule::Lines(Lines {
        lf: true,
        crlf: false,
        writes_crlf: false,
        at_eof: AtEof::Reject,
        skip_empty: false,
    });
    part(&format!("{size} bytes: cut the frame"), || {
        black_box(frame.cut(black_box(line), &mut 0, 4096).is_ok());
    });
    let json = JsonRule { numbers: Numbers::IJson, top_any: false, nul_allowed: false };
    let (payload, limits) = (&line[..size - 1], WireLimits::default());
    part(&format!("{size} bytes: decode the JSON"), || {
        black_box(json.read(black_box(payload), &limits).is_ok());
    });
    let tree = json.read(payload, &limits).map_err(|violation| violation.sentence)?;
    let plain = TextRule::plain();
    part(&format!("{size} bytes: judge its texts"), || {
        black_box(plain.check(black_box(&tree)).is_ok());
    });
    let source = serde_json::from_str(text.split("'''").nth(1).ok_or("no schema")?)?;
    let (schema, _) = Schema::compile(&source).map_err(|findings| format!("{findings:?}"))?;
    part(&format!("{size} bytes: hold it to its schema"), || {
        black_box(schema.check(black_box(&tree)).is_ok());
    });
    let mut out = Vec::new();
    part(&format!("{size} bytes: write its one spelling"), || {
        out.clear();
        write_json(black_box(&tree), &mut out);
    });
    Ok(())
}

fn policy() -> Result<(), Box<dyn Error>> {
    let (contract, now) = (contract(ORDER)?, now());
    let (policy, permit) = admitted(&contract, ORDER_POLICY, now)?;
    let country = Value::Text("KR".into());
    let mut cache = DecisionCache::default();
    let mut ask = |total: i64, customer: i64| {
        let resources = [format!("customer/{customer:010}")];
        let total = Value::Int(total);
        let context = [("total", &total), ("country", &country)];
        let ask =
            Ask { action: "order.place", resources: &resources, context: &context, session: &[] };
        black_box(policy.authorize(&permit, &mut cache, &ask, now).is_ok());
    };
    part("policy that reads it: values seen before", || ask(999_999, 7));
    let mut total = 0;
    part("policy that reads it: another value each time", || {
        total += 1;
        ask(total, 7);
    });
    part("policy that reads it: another value and resource each time", || {
        total += 1;
        ask(total, total);
    });
    Ok(())
}

fn part(name: &str, mut work: impl FnMut()) {
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        (0..TIMES).for_each(|_| work());
        rounds.push(each(began.elapsed(), TIMES));
    }
    let (least, median) = spread(rounds);
    println!("| {name} | {least} | {median} |");
}
