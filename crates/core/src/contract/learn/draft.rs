//! A draft as a contract's file.

mod modbus;
mod toml;

use super::framing::Found;
use super::grouping::{Group, Groups, Tag, word};
use super::lines::{self, Lines};
use super::pairing::{self, By, Paired, Turn};
use super::reading::{self, Kind, Reading};
use super::shape::{Shape, is_secret, opens_secret, quoted};
use super::{Manner, Message};
use crate::contract::Side;
use crate::contract::value::Value;
use std::fmt::Write;
use toml::{aligned, comment, escaped, message, test, written};

/// Longest message that is shown as a vector, in bytes.
const SHOWN: usize = 512;

/// One message kind, ready to be written.
struct Entry {
    group: Group,
    /// Lines of its body, without name, action and answers.
    body: Vec<String>,
    /// Whether a member of it is a secret: then no message of it is shown.
    secret: bool,
}

/// The contract of what was found, as text.
pub(super) fn draft(name: &str, found: &Found, connections: usize, manner: Manner) -> String {
    let of = |side| -> Vec<&Message> {
        found.messages.iter().filter(|message| message.side == side).collect()
    };
    let (client, server) = (of(Side::Client), of(Side::Server));
    let mut text = String::new();
    let service = word(name).replace('_', "-");
    let _ = writeln!(
        text,
        "# Drafted from {} messages of the client and {} of the server, of {connections} connections. A number in a\n\
         # comment says how many samples a guess rests on. Read every line: what was never heard is refused.\n\
         contract = \"{service}/1\"\ntitle    = \"drafted from recorded traffic\"",
        client.len(),
        server.len(),
    );
    match found.frame {
        None => modbus::draft(&mut text, &client, &server, manner),
        Some(frame) => General { found, frame, client, server, manner }.write(&mut text),
    }
    text
}

/// A contract of frames and a decoder.
struct General<'f> {
    found: &'f Found,
    frame: &'static str,
    client: Vec<&'f Message>,
    server: Vec<&'f Message>,
    manner: Manner,
}

/// One direction: how it is read, and its kinds of message.
struct Spoken {
    reading: Reading,
    tag: Option<Tag>,
    groups: Vec<Group>,
    /// The group of each message.
    kinds: Vec<usize>,
    lines: Vec<Lines>,
}

impl Spoken {
    fn new(reading: Reading, tag: Option<Tag>, groups: Vec<Group>, lines: Vec<Lines>) -> Self {
        let mut kinds = vec![0; reading.trees.len()];
        for (number, group) in groups.iter().enumerate() {
            for at in &group.members {
                if let Some(kind) = kinds.get_mut(*at) {
                    *kind = number;
                }
            }
        }
        Self { reading, tag, groups, kinds, lines }
    }
}

