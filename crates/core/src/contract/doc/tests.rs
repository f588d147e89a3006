//! What a reviewer signs: nothing that a contract says of texts, layouts and open places is left out.

use crate::contract::Contract;

const ERROR: &str = include_str!("../../../../../examples/ledger/error.schema.json");

fn document(text: &str) -> String {
    let read = |name: &str| match name {
        "error.schema.json" => Ok(ERROR.to_owned()),
        other => Err(format!("no file `{other}`")),
    };
    let (contract, _) = Contract::load("c.toml", text, &read).unwrap();
    let document = contract.document();
    assert!(document.contains(contract.hash()), "{document}");
    document
}

fn says(document: &str, all: &[&str]) {
    for one in all {
        assert!(document.contains(one), "{one}\n{document}");
    }
}

// P12
#[test]
fn texts_charsets_layouts_and_frames_are_told() {
    let transfer = include_str!("../../../../../examples/transfer-ko/transfer-ko.toml");
    let transfer = document(transfer);
    says(
        &transfer,
        &[
            "their length ahead (exactly 4 ASCII digits)",
            "fixed columns in `euc-kr`",
            "| `txid` | 8 | ASCII digits |",
            "| `filler` | 5 | spaces, which are no part of the message |",
            "in Unicode's composed form (NFC); no characters of the classes control, noncharacter; of the scripts Hangul, Latin, Common",
            "`${txid}` is `/txid` of what is refused if that holds: matches `[0-9]{8}`; else `00000000`",
        ],
    );
    assert!(!transfer.contains("`/code` 4 bytes"), "the tag is told once\n{transfer}");
    let ledger = document(include_str!("../../../../../examples/ledger/ledger.toml"));
    says(
        &ledger,
        &[
            "SHA-256 of its file and its schema files: `",
            "Texts: in Unicode's composed form (NFC); no characters of the classes control, line, bidi",
            "`/id` of its request, which is an integer, larger than that of every request before it",
        ],
    );
    let valve = document(include_str!("../../../tests/decoders/valve.toml"));
    says(
        &valve,
        &[
            "(an unsigned integer of 2 bytes, most significant first)",
            "`steps` a signed integer of 2 bytes, most significant first, as many as `count` says",
            "`note` bytes of text in `utf-8`, as many as `size` says",
            "`sum` is the xor8 of all bytes before it",
            "| `read` | `/op` is 1 | `/unit` 0 to 255<br>",
        ],
    );
}

// P12
#[test]
fn what_is_open_is_said_to_be_open() {
    let cache = document(include_str!("../../../../../examples/redis/cache.toml"));
    says(
        &cache,
        &[
            "each 1 to 200 bytes<br>arguments that no rule above names: any value, **not inspected**",
            "`/value`: any value, **not inspected**",
        ],
    );
    let tools = document(include_str!("../../../../../examples/mcp/tools.toml"));
    says(
        &tools,
        &[
            "`/error` `code`, any integer, and `message`, any text of up to 1024 bytes; `data` is refused",
            "| nothing: asks no policy; answers `ping` |",
            "which may come again once 1,024 others came after it",
        ],
    );
    for document in [cache, tools] {
        assert!(!document.contains("opens the exchange"), "{document}");
        let said = document.split("## What a policy decides").next().unwrap();
        assert!(!said.contains("|  |"), "a blank cell\n{said}");
    }
}

const PUMP: &str = r#"
contract      = "pump/1"
initial_state = "idle"

[limits]
rate = { per = "identity", messages = "20/s" }

[client]
frame  = { kind = "length", type = "u16le", at = 4, magic = "hex:aa55", adjust = 2 }
decode = { kind = "struct", order = "le", from = "frame", layout = ["magic: u16be = 0xaa55", "type: u16", "length: u16"], check = { item = "crc", kind = "crc16-modbus" } }
tag    = "type"

[[client.message]]
name    = "all"
match   = [1]
layout  = ["crc: u16"]
action  = "pump.all"
expects = "many"
state   = { from = ["idle"] }

