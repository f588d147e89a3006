//! `segwan contract new`: a contract to begin with, that loads as it is.

use super::learn::write_new;
use crate::cli::{Exit, Failure, Global};
use std::path::PathBuf;

/// Begin a contract from a template
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan contract new lines-json
  segwan contract new modbus -o plc.toml

Every template loads as it is and carries its tests: change a line, and `segwan contract test`
says what it changed.")]
pub(super) struct Args {
    /// What the protocol looks like
    #[arg(value_enum, value_name = "KIND")]
    kind: Kind,
    /// Where it is written; nothing is overwritten [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Templates, by how frames are cut and what they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Lines of text, read by a grammar
    LinesText,
    /// Lines of JSON, paired by a key
    LinesJson,
    /// Text that ends with a byte of its own
    DelimiterText,
    /// JSON with its length before it, described by JSON Schema
    LengthJson,
    /// Bytes with their length before them
    LengthBinary,
    /// Commands in netstrings
    NetstringText,
    /// Binary items in frames of one size
    FixedStruct,
    /// One text in each direction, ended by the end of the stream
    EofText,
    /// Text with its length in digits ahead, as syslog over TLS has it
    OctetCountText,
    /// JSON behind `Content-Length`
    HeadersJson,
    /// Text in blocks of MLLP
    MllpText,
    /// Fixed columns in EUC-KR
    Columns,
    /// Modbus/TCP
    Modbus,
    /// Redis or Valkey
    Resp,
    /// JSON-RPC 2.0
    JsonRpc,
    /// HL7 version 2 over MLLP
    Hl7,
}

impl Kind {
    fn text(self) -> &'static str {
        match self {
            Self::LinesText => include_str!("templates/lines-text.toml"),
            Self::LinesJson => include_str!("templates/lines-json.toml"),
            Self::DelimiterText => include_str!("templates/delimiter-text.toml"),
            Self::LengthJson => include_str!("templates/length-json.toml"),
            Self::LengthBinary => include_str!("templates/length-binary.toml"),
            Self::NetstringText => include_str!("templates/netstring-text.toml"),
            Self::FixedStruct => include_str!("templates/fixed-struct.toml"),
            Self::EofText => include_str!("templates/eof-text.toml"),
            Self::OctetCountText => include_str!("templates/octet-count-text.toml"),
            Self::HeadersJson => include_str!("templates/headers-json.toml"),
            Self::MllpText => include_str!("templates/mllp-text.toml"),
            Self::Columns => include_str!("templates/columns.toml"),
            Self::Modbus => include_str!("templates/modbus.toml"),
            Self::Resp => include_str!("templates/resp.toml"),
            Self::JsonRpc => include_str!("templates/json-rpc.toml"),
            Self::Hl7 => include_str!("templates/hl7.toml"),
        }
    }
}

pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let text = args.kind.text();
    match &args.out {
        None => global.report.text(text),
        Some(file) => {
            write_new(file, text)?;
            let (file, lines) = (file.display(), text.lines().count());
            global.report.line(format_args!("{file}: {lines} lines, to be changed"));
        }
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;
    use segwan_core::contract::Contract;

    #[test]
    fn every_template_loads_as_it_is_and_shows_what_it_refuses() {
        let no_file = |_: &str| Err("a template has no files".to_owned());
        let mut wrong = Vec::new();
        for kind in Kind::value_variants() {
            match Contract::load(&format!("{kind:?}"), kind.text(), &no_file) {
                Ok((contract, warnings)) => {
                    wrong.extend(warnings.iter().map(ToString::to_string));
                    assert!(contract.tests().len() >= 4, "{kind:?}");
                }
                Err(findings) => wrong.extend(findings.iter().map(ToString::to_string)),
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
