//! `Cost`: what one message can make the gateway do at worst, from limits and contract alone.
//!
//! Computed when a contract is loaded, so nothing is counted while messages pass: the limits that
//! are enforced anyway are what makes the bound true (`contracts.md` section 23). A unit is about
//! ten nanoseconds of one core.

use super::decode::{DecodeRule, WireLimits};
use super::field::FieldRule;
use super::frame::FrameRule;
use super::text::TextRule;
use super::{Contract, ContractLimits, Direction, MessageRule, Pairing, Side};

/// Most units of one message: 50 ms at worst, on input that was made for it.
pub const BUDGET: u64 = 5_000_000;

/// The work bound of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// Who says it.
    pub side: Side,
    /// Its name.
    pub message: String,
    /// The steps that it goes through, in their order.
    pub parts: Vec<Part>,
}

/// What one step may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The step.
    pub name: &'static str,
    /// Its bound.
    pub units: u64,
    /// What would lower it most, as the author of the contract writes it.
    pub mend: String,
}

impl Cost {
    /// All parts together.
    #[must_use]
    pub fn units(&self) -> u64 {
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(part.units))
    }

    /// The part that costs most.
    #[must_use]
    pub fn dearest(&self) -> Option<&Part> {
        self.parts.iter().max_by_key(|part| part.units)
    }
}

impl Contract {
    /// The work bound of each message, the client's first.
    #[must_use]
    pub fn costs(&self) -> Vec<Cost> {
        let of = |side| {
            let direction = self.direction(side);
            let messages = direction.messages.iter();
            messages.map(move |m| cost(side, direction, m, &self.limits, &self.pairing))
        };
        of(Side::Client).chain(of(Side::Server)).collect()
    }
}

/// The work bound of a message.
pub(super) fn cost(
    side: Side,
    direction: &Direction,
    message: &MessageRule,
    limits: &ContractLimits,
    pairing: &Pairing,
) -> Cost {
    let wire = Contract::wire_of(limits, side);
    let bytes = wire.message as u64;
    let size = match side {
        Side::Client => "`limits.message`",
        Side::Server => "`limits.server_message`",
    };
    let (read, read_mend) = decoding(direction, message, &wire, size);
    let part = |name, units, mend: &str| Part { name, units, mend: format!("a smaller {mend}") };
    let (schema, schema_mend) =
        message.schema.as_ref().map_or((0, String::new()), |schema| schema.cost(&wire));
    let (fields, field_mend) = fields(message, &wire);
    let rules: u64 = message.rules.iter().fold(0, |sum, rule| sum.saturating_add(rule.units()));
    let (pair, pair_mend) = pairing_and_resource(message, limits, pairing);
    let parts = vec![
        part("frame", bytes / 16, size),
        Part { name: "decode", units: read, mend: read_mend },
        part("text", text(direction, message, &wire), size),
        part("grammar", grammars(direction, message, bytes), size),
        Part { name: "fields", units: fields, mend: field_mend },
        Part { name: "schema", units: schema, mend: schema_mend },
        part("rules", rules, "`len` or `maxItems` of the lists that the rules go through"),
        Part { name: "resource and pair", units: pair, mend: pair_mend },
        part("state and quota", state_and_quota(message), "number of `remember`ed values"),
    ];
    Cost {
        side,
        message: message.name.clone(),
        parts: parts.into_iter().filter(|part| part.units > 0).collect(),
    }
}

fn decoding(
    direction: &Direction,
    message: &MessageRule,
    wire: &WireLimits,
    size: &str,
) -> (u64, String) {
    let bytes = wire.message as u64;
    let nodes = match &direction.decode {
        DecodeRule::Bytes { .. } => return (4, format!("a smaller {size}")),
        DecodeRule::Text { .. } => message.fields.len() as u64,
        DecodeRule::Modbus(_) => super::codec::modbus::LIST as u64,
        DecodeRule::Resp(_) => match &direction.frame {
            FrameRule::Resp(rule) => rule.values() as u64,
            _ => bytes,
        },
        // No decoder gives more values than it has bytes.
        _ => bytes.min(wire.nodes as u64),
    };
    let mend = if nodes.saturating_mul(4) > bytes / 4 { "`limits.nodes`" } else { size };
    ((bytes / 4).saturating_add(nodes.saturating_mul(4)), format!("a smaller {mend}"))
}

/// The direction's text rule over all that came, and those of fields over what they may hold. One
/// that asks of which script each character is goes through a text twice.
fn text(direction: &Direction, message: &MessageRule, wire: &WireLimits) -> u64 {
    if matches!(direction.decode, DecodeRule::Bytes { .. }) {
        return 0;
    }
    let own = message.fields.iter().filter(|(.., rule)| rule.text.is_some());
    let own = own.fold(0_u64, |sum, (.., field)| {
        let times = field.text.as_ref().map_or(1, passes);
        sum.saturating_add(most_bytes(field, wire).saturating_mul(times))
    });
    (wire.message as u64).saturating_mul(passes(&direction.text)).saturating_add(own)
}

