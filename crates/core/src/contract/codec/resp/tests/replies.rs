//! Every value that a service may answer with, and those that it may not.

use super::{CACHE, Seen, talk, words};
use crate::contract::Side;
use crate::rejection::{Class, Reason};

/// What a service answers to a `PING`.
fn answer(bytes: &[u8]) -> Seen {
    let ping = words("PING");
    talk(&CACHE, &[(Side::Client, &ping), (Side::Server, bytes)], usize::MAX)
}

// CON-32
#[test]
fn every_type_of_resp2_and_resp3_is_a_reply() {
    let good: [&[u8]; 24] = [
        b"+PONG\r\n",
        b"+\r\n",
        b"-ERR no\r\n",
        b":0\r\n",
        b":-12\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"$2\r\n-1\r\n",
        b"$0\r\n\r\n",
        b"$4\r\n\r\n\r\n\r\n",
        b"*0\r\n",
        b"*2\r\n*1\r\n:1\r\n$-1\r\n",
        b"_\r\n",
        b"#t\r\n",
        b",1.5e3\r\n",
        b",-inf\r\n",
        b",nan\r\n",
        b"(-12345678901234567890123\r\n",
        b"!5\r\nERR x\r\n",
        b"=7\r\ntxt:a\r\n\r\n",
        b"%1\r\n+a\r\n:1\r\n",
        b"~2\r\n:1\r\n:2\r\n",
        b"|1\r\n+ttl\r\n:1\r\n$1\r\nv\r\n",
        b"*1\r\n|1\r\n+ttl\r\n:1\r\n$1\r\nv\r\n",
    ];
    for bytes in good {
        let seen = answer(bytes);
        assert_eq!(
            (seen.refused, seen.peer),
            (vec![], bytes.to_vec()),
            "{:?}",
            bytes.escape_ascii()
        );
    }
    let bad: [(&[u8], Reason); 22] = [
        (b"PONG\r\n", Reason::LengthForm),
        (b"+PO\nNG\r\n", Reason::LengthForm),
        (b"+PO\rNG\r\n", Reason::LengthForm),
        (b":+1\r\n", Reason::LengthForm),
        (b":01\r\n", Reason::LengthForm),
        (b":9223372036854775808\r\n", Reason::LengthForm),
        (b"$-2\r\n", Reason::LengthForm),
        (b"$?\r\n", Reason::LengthForm),
        (b"*?\r\n", Reason::LengthForm),
        (b"_x\r\n", Reason::LengthForm),
        (b"#y\r\n", Reason::LengthForm),
        (b",1.5.5\r\n", Reason::LengthForm),
        (b"(-\r\n", Reason::LengthForm),
        (b"=3\r\ntxt\r\n", Reason::LengthForm),
        (b"*65", Reason::LengthRange),
        (b"%33", Reason::LengthRange),
        (b"*64\r\n*64\r\n", Reason::LengthRange),
        (b"*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", Reason::LengthRange),
        (b"$4094\r\n", Reason::FrameTooLarge),
        (b"$4097\r\n", Reason::LengthRange),
        (b"+PONG\r\n+PONG\r\n", Reason::Unasked),
        (b">2\r\n+invalidate\r\n*0\r\n", Reason::NoMessage),
    ];
    for (bytes, reason) in bad {
        let seen = answer(bytes);
        let shown = bytes.escape_ascii();
        assert_eq!(seen.refused, [(Some(reason), Some(Class::Server))], "{shown}");
        assert!(seen.peer.is_empty() || reason == Reason::Unasked, "{shown}");
    }
    let long = [b"+", "x".repeat(5000).as_bytes()].concat();
    assert_eq!(answer(&long).refused, [(Some(Reason::FrameTooLarge), Some(Class::Server))]);
}