impl General<'_> {
    fn write(&self, text: &mut String) {
        let client = spoken(&self.client, "request", self.manner);
        let server = spoken(&self.server, "reply", self.manner);
        let turns = self.turns(&client, &server);
        let paired = pairing::find(&turns, client.groups.len());
        match &paired.by {
            By::Key(key) => {
                let _ = writeln!(
                    text,
                    "pair     = {{ by = \"key\", key = {} }}  # repeated by {} replies",
                    quoted(&format!("/{}", escaped(key))),
                    paired.pairs
                );
            }
            By::Order => {
                let count = paired.pairs;
                let _ = writeln!(text, "pair     = {{ by = \"order\" }}  # fits {count} replies");
            }
            By::None => text.push_str(
                "pair     = { by = \"none\" }  # neither order nor a repeated value pairs what was said\n",
            ),
        }
        self.limits(text, &client, &server, &paired);
        let key = match &paired.by {
            By::Key(key) => Some(key.as_str()),
            _ => None,
        };
        let clients = entries(&client, key);
        let servers = entries(&server, key);
        self.direction(text, "client", &client, self.client.len());
        for (at, entry) in clients.iter().enumerate() {
            let silent = paired.silent.contains(&at);
            let expects = if silent { "\nexpects = \"none\"" } else { "" };
            let action = format!("action  = \"{}\"{expects}", entry.group.name);
            message(text, "client", entry, &action, self.client.len());
        }
        self.direction(text, "server", &server, self.server.len());
        if servers.is_empty() {
            // A direction has a message; nothing that is said fits this one.
            text.push_str(
                "\n# The server said nothing.\n[[server.message]]\nname    = \"nothing\"\npushes  = true\n",
            );
            text.push_str(match server.reading.kind {
                Kind::Text { .. } => {
                    "grammar = '(?P<nothing>[a-z]{1,1})'\nfields.nothing = { const = \"\" }\n"
                }
                Kind::Json => "fields.nothing = { const = \"\" }\n",
                Kind::Bytes => "fields.data = { bytes = [0, 0] }\n",
            });
        }
        for (at, entry) in servers.iter().enumerate() {
            let answers: Vec<String> = paired
                .answers
                .get(&at)
                .into_iter()
                .flatten()
                .filter_map(|kind| clients.get(*kind).map(|entry| quoted(&entry.group.name)))
                .collect();
            let role = match answers.as_slice() {
                [] => "pushes  = true".to_owned(),
                answers => format!("answers = [{}]", answers.join(", ")),
            };
            message(text, "server", entry, &role, self.server.len());
        }
        self.tests(text, (&clients, &client), &servers, &paired);
    }

    fn turns<'t>(&self, client: &'t Spoken, server: &'t Spoken) -> Vec<Turn<'t>> {
        let mut at = [0, 0];
        let mut turns = Vec::new();
        for message in &self.found.messages {
            let (spoken, next) = match message.side {
                Side::Client => (client, at.first_mut()),
                Side::Server => (server, at.last_mut()),
            };
            let Some(next) = next else { continue };
            let own = *next;
            *next += 1;
            let group = spoken.kinds.get(own).copied();
            let Some(tree) = spoken.reading.trees.get(own) else { continue };
            turns.push(Turn {
                conversation: message.conversation,
                side: message.side,
                at: own,
                group: group.unwrap_or_default(),
                tree,
            });
        }
        turns
    }

    fn limits(&self, text: &mut String, client: &Spoken, server: &Spoken, paired: &Paired) {
        let largest =
            |messages: &[&Message]| messages.iter().map(|m| m.frame.len()).max().unwrap_or(0);
        let room = |size: usize| (size * 2).next_power_of_two().clamp(256, 1 << 20);
        let (ours, theirs) = (largest(&self.client), largest(&self.server));
        let _ = writeln!(
            text,
            "\n[limits]\nmessage        = {}  # the largest of the client has {ours} bytes\n\
             server_message = {}  # the largest of the server has {theirs} bytes",
            room(ours),
            room(theirs),
        );
        if paired.by != By::None {
            let room = (paired.open * 2).next_power_of_two().clamp(4, 1024);
            let _ = writeln!(text, "in_flight      = {room}  # at most {} were open", paired.open);
        }
        if client.reading.kind == Kind::Json || server.reading.kind == Kind::Json {
            let trees = || client.reading.trees.iter().chain(&server.reading.trees);
            let deepest = trees().map(depth).max().unwrap_or(1);
            let nodes = trees().map(nodes).max().unwrap_or(1);
            let _ = writeln!(
                text,
                "depth          = {}  # at most {deepest} objects and lists within each other\n\
                 nodes          = {}  # at most {nodes} values and keys in one message",
                (deepest + 1).min(64),
                (nodes * 2).next_power_of_two().max(32),
            );
        }
    }

    fn direction(&self, text: &mut String, side: &str, spoken: &Spoken, count: usize) {
        let _ = writeln!(
            text,
            "\n[{side}]\nframe  = {}  # cuts all {count} messages\ndecode = {}",
            self.frame, spoken.reading.decode
        );
        if let Some(Tag { name, evidence }) = &spoken.tag {
            let name = quoted(&format!("/{}", escaped(name)));
            let _ = writeln!(text, "tag    = {name}  # {evidence}");
        }
    }

    fn tests(
        &self,
        text: &mut String,
        (clients, client): (&[Entry], &Spoken),
        servers: &[Entry],
        paired: &Paired,
    ) {
        let shown = clients.iter().filter(|entry| !entry.secret);
        let shown: Vec<&[u8]> =
            shown.filter_map(|entry| frame(&self.client, *entry.group.members.first()?)).collect();
        test(text, "what the client was heard to say", "client", None, &shown, "forward");
        let mut after: Option<&[u8]> = None;
        for (at, entry) in servers.iter().enumerate().filter(|(_, entry)| !entry.secret) {
            let Some((said, asked)) = paired.example.get(&at) else { continue };
            let Some(said) = frame(&self.server, *said) else { continue };
            let kind = asked.and_then(|asked| client.kinds.get(asked));
            if kind.and_then(|kind| clients.get(*kind)).is_some_and(|entry| entry.secret) {
                continue;
            }
            let asked = asked.map(|asked| frame(&self.client, asked));
            if asked == Some(None) {
                continue;
            }
            after = asked.flatten().or(after);
            let name = format!("the server was heard to say `{}`", entry.group.name);
            test(text, &name, "server", asked.flatten(), &[said], "forward");
        }
        if !self.manner.refusals {
            return;
        }
        let refused = |reading: &Reading, messages: &[&Message]| {
            let first = messages.first()?;
            let (payload, at) = match reading.kind {
                Kind::Json => (&b"{\"nobody\":\"declared this\"}"[..], first),
                Kind::Text { .. } => (&b"\x01"[..], first),
                Kind::Bytes => return None,
            };
            reframed(at, payload)
        };
        if let Some(vector) = refused(&client.reading, &self.client) {
            test(text, "what nobody declared", "client", None, &[&vector], "invalid");
        }
        let reading = reading::read(&self.server);
        if let Some(vector) = refused(&reading, &self.server) {
            test(text, "what the server may not say", "server", after, &[&vector], "server");
        }
    }
}

/// The frame of a message that is short enough to be shown.
fn frame<'m>(messages: &[&'m Message], at: usize) -> Option<&'m [u8]> {
    messages.get(at).map(|m| m.frame.as_slice()).filter(|frame| frame.len() <= SHOWN)
}

