//! A contract as tables for its reviewer, in Markdown.

use super::{Contract, Pairing, Role, Side, units};
use std::fmt::Write;

impl Contract {
    /// What may be said, by whom, asking for what, in Markdown.
    #[must_use]
    pub fn document(&self) -> String {
        let mut text = format!("# {}\n\n", self.name);
        if !self.title.is_empty() {
            let _ = writeln!(text, "{}\n", self.title);
        }
        for side in [Side::Client, Side::Server] {
            self.side(side, &mut text);
        }
        self.answers(&mut text);
        let limits = &self.limits;
        let _ = writeln!(
            text,
            "## Limits\n\n| limit | value |\n|---|---|\n| message of the client | {} bytes |\n\
             | message of the server | {} bytes |\n| requests in flight | {} |\n| reply within | {} |\n\
             | refusals in one connection | {} |",
            limits.wire.message,
            limits.server_message,
            limits.in_flight,
            units::shown(limits.reply_timeout),
            limits.refusals
        );
        text
    }

    fn side(&self, side: Side, text: &mut String) {
        let who = side.as_str();
        let _ = writeln!(
            text,
            "## What the {who} may say\n\n| message | when | fields | {} |\n|---|---|---|---|",
            if side == Side::Client { "action and resource" } else { "answers" }
        );
        for message in &self.direction(side).messages {
            let mut when: Vec<String> = Vec::new();
            let tag =
                self.direction(side).tag.as_ref().map(ToString::to_string).unwrap_or_default();
            if !message.matches.is_empty() {
                let values: Vec<String> = message.matches.iter().map(super::Value::shown).collect();
                when.push(format!("`{tag}` is {}", values.join(" or ")));
            }
            when.extend(message.has.iter().map(|at| format!("has `{at}`")));
            when.extend(message.lacks.iter().map(|at| format!("lacks `{at}`")));
            when.extend(
                message
                    .grammar
                    .iter()
                    .map(|g| format!("matches `{}`", g.source().replace('|', "\\|"))),
            );
            let mut fields: Vec<String> =
                message.fields.iter().map(|(_, place, rule)| field(place, rule)).collect();
            if message.schema.is_some() {
                fields.push("as its schema says".to_owned());
            }
            let last = match &message.role {
                Role::Request(request) => {
                    let resource =
                        request.resource.as_ref().map(|r| format!(" on `{}`", r.source()));
                    format!("`{}`{}", request.action, resource.unwrap_or_default())
                }
                Role::Reply(names) => {
                    names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
                }
                Role::Push => "nothing: said unasked".to_owned(),
            };
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {last} |",
                message.name,
                when.join(", "),
                fields.join("<br>")
            );
        }
        text.push('\n');
    }

    fn answers(&self, text: &mut String) {
        let paired = match &self.pairing {
            Pairing::Order => "Replies come in the order of the requests.".to_owned(),
            Pairing::Key(key) => format!("A reply has the `{key}` of its request."),
            Pairing::None => "There are no replies.".to_owned(),
        };
        let _ = writeln!(
            text,
            "## Replies and refusals\n\n{paired}\n\n| fault | what follows |\n|---|---|"
        );
        for (class, reject) in &self.rejects {
            let answer = if reject.reply.is_some() { "the contract's answer, then " } else { "" };
            let then = super::reject::Then::NAMES.iter().find(|(_, then)| *then == reject.then);
            let then = then.map_or("close", |(name, _)| name);
            let _ = writeln!(text, "| {class} | {answer}{then} |");
        }
        text.push_str("| all others | close |\n\n");
    }
}

fn field(place: &str, rule: &super::field::FieldRule) -> String {
    let mut says: Vec<String> = Vec::new();
    says.extend(rule.int.map(|(lo, hi)| format!("{lo} to {hi}")));
    says.extend(rule.one_of.iter().map(|all| {
        format!("one of {}", all.iter().map(super::Value::shown).collect::<Vec<_>>().join(", "))
    }));
    says.extend(rule.constant.iter().map(|value| format!("always {}", value.shown())));
    says.extend(rule.len.map(|(lo, hi)| format!("{lo} to {hi} long")));
    says.extend(rule.bytes.map(|(lo, hi)| format!("{lo} to {hi} bytes")));
    says.extend(rule.regex.iter().map(|p| format!("matches `{}`", p.source().replace('|', "\\|"))));
    if rule.optional {
        says.push("may be absent".to_owned());
    }
    if rule.secret {
        says.push("secret".to_owned());
    }
    format!("`{place}` {}", says.join(", "))
}
