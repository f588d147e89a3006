//! A contract as tables for its reviewer, in Markdown: what may be said, how much of it, what it
//! asks for, and what whoever breaks it hears. The contract is the documentation (P12).

mod reading;
mod schema;

use super::codec::Codec;
use super::decode::FieldType;
use super::field::FieldRule;
use super::limit::{Bucket, Per, Rate};
use super::quota::{Amount, Quota};
use super::reject::{AckVerdict, Form, Reject, Reply, Then};
use super::state::StateRule;
use super::{
    Asking, Contract, DecodeRule, Direction, MessageRule, Pairing, Pointer, Reuse, Role, Side,
    Value, units,
};
use crate::audit::is_harmful;
use crate::policy::schema::cedar_type;
use crate::rejection::Class;
use std::fmt::Write;

impl Contract {
    /// What may be said, by whom, asking for what, in Markdown.
    #[must_use]
    pub fn document(&self) -> String {
        let mut text = format!("# {}\n\n", self.name);
        if !self.title.is_empty() {
            let _ = writeln!(text, "{}\n", plain(&self.title));
        }
        let of = if self.source.len() > 1 { "its file and its schema files" } else { "its file" };
        let _ = writeln!(text, "SHA-256 of {of}: `{}`\n", self.hash());
        if self.shadow {
            text.push_str(
                "*Shadow, not enforced*: what is not listed here is recorded, and passes.\n\n",
            );
        }
        if !self.states.names.is_empty() {
            let begins = self.states.name(self.states.initial);
            let _ = writeln!(text, "A connection begins in the state `{begins}`.\n");
        }
        for side in [Side::Client, Side::Server] {
            self.side(side, &mut text);
        }
        self.actions_table(&mut text);
        self.answers(&mut text);
        self.limits_table(&mut text);
        text
    }

