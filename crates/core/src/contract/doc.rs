//! A contract as tables for its reviewer, in Markdown: what may be said, how much of it, what it
//! asks for, and what whoever breaks it hears. The contract is the documentation (P12).

mod schema;

use super::codec::Codec;
use super::field::FieldRule;
use super::frame::{AtEof, FrameRule};
use super::limit::{Bucket, Per, Rate};
use super::quota::{Amount, Quota};
use super::reject::{AckVerdict, Form, Reject, Reply, Then};
use super::state::StateRule;
use super::{
    Asking, Contract, DecodeRule, Direction, MessageRule, Pairing, Pointer, Role, Side, Value,
    units,
};
use crate::policy::schema::cedar_type;
use crate::rejection::Class;
use std::fmt::Write;

impl Contract {
    /// What may be said, by whom, asking for what, in Markdown.
    #[must_use]
    pub fn document(&self) -> String {
        let mut text = format!("# {}\n\n", self.name);
        if !self.title.is_empty() {
            let _ = writeln!(text, "{}\n", self.title);
        }
        if self.shadow {
            text.push_str(
                "*Shadow, not enforced*: what is not listed here is recorded, and passes.\n\n",
            );
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
        let _ = writeln!(text, "## What the {who} may say\n\n{}\n", read_as(direction));
        if let (Some(Codec::Hl7(hl7)), Side::Client) = (&self.codec, side) {
            let _ = writeln!(text, "{}\n", hl7.told());
        }
        if direction.frame.uninspected().is_some() {
            return;
        }
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
                fields(direction, message),
                asks_for(message)
            );
        }
        let hazards = direction.messages.iter().filter_map(|m| Some((m, m.hazard.as_ref()?)));
        for (message, why) in hazards {
            let _ = writeln!(text, "\n**Hazard in `{}`**: {why}", message.name);
        }
        let _ = writeln!(text, "\nAnything else is refused.\n");
    }

    /// By what a message is known, and when it may come.
    fn when(&self, side: Side, message: &MessageRule) -> String {
        let direction = self.direction(side);
        let mut when: Vec<String> = Vec::new();
        let tag = direction.tag.as_ref().map(ToString::to_string).unwrap_or_default();
        if !message.matches.is_empty() {
            let values: Vec<String> = message.matches.iter().map(Value::shown).collect();
            when.push(format!("`{tag}` is {}", values.join(" or ")));
        }
        for (at, values) in &message.wheres {
            let values: Vec<String> = values.iter().map(Value::shown).collect();
            when.push(format!("`{at}` is {}", values.join(" or ")));
        }
        when.extend(message.has.iter().map(|at| format!("has `{at}`")));
        when.extend(message.lacks.iter().map(|at| format!("lacks `{at}`")));
        let grammar = message.grammar.iter().chain(&direction.grammar);
        when.extend(grammar.map(|g| format!("matches `{}`", cell(g.source()))));
        when.extend(message.state.as_ref().map(|state| self.in_state(state)));
        when.join(", ")
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
            Pairing::Key(key) => format!("A reply has the `{key}` of its request."),
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

/// How the bytes of a direction become messages.
fn read_as(direction: &Direction) -> String {
    if let Some(reason) = direction.frame.uninspected() {
        return format!("**Not inspected**, whatever is said: {reason}.");
    }
    let frame = match &direction.frame {
        FrameRule::Lines(lines) => {
            let end = match (lines.lf, lines.crlf) {
                (true, true) => "LF or CR LF",
                (false, true) => "CR LF",
                _ => "LF",
            };
            let last =
                if lines.at_eof == AtEof::Accept { "; the last may have no end" } else { "" };
            let empty = if lines.skip_empty { "; empty ones are dropped" } else { "" };
            format!("Lines that end with {end}{last}{empty}")
        }
        FrameRule::Delimiter(_) => "Frames that end with fixed bytes".to_owned(),
        FrameRule::Length(_) => "Frames that say their length ahead".to_owned(),
        FrameRule::Mbap => "Frames of Modbus/TCP".to_owned(),
        FrameRule::Netstring => "Netstrings".to_owned(),
        FrameRule::Fixed(_) => "Frames of one size".to_owned(),
        FrameRule::Eof => "The whole stream, if its end is clean".to_owned(),
        FrameRule::Headers(_) => "Headers, an empty line, then so many bytes".to_owned(),
        FrameRule::OctetCount(_) => "Frames with their length in digits ahead".to_owned(),
        FrameRule::Switch(_) => "Frames of several kinds, told apart by one field".to_owned(),
        FrameRule::Mllp => "Blocks of MLLP".to_owned(),
        FrameRule::Resp(_) => "Commands and replies of RESP".to_owned(),
        FrameRule::Raw(_) => "No frames".to_owned(),
    };
    let payload = match &direction.decode {
        DecodeRule::Bytes { .. } => "bytes that are **not inspected**",
        DecodeRule::Text { .. } => "text",
        DecodeRule::Json(_) => "one JSON value, read strictly",
        DecodeRule::Struct(_) => "binary items",
        DecodeRule::Columns(_) => "fixed columns",
        DecodeRule::Words(_) => "a verb and its arguments",
        DecodeRule::Delimited(_) => "fields between separators",
        DecodeRule::Pairs(_) => "keys and their values",
        DecodeRule::Modbus(_) => "one Modbus message",
        DecodeRule::Hl7(_) => "one HL7 message",
        DecodeRule::Resp(_) => "one command or one reply",
    };
    let canonical = if direction.canonical { ", sent on in one spelling" } else { "" };
    format!("{frame}; each holds {payload}{canonical}.")
}

fn fields(direction: &Direction, message: &MessageRule) -> String {
    let mut fields: Vec<String> = message
        .fields
        .iter()
        .map(|(_, place, rule)| format!("`{place}` {}", field(rule)))
        .collect();
    let (decode, layout) = (&direction.decode, message.layout.as_ref());
    for name in decode.implied(layout) {
        let at = Pointer::name(name);
        let ruled = message.fields.iter().any(|(known, ..)| *known == at);
        let kind = decode.field_type(layout, &at).filter(|_| !ruled);
        fields.extend(kind.map(|kind| format!("`{at}` {}", kind.told())));
    }
    if let Some(schema) = &message.schema {
        fields.extend(schema::lines(schema.source()));
    }
    fields.extend(message.rules.iter().map(|rule| format!("`{}`", cell(rule.text()))));
    if let Some(segments) = &message.segments {
        fields.insert(0, format!("segments `{}`", segments.told()));
        fields.push("all segments but `MSH` are secrets".to_owned());
    } else {
        fields.extend(message.secrets.iter().map(|at| format!("`{at}` is a secret")));
    }
    if fields.is_empty() && matches!(decode, DecodeRule::Modbus(_)) {
        return "as its request asked".to_owned();
    }
    fields.join("<br>")
}

/// What a field may hold.
pub(crate) fn field(rule: &FieldRule) -> String {
    let mut says: Vec<String> = Vec::new();
    says.extend(rule.int.map(|(lo, hi)| format!("{lo} to {hi}")));
    says.extend(rule.one_of.iter().map(|all| {
        format!("one of {}", all.iter().map(Value::shown).collect::<Vec<_>>().join(", "))
    }));
    says.extend(rule.constant.iter().map(|value| format!("always {}", value.shown())));
    says.extend(rule.len.map(|(lo, hi)| format!("{lo} to {hi} long")));
    says.extend(rule.bytes.map(|(lo, hi)| format!("{lo} to {hi} bytes")));
    says.extend(rule.regex.iter().map(|p| format!("matches `{}`", cell(p.source()))));
    says.extend(rule.form.iter().map(super::field::Form::told));
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
            let asked = asked.unwrap_or_else(|| "nothing: it opens the exchange".to_owned());
            let silent = if request.expects { "" } else { "; no reply" };
            let many = if request.many { "; many replies" } else { "" };
            let quota = request.quota.as_ref().map(|quota| format!("; {}", allowed(quota)));
            format!("{asked}{silent}{many}{}", quota.unwrap_or_default())
        }
        Role::Reply(names) => names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", "),
        Role::Push(None) => "nothing: said unasked".to_owned(),
        Role::Push(Some(asking)) => format!("nothing: said unasked, to who may {}", asked(asking)),
        Role::Ask => "nothing: it asks the client".to_owned(),
    }
}

/// An action, and on what.
fn asked(asking: &Asking) -> String {
    let resource = asking.resource.as_ref().map(|r| format!(" on `{}`", r.source()));
    format!("`{}`{}", asking.action, resource.unwrap_or_default())
}

fn refusal(fault: &str, reject: &Reject, text: &mut String) {
    let hears = match &reject.reply {
        None => "nothing".to_owned(),
        Some(Reply::Template(reply)) => format!("`{}`", cell(&reply.shown())),
        Some(Reply::Codec(Form::Exception(code))) => format!("exception {code}"),
        Some(Reply::Codec(Form::Code(None))) => "error, by what was wrong".to_owned(),
        Some(Reply::Codec(Form::Code(Some(code)))) => format!("error {code}"),
        Some(Reply::Codec(Form::Ack(AckVerdict::Reject))) => "acknowledgement `AR`".to_owned(),
        Some(Reply::Codec(Form::Ack(AckVerdict::Error))) => "acknowledgement `AE`".to_owned(),
        Some(Reply::Codec(Form::Error(error))) => format!("error `{}`", cell(error)),
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

/// A text within a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
