//! What is said in each load: a contract, a policy, questions and their answers.

/// A protocol with questions and their answers.
pub(crate) struct Load {
    pub(crate) name: &'static str,
    pub(crate) contract: String,
    pub(crate) policy: &'static str,
    /// Said one after the other, and then again from the first.
    pub(crate) exchanges: Vec<Exchange>,
}

/// One question and its answer.
pub(crate) struct Exchange {
    pub(crate) question: Vec<u8>,
    pub(crate) answer: Vec<u8>,
}

/// Most questions that are asked before their answers come.
pub(crate) const MOST: usize = 32;
/// Different questions of a load whose values were not seen before: far more than any decision
/// that is kept.
const MANY: usize = 2048;
/// Everybody may do everything: decided from the cache after the first time.
const ALL: &str = r#"@id("all") permit (principal, action, resource);"#;

pub(crate) const NOTE: &str = include_str!("../messages/note.toml");
pub(crate) const ORDER: &str = include_str!("../messages/order.toml");
pub(crate) const ORDER_POLICY: &str = include_str!("../messages/order.cedar");

/// Every load, in the order of the table.
pub(crate) fn all() -> [Load; 8] {
    let echo = padded(r#"{"seq":1000000000,"action":"echo","payload":""#, "\"}\n", 256);
    [
        Load {
            name: "add-ten, a line, with its rule",
            contract: unrated(include_str!("../../examples/article/add-ten.toml")),
            policy: ALL,
            exchanges: many(MOST, |_| (b"5\n".to_vec(), b"15\n".to_vec())),
        },
        Load {
            name: "JSON lines, field rules, echoed",
            contract: include_str!("../compare/lines.toml").to_owned(),
            policy: include_str!("../compare/lines.cedar"),
            exchanges: many(MOST, |_| (echo.clone(), echo.clone())),
        },
        Load {
            name: "JSON line, schema",
            contract: NOTE.to_owned(),
            policy: ALL,
            exchanges: many(MOST, |_| (note(), accepted())),
        },
        Load {
            name: "JSON line, schema",
            contract: ORDER.to_owned(),
            policy: ALL,
            exchanges: many(MOST, |_| (order(999_999, 123_456_789), accepted())),
        },
        Load {
            name: "the same, a policy reads it, values seen before",
            contract: ORDER.to_owned(),
            policy: ORDER_POLICY,
            exchanges: many(MOST, |_| (order(999_999, 123_456_789), accepted())),
        },
        Load {
            name: "the same, values never seen before",
            contract: ORDER.to_owned(),
            policy: ORDER_POLICY,
            exchanges: many(MANY, |n| (order(100_000 + n, 1_000_000 + n), accepted())),
        },
        Load {
            name: "Modbus, a read of two registers, with its rule",
            contract: unrated(include_str!("../../examples/modbus/plc1.toml")),
            policy: ALL,
            exchanges: many(MOST, modbus),
        },
        Load {
            name: "Redis, GET of one key",
            contract: unrated(include_str!("../../examples/redis/cache.toml")),
            policy: ALL,
            exchanges: many(MOST, |_| {
                (b"*2\r\n$3\r\nGET\r\n$5\r\napp:x\r\n".to_vec(), b"$5\r\nhello\r\n".to_vec())
            }),
        },
    ]
}

fn many(count: usize, of: impl Fn(usize) -> (Vec<u8>, Vec<u8>)) -> Vec<Exchange> {
    (0..count).map(of).map(|(question, answer)| Exchange { question, answer }).collect()
}

/// A line of 256 bytes.
pub(crate) fn note() -> Vec<u8> {
    padded(r#"{"kind":"note","id":1000000000,"text":""#, "\"}\n", 256)
}

/// A line of 894 bytes: an order of this total, by this customer.
pub(crate) fn order(total: usize, customer: usize) -> Vec<u8> {
    let line = r#"{"sku":"ABC-1234","count":12,"price":150000}"#;
    let lines = [line; 8].join(",");
    let head = format!(
        r#"{{"kind":"order","id":1000000000,"customer":{{"id":"{customer:010}","country":"KR","name":"홍길동"}},"lines":[{lines}],"total":{total},"memo":""#
    );
    padded(&head, "\"}\n", 894)
}

fn accepted() -> Vec<u8> {
    b"{\"id\":1000000000}\n".to_vec()
}

/// A read with a transaction of its own, since those that are open at once must differ.
fn modbus(number: usize) -> (Vec<u8>, Vec<u8>) {
    let number = u8::try_from(number).unwrap_or_default();
    let mut question = b"\x00\x01\x00\x00\x00\x06\x01\x03\x00\x00\x00\x02".to_vec();
    let mut answer = b"\x00\x01\x00\x00\x00\x07\x01\x03\x04\x00\x0a\x00\x0b".to_vec();
    (question[1], answer[1]) = (number, number);
    (question, answer)
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