[server]
frame  = { kind = "delimiter", bytes = "\u0000" }
decode = { kind = "kv", charset = "ascii", sep = ";", eq = "=", names = ["pump", "rate", "sum", "key"] }

[[server.message]]
name        = "one"
answers     = ["all"]
has         = ["/pump"]
fields.pump = { int = [1, 40] }
fields.rate = { decimal = { digits = 3, scale = 2, min = "-0.05", max = "125" } }
fields.key  = { len = [1, 8], secret = true }

[[server.message]]
name       = "end"
answers    = ["all"]
last       = true
lacks      = ["/pump"]
fields.sum = { decimal = { digits = 4, scale = 0, min = "0" } }
"#;

// P12
#[test]
fn bounds_states_and_the_last_reply_are_told() {
    let pump = document(PUMP);
    says(
        &pump,
        &[
            "A connection begins in the state `idle`.",
            "`/rate` a decimal of at most 3 digits before the point and 2 behind it, -0.05 to 125.00",
            "`/sum` a decimal of at most 4 digits, at least 0",
            "| `all`; the last reply |",
            "`/key` 1 to 8 long, secret<br>",
            "each begins with the bytes `aa 55`",
            "Frames that end with the byte `00`",
            "| `magic` | an unsigned integer of 2 bytes, most significant first, always 43605 (0xaa55) |",
            "| `all` | `crc` an unsigned integer of 2 bytes, least significant first |",
        ],
    );
    assert!(!pump.contains("is a secret"), "a secret is told once\n{pump}");
    let texts = pump.matches("Texts: ").count();
    assert_eq!(texts, 1, "numbers are no texts\n{pump}");
}

// P12: what an author writes is shown, and is no mark of the document's own.
#[test]
fn titles_and_patterns_are_texts_in_markdown() {
    let base = include_str!("../../../../../examples/article/add-ten.toml");
    let title = base.lines().find(|line| line.starts_with("title")).unwrap();
    let titled = |with: &str| document(&base.replace(title, &format!("title = {with}")));
    for (with, told) in [
        (
            "\"\"\"one\n\n## What the client may say\n\n- *all*\"\"\"",
            "one \\#\\# What the client may say - \\*all\\*",
        ),
        ("'<b>|a_b|</b> & `c` [d](e)'", "\\<b\\>\\|a\\_b\\|\\</b\\> \\& \\`c\\` \\[d\\](e)"),
        ("'1. first'", "1\\. first"),
        ("'---'", "\\---"),
        ("\"a\\u202eb\"", "a\\u{202e}b"),
        ("'parts (v1.0), and more'", "parts (v1.0), and more"),
    ] {
        let document = titled(with);
        assert_eq!(document.lines().nth(2), Some(told), "{document}");
        assert_eq!(document.matches("\n## What the client").count(), 1, "{document}");
    }
    for (pattern, told) in [
        ("[a-z]+", "`[a-z]+`"),
        ("a`b", "``a`b``"),
        ("``|`", "``` ``\\|` ```"),
        (" a ", "`  a  `"),
        ("a\nb", "`a\\nb`"),
    ] {
        assert_eq!(super::code(pattern), told);
    }
    let text = "contract = \"t/1\"\n[client]\nframe = { kind = \"lines\" }\ndecode = { kind = \"json\" }\n\
         [[client.message]]\nname = \"a\"\naction = \"a\"\nexpects = \"none\"\n\
         fields.id = { regex = '`[a|b]` \\| <b>' }\nfields.b = { const = \"c|d\" }\n\
         [server]\nframe = { kind = \"raw\", danger_uninspected = \"it says *nothing* of use\" }\n";
    says(
        &document(text),
        &[
            "`/id` matches `` `[a\\|b]` \\\\| <b> ``",
            "`/b` always `c\\|d`",
            "whatever is said: it says \\*nothing\\* of use.",
        ],
    );
}