fn passes(rule: &TextRule) -> u64 {
    1 + u64::from(rule.asks_for_scripts())
}

/// The grammars that are tried: the direction's, or those of all its messages if no tag tells them
/// apart.
fn grammars(direction: &Direction, message: &MessageRule, bytes: u64) -> u64 {
    let common = direction.grammar.iter();
    let own = direction
        .messages
        .iter()
        .filter(|other| direction.tag.is_none() || other.name == message.name);
    let own = own.filter_map(|other| other.grammar.as_ref());
    common.chain(own).fold(0, |sum, pattern| sum.saturating_add(pattern.units(bytes)))
}

fn fields(message: &MessageRule, wire: &WireLimits) -> (u64, String) {
    let mut sum: u64 = 0;
    let mut dearest = (0, String::new());
    for (_, place, rule) in &message.fields {
        let units = field(rule, wire);
        sum = sum.saturating_add(units);
        if units > dearest.0 {
            dearest = (units, format!("a smaller `len` or `bytes` of the field `{place}`"));
        }
    }
    (sum, dearest.1)
}

fn field(rule: &FieldRule, wire: &WireLimits) -> u64 {
    let bytes = most_bytes(rule, wire);
    let own = rule.regex.as_ref().map_or(1, |pattern| pattern.units(bytes));
    let elements = rule.len.map_or(wire.nodes, |(_, most)| most.min(wire.nodes)) as u64;
    let each = rule.each.as_ref().map_or(0, |each| field(each, wire).saturating_mul(elements));
    own.saturating_add(each)
}

/// Most bytes of a field's text.
fn most_bytes(rule: &FieldRule, wire: &WireLimits) -> u64 {
    let own = rule.bytes.or_else(|| rule.len.map(|(least, most)| (least, most.saturating_mul(4))));
    let most = own.map_or(wire.string, |(_, most)| most);
    most.min(wire.string).min(wire.message) as u64
}

fn pairing_and_resource(
    message: &MessageRule,
    limits: &ContractLimits,
    pairing: &Pairing,
) -> (u64, String) {
    let pair = if matches!(pairing, Pairing::Key(_)) { 64 } else { 0 };
    let template = message.asking().and_then(|asking| asking.resource.as_ref());
    let many = template.is_some_and(|template| template.pointers().any(|(_, list)| list));
    let resources = match template {
        None => 0,
        Some(_) if many => limits.resources as u64,
        Some(_) => 1,
    };
    (pair + resources.saturating_mul(64), "a smaller `limits.resources`".to_owned())
}

