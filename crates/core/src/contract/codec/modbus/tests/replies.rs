//! A reply fits its request, and a contract may narrow it.

use super::*;

fn answered(request: &[u8], reply: &[u8]) -> Result<(), Reason> {
    let mut run = Run::allowed(contract(EVERYTHING));
    run.say(Side::Client, request, usize::MAX);
    assert_eq!(run.seen.service, request);
    run.say(Side::Server, reply, 1);
    match run.seen.reasons.first() {
        Some(reason) => {
            assert!(run.seen.peer.is_empty(), "nothing of it is delivered");
            Err(*reason)
        }
        None => {
            assert_eq!(run.seen.peer, reply);
            Ok(())
        }
    }
}

// CON-30 (mutants of each reply)
#[test]
fn a_reply_fits_its_request_in_unit_function_size_and_echo() {
    use Reason::{ReplyMismatch, Size, Unasked};
    let exchanges: [(u8, &str, &str); 11] = [
        (1, "0000 0009", "02 ff01"),
        (2, "0000 0008", "01 ff"),
        (3, "0000 0002", "04 000a 000b"),
        (4, "0000 0001", "02 ffff"),
        (5, "0001 ff00", "0001 ff00"),
        (6, "0064 0005", "0064 0005"),
        (15, "0013 000a 02 cd01", "0013 000a"),
        (16, "0001 0002 04 000a 0102", "0001 0002"),
        (22, "0004 00f2 0025", "0004 00f2 0025"),
        (23, "0003 0002 000e 0001 02 00ff", "04 00fe 0acd"),
        (43, "0e 01 00", "0e 01 01 00 00 00"),
    ];
    for (code, request, reply) in exchanges {
        let (request, data) = (adu(1, code, &hex(request)), hex(reply));
        let good = adu(1, code, &data);
        assert_eq!(answered(&request, &good), Ok(()), "{code}");
        for exception in 0..=12 {
            let wanted = if [1, 2, 3, 4, 5, 6, 8, 10, 11].contains(&exception) {
                Ok(())
            } else {
                Err(ReplyMismatch)
            };
            assert_eq!(answered(&request, &adu(1, code | 0x80, &[exception])), wanted, "{code}");
        }
        assert_eq!(answered(&request, &adu(1, code | 0x80, &[1, 0])), Err(Size));
        assert_eq!(answered(&request, &adu(1, (code + 1) | 0x80, &[1])), Err(ReplyMismatch));
        assert_eq!(answered(&request, &adu(2, code, &data)), Err(ReplyMismatch));
        assert!(answered(&request, &adu(1, code ^ 0x40, &data)).is_err());
        let mut other = good.clone();
        other[1] = 8;
        assert_eq!(answered(&request, &other), Err(Unasked));
        if code == 43 {
            continue;
        }
        let longer = adu(1, code, &[&data[..], &[0]].concat());
        assert!(answered(&request, &longer).is_err(), "{code} longer");
        assert!(answered(&request, &adu(1, code, &data[..data.len() - 1])).is_err(), "{code}");
        // What is read may be anything; what is echoed may not, nor any count.
        let echoes = if matches!(code, 1..=4 | 23) { 1 } else { data.len() };
        for at in 0..echoes {
            let mut changed = data.clone();
            changed[at] ^= 1;
            assert!(answered(&request, &adu(1, code, &changed)).is_err(), "{code} byte {at}");
        }
    }
    // Another count that is whole in itself.
    let request = adu(1, 3, &hex("0000 0002"));
    assert_eq!(answered(&request, &adu(1, 3, &hex("06 000a 000b 000c"))), Err(ReplyMismatch));
    assert_eq!(answered(&request, &adu(1, 3, &hex("02 000a"))), Err(ReplyMismatch));
}

#[test]
fn a_declared_reply_narrows_and_an_exception_still_passes() {
    let text = format!(
        "{UNITS}\n[[server.message]]\nname = \"reading\"\nanswers = [\"read\"]\nmatch = [3]\n\
         fields.values = {{ each_int = [0, 4000] }}\n"
    );
    let said = |reply: &str| {
        let mut run = Run::allowed(contract(&text));
        run.say(Side::Client, &adu(1, 3, &hex("0000 0001")), usize::MAX);
        run.say(Side::Server, &hex(reply), usize::MAX);
        run.seen.reasons.first().copied()
    };
    assert_eq!(said("0007 0000 0005 01 03 02 0fa0"), None);
    assert_eq!(said("0007 0000 0005 01 03 02 ffff"), Some(Reason::Each));
    assert_eq!(said("0007 0000 0003 01 83 04"), None);
}

// CON-30: a declared reply is about the functions that it names, and closes no other one.
#[test]
fn a_declared_reply_leaves_the_other_functions_of_its_request_alone() {
    let about = |messages: &str, code: u8, reply: &str| {
        let mut run = Run::allowed(contract(&format!("{UNITS}\n{messages}")));
        run.say(Side::Client, &adu(1, code, &hex("0000 0001")), usize::MAX);
        run.say(Side::Server, &hex(reply), usize::MAX);
        run.seen.reasons.first().copied()
    };
    let reading = "[[server.message]]\nname = \"reply\"\nanswers = [\"read\"]\nmatch = [3]\n\
                   fields.values = { each_int = [0, 4000] }\n";
    for (code, reply, wanted) in [
        (3, "0007 0000 0005 01 03 02 0fa0", None),
        (3, "0007 0000 0005 01 03 02 ffff", Some(Reason::Each)),
        (4, "0007 0000 0005 01 04 02 ffff", None),
        (1, "0007 0000 0004 01 01 01 01", None),
        (2, "0007 0000 0003 01 82 02", None),
        (1, "0007 0000 0004 01 02 01 01", Some(Reason::ReplyMismatch)),
    ] {
        assert_eq!(about(reading, code, reply), wanted, "{reply}");
    }
    let refused = "[[server.message]]\nname = \"refused\"\nanswers = [\"read\"]\n\
                   has = [\"/exception\"]\n";
    for (reply, wanted) in
        [("0007 0000 0005 01 03 02 ffff", None), ("0007 0000 0003 01 83 02", None)]
    {
        assert_eq!(about(refused, 3, reply), wanted, "{reply}");
    }
}

// CON-30: bits that nobody asked for carry nothing.
#[test]
fn the_bits_behind_the_last_coil_are_zero() {
    let request = adu(1, 1, &hex("0000 0003"));
    assert_eq!(answered(&request, &adu(1, 1, &hex("01 07"))), Ok(()));
    assert_eq!(answered(&request, &adu(1, 1, &hex("01 0f"))), Err(Reason::ReplyMismatch));
    assert_eq!(answered(&request, &adu(1, 1, &hex("01 80"))), Err(Reason::ReplyMismatch));
}

#[test]
fn a_transaction_is_not_used_twice_at_once() {
    let mut run = Run::allowed(contract(UNITS));
    let request = adu(1, 3, &hex("0000 0001"));
    run.say(Side::Client, &request, usize::MAX);
    run.say(Side::Server, &adu(1, 3, &hex("02 0001")), usize::MAX);
    run.say(Side::Client, &request, usize::MAX);
    assert!(run.seen.reasons.is_empty(), "one at a time works");
    run.say(Side::Client, &request, usize::MAX);
    assert_eq!(run.seen.reasons, [Reason::PairOpen]);
}
