"""Fixed columns in EUC-KR: a service that believes what it is told, behind a contract that does not."""

import socket
import unittest

from world import DEADLINE, ROOT, World, eventually, half_close, read_all

TRANSFER = ROOT / "examples/transfer-ko"


def columns(txid=1, account="1234567890", payee="홍길동", won="0000000500000", filler=b" " * 5):
    """A transfer as a bank's program writes it; bytes go into a column as they are."""
    def column(value, width):
        data = value if isinstance(value, bytes) else value.encode("euc-kr")
        assert len(data) <= width
        return data.ljust(width)
    record = b"0200%08d" % txid + column(account, 14) + column(payee, 20) + column(won, 13) + column(filler, 5)
    return b"%04d" % len(record) + record


def say(port, *pieces):
    """Sends these, half-closes, and gives all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        half_close(connection)
        return read_all(connection)


class Transfer(unittest.TestCase):
    def setUp(self):
        self.world = self.enterContext(World())
        self.service = self.world.start("transfer_service", ["python3", TRANSFER / "transfer_service.py", "0"])
        self.upstream = int(self.service.wait_for(r"listening on 127\.0\.0\.1:(\d+)")[1])
        self.gateway = self.world.gateway(
            "gateway", "transfer", "--to", f"127.0.0.1:{self.upstream}", "--listen", "127.0.0.1:0",
            "--authority-listen", "127.0.0.1:0", "--contract", TRANSFER / "transfer-ko.toml", "--allow", "teller")
        self.node = self.world.join(self.gateway.token("teller"), "teller")

    def done(self):
        return [line for line in self.service.output().splitlines() if line.startswith("transfer ")]

    def test_a_transfer_is_accepted_and_answered(self):
        """CON-01 TRAP-01 TRAP-25: at once and byte by byte, by a client that knows nothing of Segwan."""
        frame = columns()
        self.assertEqual(say(self.node.port(), frame), b"00160210000000010000")
        self.assertEqual(say(self.node.port(), *[frame[at:at + 1] for at in range(len(frame))]), b"00160210000000010000")
        self.assertEqual(self.done(), ["transfer 00000001 from 1234567890 to 홍길동: 500000"] * 2)

    def test_what_columns_do_not_hold_is_refused_in_columns(self):
        """TRAP-18 TRAP-25: the service sees nothing of it, and the connection goes on."""
        bad = {
            "the first half of a syllable at a column's end": columns(payee="홍길동".encode("euc-kr").ljust(19) + b"\xc8"),
            "a syllable that EUC-KR does not have": columns(payee="똠".encode("cp949")),
            "full-width digits": columns(account="１２３４５６７"),
            "U+3000 as padding": columns(payee="홍길동　"),
            "a sign": columns(won="-000000500000"),
            "spaces in place of zeros": columns(won="       500000"),
            "nothing": columns(won="0000000000000"),
            "bytes in the filler": columns(filler=b"  \0  "),
        }
        for what, frame in bad.items():
            with self.subTest(what):
                answers = say(self.node.port(), frame, columns(txid=2))
                self.assertEqual(sorted([answers[:20], answers[20:]]), [b"00160210000000019001", b"00160210000000020000"])
        self.assertTrue(all("transfer 00000002 " in line for line in self.done()), self.service.output())
        self.assertEqual(len(self.done()), len(bad))
        def on_record():
            reasons = {event["reason"] for event in self.gateway.audit() if event["event"] == "rejected"}
            return {"charset", "digits", "filler", "range", "regex"} <= reasons
        eventually("each reason is on record", on_record)

    def test_a_length_of_other_digits_ends_the_connection(self):
        """TRAP-08: not one byte of it reaches the service."""
        for frame in [b"+064" + columns()[4:], "００64".encode() + columns()[4:], b"9999"]:
            with self.subTest(frame[:4]):
                self.assertEqual(say(self.node.port(), frame), b"")
        self.assertEqual(self.done(), [])

    def test_without_the_contract_the_service_believes_it(self):
        """The same bytes, said to the service itself, move money the wrong way."""
        say(self.upstream, columns(won="-000000500000"))
        eventually("the service pays a negative amount", lambda: "홍길동: -500000" in self.service.output())


if __name__ == "__main__":
    unittest.main()