    fn side(&self, side: Side, text: &mut String) {
        let who = side.as_str();
        let direction = self.direction(side);
        let _ = writeln!(text, "## What the {who} may say\n\n{}\n", reading::told(direction));
        if let (Some(Codec::Hl7(hl7)), Side::Client) = (&self.codec, side) {
            let _ = writeln!(text, "{}\n", hl7.told());
        }
        if direction.frame.uninspected().is_some() {
            return;
        }
        text.push_str(&reading::layout(direction));
        let _ = writeln!(
            text,
            "| message | when | fields | {} |\n|---|---|---|---|",
            if side == Side::Client { "action and resource" } else { "answers" }
        );
        for message in &direction.messages {
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {} |",
                message.name,
                self.when(side, message),
                self.fields(side, message),
                asks_for(message)
            );
        }
        let hazards = direction.messages.iter().filter_map(|m| Some((m, m.hazard.as_ref()?)));
        for (message, why) in hazards {
            let _ = writeln!(text, "\n**Hazard in `{}`**: {}", message.name, plain(why));
        }
        let _ = writeln!(text, "\nAnything else is refused.\n");
    }

    /// What its fields hold; never nothing, which a reader may take for anything.
    fn fields(&self, side: Side, message: &MessageRule) -> String {
        let direction = self.direction(side);
        let envelope = match &self.codec {
            Some(Codec::JsonRpc(codec)) => Some(codec.envelope),
            _ => None,
        };
        let (decode, layout) = (&direction.decode, message.layout.as_ref());
        let rules = message.fields.iter().map(|(at, place, rule)| {
            if rule.has_type() {
                return format!("{} {}", code(place), field(rule));
            }
            let told = envelope.and_then(|envelope| envelope.told(at.top()?));
            let kind = || decode.field_type(layout, at).filter(|kind| *kind != FieldType::Bytes);
            let told = told.or_else(|| kind().map(|kind| kind.told())).unwrap_or_else(|| {
                let text = matches!(decode, DecodeRule::Text { .. });
                if text { "as its pattern says" } else { "any value, **not inspected**" }.to_owned()
            });
            let says = field(rule);
            let comma = if says.is_empty() { "" } else { ", " };
            format!("{} {told}{comma}{says}", code(place))
        });
        let mut fields: Vec<String> = rules.collect();
        for name in decode.implied(layout) {
            let at = Pointer::name(name);
            // What the tag is stands beside it, under `when`.
            let tag = direction.tag.as_ref() == Some(&at) && !message.matches.is_empty();
            let ruled = tag || message.fields.iter().any(|(known, ..)| *known == at);
            let kind = decode.field_type(layout, &at).filter(|_| !ruled);
            fields.extend(kind.map(|kind| {
                let told = column(direction, name).unwrap_or_else(|| match kind {
                    FieldType::Bytes => "any bytes, **not inspected**".to_owned(),
                    kind => kind.told(),
                });
                format!("`{at}` {told}")
            }));
        }
        if let Some(schema) = &message.schema {
            fields.extend(schema::lines(schema.source()));
        }
        fields.extend(message.rules.iter().map(|rule| code(rule.text())));
        if let Some(segments) = &message.segments {
            fields.insert(0, format!("segments `{}`", segments.told()));
            fields.push("all segments but `MSH` are secrets".to_owned());
        } else {
            let ruled = |at: &Pointer| message.fields.iter().any(|(of, _, r)| of == at && r.secret);
            let beside = message.secrets.iter().filter(|at| !ruled(at));
            fields.extend(beside.map(|at| format!("{} is a secret", code(&at.to_string()))));
        }
        fields.extend(beside(decode, message));
        if fields.is_empty() { "nothing else".to_owned() } else { fields.join("<br>") }
    }

    /// By what a message is known, and when it may come.
    fn when(&self, side: Side, message: &MessageRule) -> String {
        let direction = self.direction(side);
        let mut when: Vec<String> = Vec::new();
        let tag = direction.tag.as_ref().map(ToString::to_string).unwrap_or_default();
        if !message.matches.is_empty() {
            let values: Vec<String> = message.matches.iter().map(value).collect();
            when.push(format!("{} is {}", code(&tag), values.join(" or ")));
        }
        for (at, values) in &message.wheres {
            let values: Vec<String> = values.iter().map(value).collect();
            when.push(format!("{} is {}", code(&at.to_string()), values.join(" or ")));
        }
        when.extend(message.has.iter().map(|at| format!("has {}", code(&at.to_string()))));
        when.extend(message.lacks.iter().map(|at| format!("lacks {}", code(&at.to_string()))));
        let grammar = message.grammar.iter().chain(&direction.grammar);
        when.extend(grammar.map(|g| format!("matches {}", code(g.source()))));
        when.extend(message.state.as_ref().map(|state| self.in_state(state)));
        if when.is_empty() { "every message".to_owned() } else { when.join(", ") }
    }

    fn in_state(&self, state: &StateRule) -> String {
        let names = state.from.iter().flatten().map(|at| format!("`{}`", self.states.name(*at)));
        let names: Vec<String> = names.collect();
        let from = if names.is_empty() {
            "in any state".to_owned()
        } else {
            format!("in {}", names.join(" or "))
        };
        match state.to {
            Some(to) => format!("{from}, which becomes `{}`", self.states.name(to)),
            None => from,
        }
    }

    /// The actions that a policy is asked about, and what it sees of a message.
    fn actions_table(&self, text: &mut String) {
        text.push_str("## What a policy decides\n\n");
        if let Some(role) = &self.role {
            let _ = writeln!(text, "{}\n", role.told());
            let without = if role.refuses() {
                "may not connect"
            } else {
                "may connect, and is judged without"
            };
            let _ = writeln!(text, "Who has none {without}.\n");
        }
        text.push_str("| action | of messages | it sees |\n|---|---|---|\n");
        for action in self.actions() {
            let of = self.messages().filter(|m| m.action() == Some(&action.name));
            let of: Vec<String> = of.map(|message| format!("`{}`", message.name)).collect();
            let sees = action.context.iter().map(|shown| {
                let optional = if shown.optional { " (not always)" } else { "" };
                format!("`{}`{optional}", shown.name)
            });
            let sees: Vec<String> = sees.collect();
            let sees = if sees.is_empty() { "nothing of it".to_owned() } else { sees.join(", ") };
            let _ = writeln!(text, "| `{}` | {} | {sees} |", action.name, of.join(", "));
        }
        text.push('\n');
        self.remembered_table(text);
    }

    /// What a policy sees of earlier messages, and which ones leave it.
    fn remembered_table(&self, text: &mut String) {
        let remembered = self.remembered();
        if remembered.is_empty() {
            return;
        }
        text.push_str("Of earlier messages it sees, where they came:\n\n| `context.session` | type | left by |\n|---|---|---|\n");
        for attribute in remembered {
            let leaves = |m: &&MessageRule| m.remember.iter().any(|of| of.name == attribute.name);
            let by = self.messages().filter(leaves).map(|message| format!("`{}`", message.name));
            let by: Vec<String> = by.collect();
            let kind = cedar_type(&attribute.kind);
            let _ = writeln!(text, "| `{}` | {kind} | {} |", attribute.name, by.join(", "));
        }
        text.push('\n');
    }

    fn answers(&self, text: &mut String) {
        let paired = match &self.pairing {
            _ if self.server.frame.uninspected().is_some() => {
                "Replies are not told from anything else that the server says.".to_owned()
            }
            Pairing::Order => "Replies come in the order of the requests.".to_owned(),
            Pairing::Key(key) => {
                let again = match self.reuse {
                    Reuse::AfterReply => "may come again once its reply has come",
                    Reuse::Recent => "may come again once 1,024 others came after it",
                    Reuse::Increasing => {
                        "is an integer, larger than that of every request before it"
                    }
                };
                format!("A reply has the `{key}` of its request, which {again}.")
            }
            Pairing::None => "There are no replies.".to_owned(),
        };
        let _ = writeln!(
            text,
            "## Replies and refusals\n\n{paired}\n\n| fault | the peer hears | then | at most |\n|---|---|---|---|"
        );
        for (class, reject) in &self.rejects {
            refusal(&class.to_string(), reject, text);
        }
        for message in &self.client.messages {
            for (class, reject) in message.request().into_iter().flat_map(|r| &r.rejects) {
                refusal(&format!("{class} of `{}`", message.name), reject, text);
            }
        }
        if !self.rejects.iter().any(|(class, _)| *class == Class::Server) {
            refusal(&Class::Server.to_string(), &Reject::SERVER, text);
        }
        text.push_str("| all others | nothing | close | |\n\n");
        for (name, value) in &self.reply_values {
            let _ = writeln!(
                text,
                "`${{{name}}}` is `{}` of what is refused if that holds: {}; else `{}`.\n",
                value.at,
                field(&value.rule),
                crate::audit::shown(&value.or)
            );
        }
    }

    fn limits_table(&self, text: &mut String) {
        let limits = &self.limits;
        let wire = &limits.wire;
        let mut rows = vec![
            ("message of the client", format!("{} bytes", wire.message)),
            ("message of the server", format!("{} bytes", limits.server_message)),
        ];
        let sides = [&self.client, &self.server].into_iter();
        let mut inspected = sides.map(|direction| direction.frame.uninspected().is_none());
        rows.retain(|_| inspected.next().unwrap_or(true));
        let json = |direction: &Direction| matches!(direction.decode, DecodeRule::Json(_));
        if json(&self.client) || json(&self.server) {
            rows.push(("objects and lists within each other", wire.depth.to_string()));
            rows.push(("values and keys of one message", wire.nodes.to_string()));
        }
        if let Some(Codec::Resp(resp)) = &self.codec {
            rows.push(("words of a command", resp.args().to_string()));
            rows.push(("one string", format!("{} bytes", wire.string)));
            rows.push(("values within each other in a reply", wire.depth.to_string()));
            rows.push(("values of one reply", wire.nodes.to_string()));
        }
        rows.push(("requests in flight", limits.in_flight.to_string()));
        rows.push(("reply within", units::shown(limits.reply_timeout)));
        for (name, wait) in [
            ("first message within", limits.first_message_timeout),
            ("whole message within", limits.message_timeout),
            ("silence", limits.idle_timeout),
            ("connection", limits.session_lifetime),
        ] {
            rows.extend(wait.map(|wait| (name, units::shown(wait))));
        }
        rows.extend(limits.rate.iter().map(|rate| ("rate", rated(rate))));
        if limits.rate.is_empty() {
            rows.push(("rate", "**not limited**".to_owned()));
        }
        rows.push(("refusals in one connection", limits.refusals.to_string()));
        text.push_str("## Limits\n\n| limit | value |\n|---|---|\n");
        for (name, value) in rows {
            let _ = writeln!(text, "| {name} | {value} |");
        }
    }
}

