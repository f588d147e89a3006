//! A record as it is read back.

use super::{LARGEST, VERSION};
use crate::config::read as files;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use segwan_core::contract::Side;
use segwan_core::contract::learn::Conversation;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// One line.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Head {
        capture: u32,
        service: String,
    },
    Said {
        connection: u64,
        side: Speaker,
        bytes: String,
    },
    End {
        connection: u64,
        side: Speaker,
        #[serde(rename = "end")]
        _end: bool,
    },
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Speaker {
    Client,
    Server,
}

/// The service that was recorded, and what was said on each connection.
///
/// # Errors
/// A sentence with the place, if the file is no record.
pub fn read(path: &Path) -> Result<(Option<String>, Vec<Conversation>), String> {
    let shown = path.display();
    let bytes = files::at_most(path, LARGEST)?;
    let text = String::from_utf8(bytes).map_err(|_| format!("`{shown}` is not text in UTF-8"))?;
    let mut service = None;
    // A process numbers its connections from 1, so a number holds within one head.
    let mut head = 0_u64;
    let mut conversations: BTreeMap<(u64, u64), (Conversation, [bool; 2])> = BTreeMap::new();
    for (at, line) in text.lines().enumerate() {
        let here = |what: &str| format!("{shown}:{}: {what}", at + 1);
        let line = serde_json::from_str(line).map_err(|_| here("this is no line of a record"))?;
        match line {
            Line::Head { capture: VERSION, service: of } => {
                head += 1;
                service.get_or_insert(of);
            }
            Line::Head { capture, .. } => {
                return Err(here(&format!(
                    "the record has version {capture}, this build reads {VERSION}"
                )));
            }
            _ if head == 0 => return Err(here("the record has no head")),
            Line::Said { connection, side, bytes } => {
                let said = STANDARD.decode(bytes).map_err(|_| here("the bytes are not base64"))?;
                let side = match side {
                    Speaker::Client => Side::Client,
                    Speaker::Server => Side::Server,
                };
                let (conversation, _) = conversations.entry((head, connection)).or_default();
                conversation.said.push((side, said));
            }
            Line::End { connection, side, .. } => {
                let (conversation, ends) = conversations.entry((head, connection)).or_default();
                ends[usize::from(matches!(side, Speaker::Server))] = true;
                conversation.whole = ends.iter().all(|end| *end);
            }
        }
    }
    if head == 0 {
        return Err(format!("`{shown}` is no record of `record = \"frames\"`"));
    }
    Ok((service, conversations.into_values().map(|(conversation, _)| conversation).collect()))
}
