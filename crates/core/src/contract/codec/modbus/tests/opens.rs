//! What a contract opens must be said in it (K-80), and is what a reviewer reads.

use super::*;

#[test]
fn a_contract_says_what_it_opens() {
    let with = |from: &str, to: &str| {
        assert!(EVERYTHING.contains(from), "{from}");
        load(&EVERYTHING.replacen(from, to, 1)).unwrap_err()
    };
    for (from, to, sentence) in [
        ("fields.unit = { enum = [1] }\n", "", "which units it may reach"),
        ("fields.unit = { enum = [1] }\n", "fields.unit = { int = [0, 255] }\n", "which units"),
        ("match       = [1, 2, 3, 4]\n", "", "which functions it is"),
        ("match       = [1, 2, 3, 4]\n", "match = [3, 131]\n", "which functions it is"),
        ("fields.addr   = { int = [0, 65535] }\n", "", "does not say where"),
        ("fields.values = { each_int = [0, 65535] }\n", "", "which values"),
        ("fields.write_addr = { int = [0, 65535] }\n", "", "does not say where"),
        ("match       = [1, 2, 3, 4]\n", "match = [3, 23]\n", "a write within a read"),
        (
            "match       = [1, 2, 3, 4]\n",
            "match = [3, 8]\nhazard = \"x\"\nfields.addr = { int = [0, 9], optional = true }\n",
            "functions without an address",
        ),
        ("hazard      = \"the maintenance tool asks which firmware runs\"\n", "", "not read"),
        ("codec    = \"modbus\"\n", "codec = \"modbus\"\ntitle = 1\n", "title"),
        ("codec    = \"modbus\"\n", "codec = \"mudbus\"\n", "did you mean `modbus`?"),
        ("codec    = \"modbus\"\n", "codec = { kind = \"modbus\", port = 502 }\n", "port"),
        (
            "codec    = \"modbus\"\n",
            "codec = \"modbus\"\npair = { by = \"order\" }\n",
            "fixes `pair`",
        ),
        ("\n[[client", "\n[client]\nframe = { kind = \"lines\" }\n[[client", "fixes `frame`"),
        ("\n[[client", "\n[client]\ntag = \"/unit\"\n[[client", "the codec's tag is `/fc`"),
        ("\n[[client", "\n[limits]\nmessage = 261\n[[client", "no message over 260 bytes"),
        (
            "\n[[client",
            "\n[reject]\ndenied = { reply = \"exception:7\" }\n[[client",
            "is no answer of Modbus",
        ),
        (
            "\n[[client",
            "\n[reject]\nframe = { reply = \"exception:1\" }\n[[client",
            "answers a request",
        ),
        (
            "fields.addr = { int = [0, 65535] }\n",
            "fields.addr = { int = [0, 65535] }\nfields.values = { each_int = [0, 1] }\n",
            "no field `/values`",
        ),
    ] {
        let told = with(from, to);
        assert!(told.contains(sentence), "{sentence}\n{told}");
    }
}

// A reviewer reads the whole bound of a request, and where a role comes from (P12).
#[test]
fn the_document_shows_ends_of_ranges_and_roles() {
    let document = contract(UNITS).document();
    for says in [
        "`this.addr + this.count <= 200`",
        "| denied | exception 1 | continue | any number of times |",
        "A peer's role is the one UTF8String in extension 1.3.6.1.4.1.50316.802.1 of its certificate",
    ] {
        assert!(document.contains(says), "{says}\n{document}");
    }
    let listed =
        UNITS.replace("missing =", "allow = [\"Viewer\"], issuers = [\"plant\"], missing =");
    let document = contract(&listed).document();
    assert!(document.contains("one of `Viewer`. `plant` may vouch for it."), "{document}");
}