/// The columns that a direction has, by which their values are told.
fn column(direction: &Direction, name: &str) -> Option<String> {
    let DecodeRule::Columns(columns) = &direction.decode else { return None };
    columns
        .told()
        .find(|(own, ..)| *own == name)
        .map(|(_, bytes, holds)| format!("{bytes} bytes: {holds}"))
}

/// What a message may hold beside the fields that its contract lists.
fn beside(decode: &DecodeRule, message: &MessageRule) -> Option<String> {
    let ruled = |name: &str| message.fields.iter().any(|(at, ..)| at.top() == Some(name));
    let open = |what: &str| Some(format!("{what}: any value, **not inspected**"));
    match decode {
        DecodeRule::Modbus(_) if message.fields.is_empty() => {
            Some("as its request asked".to_owned())
        }
        DecodeRule::Bytes { name } if !ruled(name) => open(&format!("`/{name}`")),
        DecodeRule::Resp(_) if matches!(message.role, Role::Request(_)) => {
            (!ruled("args")).then(|| open("arguments that no rule above names")).flatten()
        }
        DecodeRule::Resp(_) if matches!(message.role, Role::Push(_)) => {
            (!ruled("payload")).then(|| open("`/payload`")).flatten()
        }
        DecodeRule::Resp(_) => (!ruled("value")).then(|| open("`/value`")).flatten(),
        DecodeRule::Hl7(_) => open("fields of segments that no rule above names"),
        _ => None,
    }
}

