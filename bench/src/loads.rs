//! What is said in each load: a contract, a policy, one question and its answer.

/// A protocol with one question and its answer.
pub(crate) struct Load {
    pub(crate) name: &'static str,
    pub(crate) contract: String,
    pub(crate) policy: &'static str,
    pub(crate) question: Vec<u8>,
    pub(crate) answer: Vec<u8>,
}

/// Everybody may do everything: decided from the cache after the first time.
const ALL: &str = r#"@id("all") permit (principal, action, resource);"#;

/// Every load, in the order of the table.
pub(crate) fn all() -> [Load; 7] {
    let echo = padded(r#"{"seq":1000000000,"action":"echo","payload":""#, "\"}\n", 256);
    let note = padded(r#"{"kind":"note","id":1000000000,"text":""#, "\"}\n", 256);
    let line = r#"{"sku":"ABC-1234","count":12,"price":150000}"#;
    let lines = [line; 8].join(",");
    let head = format!(
        r#"{{"kind":"order","id":1000000000,"customer":{{"id":"0123456789","country":"KR","name":"홍길동"}},"lines":[{lines}],"total":999999,"memo":""#
    );
    let order = padded(&head, "\"}\n", 894);
    [
        Load {
            name: "add-ten, a line of 2 bytes, with its rule",
            contract: unrated(include_str!("../../examples/article/add-ten.toml")),
            policy: ALL,
            question: b"5\n".to_vec(),
            answer: b"15\n".to_vec(),
        },
        Load {
            name: "JSON lines of 256 bytes, field rules",
            contract: include_str!("../compare/lines.toml").to_owned(),
            policy: include_str!("../compare/lines.cedar"),
            question: echo.clone(),
            answer: echo,
        },
        Load {
            name: "JSON line of 256 bytes, schema",
            contract: include_str!("../messages/note.toml").to_owned(),
            policy: ALL,
            question: note,
            answer: b"{\"id\":1000000000}\n".to_vec(),
        },
        Load {
            name: "JSON line of 894 bytes, schema",
            contract: include_str!("../messages/order.toml").to_owned(),
            policy: ALL,
            question: order.clone(),
            answer: b"{\"id\":1000000000}\n".to_vec(),
        },
        Load {
            name: "the same, and a policy that reads it",
            contract: include_str!("../messages/order.toml").to_owned(),
            policy: include_str!("../messages/order.cedar"),
            question: order,
            answer: b"{\"id\":1000000000}\n".to_vec(),
        },
        Load {
            name: "Modbus, a read of two registers, with its rule",
            contract: unrated(include_str!("../../examples/modbus/plc1.toml")),
            policy: ALL,
            question: b"\x00\x01\x00\x00\x00\x06\x01\x03\x00\x00\x00\x02".to_vec(),
            answer: b"\x00\x01\x00\x00\x00\x07\x01\x03\x04\x00\x0a\x00\x0b".to_vec(),
        },
        Load {
            name: "Redis, GET of one key",
            contract: unrated(include_str!("../../examples/redis/cache.toml")),
            policy: ALL,
            question: b"*2\r\n$3\r\nGET\r\n$5\r\napp:x\r\n".to_vec(),
            answer: b"$5\r\nhello\r\n".to_vec(),
        },
    ]
}

/// A line of so many bytes, filled up with `x`.
fn padded(head: &str, tail: &str, size: usize) -> Vec<u8> {
    let fill = "x".repeat(size.saturating_sub(head.len() + tail.len()));
    format!("{head}{fill}{tail}").into_bytes()
}

/// A contract without its rate, which is not what is measured.
fn unrated(contract: &str) -> String {
    let lines = contract.lines().filter(|line| !line.trim_start().starts_with("rate "));
    lines.collect::<Vec<_>>().join("\n")
}