/// One look-up for the state, one for the count, and one for each value that is kept.
fn state_and_quota(message: &MessageRule) -> u64 {
    let quota = message.request().is_some_and(|request| request.quota.is_some());
    let looks = usize::from(message.state.is_some()) + usize::from(quota) + message.remember.len();
    64 * looks as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Finding;

    fn load(limits: &str, client: &str) -> Result<std::sync::Arc<Contract>, Vec<Finding>> {
        let text = format!(
            "contract = \"c/1\"\n[limits]\n{limits}\n[client]\nframe = {{ kind = \"lines\" }}\n\
             {client}\n[server]\nframe = {{ kind = \"lines\" }}\ndecode = {{ kind = \"bytes\" }}\n\
             [[server.message]]\nname = \"any\"\nanswers = [\"ask\"]\n"
        );
        Contract::read("c.toml", &text, &|_| Err("no file".to_owned()))
            .map(|(contract, _)| contract)
    }

    fn json(schema: &str) -> String {
        format!(
            "decode = {{ kind = \"json\" }}\n[[client.message]]\nname = \"ask\"\naction = \"ask\"\n\
             schema = '''{schema}'''"
        )
    }

    fn text(grammar: &str, more: &str) -> String {
        format!(
            "decode = {{ kind = \"text\", charset = \"ascii\" }}\n[[client.message]]\nname = \"ask\"\n\
             action = \"ask\"\ngrammar = '(?P<n>{grammar})'\nfields.n = {{ {more} }}"
        )
    }

    fn refused(limits: &str, client: &str) -> Finding {
        let findings = load(limits, client).expect_err("over the budget");
        assert_eq!(findings.iter().filter(|f| f.is_error()).count(), 1, "{findings:?}");
        let finding = findings.into_iter().find(Finding::is_error).unwrap();
        assert_eq!(finding.check, Some("K-95"), "{finding}");
        finding
    }

    #[test]
    fn each_step_has_its_share() {
        let contract = load("message = 1600", &text("[a-z]{1,8}", "len = [1, 8]")).unwrap();
        let costs = contract.costs();
        let ask = costs.first().unwrap();
        let units = |name| ask.parts.iter().find(|part| part.name == name).map_or(0, |p| p.units);
        assert_eq!((units("frame"), units("decode"), units("text")), (100, 404, 1600));
        assert!(units("grammar") > 100, "{ask:?}");
        assert_eq!((units("schema"), units("rules")), (0, 0));
        assert_eq!(ask.units(), ask.parts.iter().map(|part| part.units).sum::<u64>());
        assert_eq!(costs.get(1).map(|cost| cost.message.as_str()), Some("any"));
    }

    // TRAP-12
    #[test]
    fn scripts_states_and_quotas_are_counted() {
        let units = |more: &str, direction: &str| {
            let own = if direction == "own" { ", text = { scripts = [\"Latin\"] }" } else { "" };
            let direction = direction.trim_start_matches("own");
            let asks = text("[a-z]{1,8}", &format!("len = [1, 8]{own}"));
            let client = format!("{direction}\n{asks}\n{more}");
            let contract = load("message = 1600", &client).unwrap();
            let costs = contract.costs();
            let parts = costs.first().unwrap().parts.clone();
            ["text", "state and quota"]
                .map(|name| parts.iter().find(|part| part.name == name).map_or(0, |p| p.units))
        };
        assert_eq!(units("", ""), [1600, 0]);
        assert_eq!(units("", "text = { scripts = [\"Latin\", \"Common\"] }"), [3200, 0]);
        assert_eq!(units("", "text = { confusables = \"single-script\" }"), [3200, 0]);
        let own = units("", "own");
        assert_eq!(own, [1600 + 2 * 32, 0]);
        let quota = "quota = { per = \"identity\", count = true, max = 3, window = \"1h\" }";
        assert_eq!(units(quota, ""), [1600, 64]);
        let all = format!(
            "{quota}\nstate = {{ from = [\"new\"] }}\nremember = {{ a = \"n\", b = \"n\" }}"
        );
        assert_eq!(units(&all, ""), [1600, 256]);
    }

    // TRAP-12, K-95: nested quantifiers over large texts
    #[test]
    fn a_pattern_that_is_too_dear_for_its_text_is_refused() {
        assert!(load("message = \"64KiB\"", &text("(a*)*b", "len = [0, 9]")).is_ok());
        let finding = refused("message = \"8MiB\"", &text("([a-z]{1,9}x){1,9}", "len = [0, 9]"));
        assert_eq!(finding.line, 7, "{finding}");
        assert!(finding.message.starts_with("message `ask` may cost "), "{finding}");
        let hint = finding.hint.unwrap();
        assert!(hint.contains("grammar") && hint.contains("`limits.message`"), "{hint}");
    }

    // TRAP-12, K-95: a schema with alternatives at each level, over lists without a bound
    #[test]
    fn a_schema_that_multiplies_is_refused_with_the_list_that_does_it() {
        let leaf = r#"{ "type": "integer", "minimum": 0, "maximum": 9 }"#;
        let wide = |below: &str| {
            let one = format!(r#"{{ "type": "array", "items": {below} }}"#);
            format!(r#"{{ "anyOf": [{one}, {one}, {one}, {one}, {one}] }}"#)
        };
        let schema = |below: &str| {
            format!(
                r#"{{ "type": "object", "additionalProperties": false, "required": ["l"], "properties": {{ "l": {below} }} }}"#
            )
        };
        let deep = schema(&wide(&wide(&wide(leaf))));
        let finding = refused("", &json(&deep));
        let hint = finding.hint.unwrap();
        assert!(
            hint.contains("schema") && hint.contains("`maxItems` at `/properties/l/"),
            "{hint}"
        );
        let bounded = deep.replace("\"items\"", "\"maxItems\": 4, \"items\"");
        assert!(load("", &json(&bounded)).is_ok());
    }

    // TRAP-12, K-95: a comprehension over the largest list
    #[test]
    fn a_rule_that_multiplies_is_refused() {
        let schema = r#"{ "type": "object", "additionalProperties": false, "required": ["l"], "properties": { "l": { "type": "array", "items": { "type": "string", "maxLength": 8 } } } }"#;
        let rule = |text: &str| format!("{}\nrules = [\"{text}\"]", json(schema));
        let once = rule("this.l.all(x, x.contains('a'))");
        assert!(load("", &once).is_ok());
        let twice = rule("this.l.all(x, this.l.exists_one(y, x == y))");
        let hint = refused("", &twice).hint.unwrap();
        assert!(hint.contains("rules") && hint.contains("`maxItems`"), "{hint}");
        assert!(load("nodes = 500", &twice).is_ok());
    }
}