/// Another payload in the frame of a message, for frames that end with fixed bytes.
fn reframed(like: &Message, payload: &[u8]) -> Option<Vec<u8>> {
    let end = like.frame.strip_prefix(like.payload.as_slice())?;
    Some([payload, end].concat())
}

fn spoken(messages: &[&Message], default: &str, manner: Manner) -> Spoken {
    let reading = reading::read(messages);
    match reading.kind {
        Kind::Text { ascii } => {
            let lines = lines::lines(&reading.trees, ascii, default, manner);
            let groups = lines.iter().map(|line| line.group.clone()).collect();
            Spoken::new(reading, None, groups, lines)
        }
        _ if messages.is_empty() => Spoken::new(reading, None, Vec::new(), Vec::new()),
        _ => {
            let Groups { tag, groups } = Groups::of(&reading.trees, default, manner);
            Spoken::new(reading, tag, groups, Vec::new())
        }
    }
}

/// What is written for each kind of message.
fn entries(spoken: &Spoken, key: Option<&str>) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (at, group) in spoken.groups.iter().enumerate() {
        let mut body = Vec::new();
        let mut secret = false;
        if let Some(value) = &group.matches {
            body.push(format!("match   = [{}]", quoted(value)));
        }
        for (word, names) in [("has", &group.has), ("lacks", &group.lacks)] {
            if !names.is_empty() {
                let list: Vec<String> =
                    names.iter().map(|name| quoted(&format!("/{}", escaped(name)))).collect();
                body.push(format!("{word:<7} = [{}]", list.join(", ")));
            }
        }
        let trees = group.members.iter().filter_map(|at| spoken.reading.trees.get(*at));
        match spoken.lines.get(at) {
            Some(Lines { grammar, fields, .. }) => {
                secret = !fields.is_empty() && opens_secret(&group.name);
                body.push(format!("grammar = '{grammar}'"));
                let mut fields = fields.clone();
                if secret {
                    let hide = |(_, rule, _): &mut (String, Vec<String>, String)| {
                        rule.push("secret = true".to_owned());
                    };
                    fields.iter_mut().for_each(hide);
                }
                body.extend(aligned(&fields));
            }
            None => {
                let shape = Shape::of(trees);
                if spoken.reading.kind == Kind::Bytes {
                    let (lo, hi) = shape
                        .members()
                        .map(|(_, member)| member.bytes())
                        .next()
                        .unwrap_or_default();
                    body.push(format!(
                        "fields.data = {{ bytes = [{lo}, {hi}] }}  # {} samples; nothing else is known of them",
                        shape.samples
                    ));
                } else {
                    let tag = spoken.tag.as_ref().zip(group.matches.as_deref());
                    secret = described(&shape, tag, key, &mut body);
                }
            }
        }
        entries.push(Entry { group: group.clone(), body, secret });
    }
    entries
}

/// The fields of a flat message, the schema of another. Says whether something is a secret.
fn described(
    shape: &Shape,
    tag: Option<(&Tag, &str)>,
    key: Option<&str>,
    body: &mut Vec<String>,
) -> bool {
    let secret = holds_secret(shape);
    if shape.is_flat() {
        let mut fields = Vec::new();
        for (name, member) in shape.members() {
            let (mut rule, mut words) = match tag {
                Some((tag, value)) if tag.name == name => {
                    let (_, words) = member.rule(name, false);
                    (vec![format!("const = {}", quoted(value))], words)
                }
                _ => member.rule(name, key == Some(name)),
            };
            if !shape.always_has(name) {
                rule.push("optional = true".to_owned());
                let _ = write!(words, ", absent in {}", shape.samples - member.samples);
            }
            fields.push((name.to_owned(), rule, words));
        }
        body.extend(aligned(&fields));
        return secret;
    }
    let whole = |at: &str| key.is_some_and(|key| at == format!("/{}", escaped(key)));
    let mut lines = Vec::new();
    let schema = shape.schema("", "", &whole, &mut lines);
    body.extend(lines.iter().map(|line| comment(line)));
    let json = written(&schema, 0);
    if json.contains("'''") || json.contains(|c: char| c.is_control() && c != '\n') {
        body.push(format!("schema  = {}", quoted(&schema.to_string())));
    } else {
        body.push(format!("schema  = '''\n{json}\n'''"));
    }
    secret
}

fn holds_secret(shape: &Shape) -> bool {
    shape.members().any(|(name, member)| is_secret(name) || holds_secret(member))
        || shape.each().is_some_and(holds_secret)
}

fn depth(tree: &Value<'_>) -> usize {
    match tree {
        Value::List(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Map(map) => 1 + map.iter().map(|(_, value)| depth(value)).max().unwrap_or(0),
        _ => 0,
    }
}

fn nodes(tree: &Value<'_>) -> usize {
    1 + match tree {
        Value::List(list) => list.iter().map(nodes).sum(),
        Value::Map(map) => map.iter().map(|(_, value)| 1 + nodes(value)).sum(),
        _ => 0,
    }
}