/// What a field may hold.
pub(crate) fn field(rule: &FieldRule) -> String {
    let mut says: Vec<String> = Vec::new();
    says.extend(rule.int.map(|(lo, hi)| format!("{lo} to {hi}")));
    says.extend(
        rule.one_of
            .iter()
            .map(|all| format!("one of {}", all.iter().map(value).collect::<Vec<_>>().join(", "))),
    );
    says.extend(rule.constant.iter().map(|one| format!("always {}", value(one))));
    says.extend(rule.len.map(|(lo, hi)| format!("{lo} to {hi} long")));
    says.extend(rule.bytes.map(|(lo, hi)| format!("{lo} to {hi} bytes")));
    says.extend(rule.regex.iter().map(|p| format!("matches {}", code(p.source()))));
    says.extend(rule.form.iter().map(super::field::Form::told));
    says.extend(rule.text.iter().map(|text| format!("text ({})", text.told())));
    says.extend(rule.each.iter().map(|each| format!("each {}", field(each))));
    if rule.optional {
        says.push("may be absent".to_owned());
    }
    if rule.secret {
        says.push("secret".to_owned());
    }
    says.join(", ")
}

fn asks_for(message: &MessageRule) -> String {
    match &message.role {
        Role::Request(request) => {
            let asked = request.asking.as_ref().map(asked);
            let asked = asked.unwrap_or_else(|| "nothing: asks no policy".to_owned());
            let silent = if !request.answers.is_empty() {
                format!("; answers {}", quoted(&request.answers))
            } else if request.expects {
                String::new()
            } else {
                "; no reply".to_owned()
            };
            let many = if request.many { "; many replies" } else { "" };
            let quota = request.quota.as_ref().map(|quota| format!("; {}", allowed(quota)));
            format!("{asked}{silent}{many}{}", quota.unwrap_or_default())
        }
        Role::Reply(names) if message.last => format!("{}; the last reply", quoted(names)),
        Role::Reply(names) => quoted(names),
        Role::Push(None) => "nothing: said unasked".to_owned(),
        Role::Push(Some(asking)) => format!("nothing: said unasked, to who may {}", asked(asking)),
        Role::Ask => "nothing: it asks the client".to_owned(),
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// An action, and on what.
fn asked(asking: &Asking) -> String {
    let resource = asking.resource.as_ref().map(|r| format!(" on {}", code(r.source())));
    format!("`{}`{}", asking.action, resource.unwrap_or_default())
}

fn refusal(fault: &str, reject: &Reject, text: &mut String) {
    let hears = match &reject.reply {
        None => "nothing".to_owned(),
        Some(Reply::Template(reply)) => code(&reply.shown()),
        Some(Reply::Codec(Form::Exception(code))) => format!("exception {code}"),
        Some(Reply::Codec(Form::Code(None))) => "error, by what was wrong".to_owned(),
        Some(Reply::Codec(Form::Code(Some(code)))) => format!("error {code}"),
        Some(Reply::Codec(Form::Ack(AckVerdict::Reject))) => "acknowledgement `AR`".to_owned(),
        Some(Reply::Codec(Form::Ack(AckVerdict::Error))) => "acknowledgement `AE`".to_owned(),
        Some(Reply::Codec(Form::Error(error))) => format!("error {}", code(error)),
    };
    let then = Then::NAMES.iter().find(|(_, then)| *then == reject.then);
    let then = then.map_or("close", |(name, _)| name);
    let alarm = if reject.alert { ", and an alarm" } else { "" };
    let goes_on = matches!(reject.then, Then::Continue | Then::Drop);
    let most = match reject.max {
        _ if !goes_on => String::new(),
        u32::MAX => "any number of times".to_owned(),
        max => format!("{max} times"),
    };
    let _ = writeln!(text, "| {fault} | {hears} | {then}{alarm} | {most} |");
}

fn rated(rate: &Rate) -> String {
    let bucket = |what: &str, bucket: &Bucket| {
        format!(
            "{} {what} in {}, {} at once",
            bucket.amount,
            units::shown(bucket.period),
            bucket.burst
        )
    };
    let mut says: Vec<String> = Vec::new();
    says.extend(rate.messages.iter().map(|messages| bucket("messages", messages)));
    says.extend(rate.bytes.iter().map(|bytes| bucket("bytes", bytes)));
    let then = if rate.refuse { "more is refused" } else { "more waits" };
    format!("each {}: {}; {then}", holder(rate.per), says.join(", "))
}

fn allowed(quota: &Quota) -> String {
    let of = match &quota.amount {
        Amount::Count => "of them".to_owned(),
        Amount::Sum(at) => format!("of `{at}` in all"),
    };
    let (max, window, per) = (quota.max, units::shown(quota.window), holder(quota.per));
    let persist = if quota.persist { ", over restarts" } else { "" };
    format!("at most {max} {of} in {window} for each {per}{persist}")
}

fn holder(per: Per) -> &'static str {
    match per {
        Per::Connection => "connection",
        Per::Identity => "identity",
        Per::Service => "service",
    }
}

/// A value within a cell of a table.
fn value(value: &Value<'_>) -> String {
    cell(&value.shown())
}

/// A text within a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// A text as code within a cell of a table: on one line, and its own backticks do not end it.
fn code(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    // A blank on both sides is taken for padding.
    let padded = text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']);
    let pad = if padded { " " } else { "" };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' => shown.push_str("\\|"),
            c if c != '`' && is_harmful(c) => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    format!("{fence}{pad}{shown}{pad}{fence}")
}

/// A text of its author's as a text: on one line, and nothing in it is a mark of Markdown or HTML.
fn plain(text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !told.is_empty() {
            told.push(' ');
        }
        for c in word.chars() {
            match c {
                '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '&' | '#' | '|' | '~' | '$' => {
                    told.extend(['\\', c]);
                }
                c if is_harmful(c) => told.extend(c.escape_default()),
                c => told.push(c),
            }
        }
    }
    // What would begin a list, or underline what stands above.
    let digits = told.bytes().take_while(u8::is_ascii_digit).count();
    match told.as_bytes().get(digits) {
        Some(b'.' | b')') if digits > 0 => told.insert(digits, '\\'),
        Some(b'-' | b'+' | b'=') if digits == 0 => told.insert(0, '\\'),
        _ => {}
    }
    told
}

#[cfg(test)]
mod tests;
