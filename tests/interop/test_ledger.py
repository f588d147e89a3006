"""A JSON-RPC ledger whose contract has states, rules, secrets and a quota, between two gateways."""

import json
import shutil
import signal
import socket
import unittest

from world import DEADLINE, ROOT, World, eventually, free_ports

LEDGER = ROOT / "examples/ledger"
PIN = "870612"


class Talk:
    """One connection, a line a message."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        self.lines = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lines.close()
        self.socket.close()

    def say(self, id, method, **params):
        request = {"jsonrpc": "2.0", "id": id, "method": method, "params": params}
        self.socket.sendall(json.dumps(request).encode() + b"\n")

    def ask(self, id, method, **params):
        self.say(id, method, **params)
        line = self.lines.readline()
        return json.loads(line) if line else None

    def transfer(self, id, won=1000, **more):
        account = {"from": "1234567890", "to": "1234567899"}
        return self.ask(id, "account.transfer", **{**account, "won": won, **more})


class Ledger(unittest.TestCase):
    def setUp(self):
        self.world = self.enterContext(World())
        self.service = self.world.python_service(LEDGER / "ledger_service.py")
        self.listen = free_ports(1)[0]
        self.gateway = self.serve()
        token = self.world.path / "teller.token"
        self.world.run("token", "new", "teller", "--out", token, "--state", self.gateway.state)
        self.node = self.world.join(token.read_text().strip(), "teller")

    def serve(self, contract=LEDGER / "ledger.toml"):
        return self.world.gateway(
            "gateway", "ledger", "--to", f"127.0.0.1:{self.service}", "--listen", f"127.0.0.1:{self.listen}",
            "--authority-listen", "127.0.0.1:0", "--contract", contract,
            "--policy", LEDGER / "ledger.cedar")

    def talk(self, greeted=True):
        talk = self.enterContext(Talk(self.node.port()))
        if greeted:
            self.assertEqual(talk.ask(1, "hello", version="2"), {"jsonrpc": "2.0", "id": 1, "result": {"version": "2"}})
        return talk

    def test_the_greeting_comes_first(self):
        """CON-16 section 13: a transfer before it closes the connection and is an alarm."""
        with self.talk(greeted=False) as early:
            self.assertIsNone(early.transfer(1))
        event = self.gateway.event(event="rejected", reason="state")
        self.assertEqual((event["class"], event["message"], event.get("alarm")), ("state", "transfer", True))
        talk = self.talk()
        self.assertRegex(talk.transfer(2)["result"]["receipt"], "^[A-Z0-9]{12}$")
        self.assertIsNone(talk.transfer(2))
        self.gateway.event(event="rejected", reason="pair_reuse")

    def test_what_a_transfer_may_not_be(self):
        """CON-15 TRAP-16: rules across fields, undeclared methods, answers with more than they may hold."""
        talk = self.talk()
        self.assertEqual(talk.transfer(2, to="1234567890")["error"], {"code": -32602, "message": "invalid"})
        self.assertEqual(talk.ask(3, "account.close")["error"], {"code": -32601, "message": "no such method"})
        self.assertEqual(talk.transfer(4, **{"from": "9000000000"})["error"], {"code": -32001, "message": "not allowed"})
        leak = talk.transfer(5, memo="crash")
        self.assertEqual(leak, {"jsonrpc": "2.0", "id": 5, "error": {"code": -32603, "message": "internal error"}})
        self.gateway.event(event="rejected", **{"class": "server"})

    def test_a_pin_is_in_no_log(self):
        """TRAP-20: let through, refused by its schema, by the decoder, by the policy: never written down."""
        talk = self.talk()
        self.assertIn("result", talk.transfer(2, pin=PIN))
        self.assertEqual(talk.transfer(3, pin=PIN + "7")["error"]["message"], "invalid")
        self.assertEqual(talk.transfer(4, pin=int(PIN))["error"]["message"], "invalid")
        self.assertEqual(talk.transfer(5, pin=PIN, **{"from": "9000000000"})["error"]["message"], "not allowed")
        talk.socket.sendall(b'{"jsonrpc":"2.0","id":6,"pin":%s.5}\n' % PIN.encode())
        self.assertEqual(json.loads(talk.lines.readline())["error"]["message"], "invalid")
        eventually("four refusals are on record",
                   lambda: len([e for e in self.gateway.audit() if e["event"] == "rejected"]) == 4)
        for running in [self.gateway, self.node]:
            for log in [running.state / "audit/audit.jsonl", running.program.log]:
                if log.exists():
                    self.assertNotIn(PIN, log.read_text(errors="replace"), log)

    def test_two_hundred_million_won_a_day(self):
        """CON-25 TRAP-27: one count for all connections of an identity."""
        first, second = self.talk(), self.talk()
        for id, talk in enumerate([first, second, first, second], start=2):
            self.assertIn("result", talk.transfer(id, won=50_000_000))
        for talk in [first, second]:
            self.assertEqual(talk.transfer(9, won=1)["error"], {"code": -32002, "message": "limit reached"})
        event = self.gateway.event(event="rejected", reason="quota")
        self.assertEqual((event["class"], event["action"], event["resources"]),
                         ("limit", "account.transfer", ["account/1234567890"]))

    def test_a_kill_forgets_nothing_of_a_quota_that_persists(self):
        """CON-25: SIGKILL between and amid transfers; no day exceeds its most, and a changed journal is no start."""
        text = (LEDGER / "ledger.toml").read_text()
        kept = shutil.copytree(LEDGER, self.world.path / "kept") / "ledger.toml"
        kept.write_text(text.replace('window = "24h" }', 'window = "24h", persist = true }'))
        self.assertNotEqual(kept.read_text(), text)
        self.assertEqual(self.gateway.program.stop(), 0)
        asked = answered = 0
        for _ in range(4):
            self.gateway = self.serve(contract=kept)
            talk = self.talk()
            for id in range(2, 5):
                self.assertIn("result", talk.transfer(id, won=15_000_000))
                asked, answered = asked + 15_000_000, answered + 15_000_000
            # Nobody waits for this answer: the kill may be before its booking or behind it.
            talk.say(9, "account.transfer", **{"from": "1234567890", "to": "1234567899", "won": 1})
            asked += 1
            self.assertEqual(self.gateway.program.stop(signal.SIGKILL), -signal.SIGKILL)
        self.gateway = self.serve(contract=kept)
        talk = self.talk()
        self.assertIn("result", talk.transfer(2, won=200_000_000 - asked))
        self.assertEqual(talk.transfer(3, won=asked - answered + 1)["error"]["message"], "limit reached")
        self.assertEqual(self.gateway.program.stop(signal.SIGKILL), -signal.SIGKILL)

        journal = self.gateway.state / "quota/ledger.journal"
        lines = journal.read_bytes().splitlines(keepends=True)
        self.assertGreater(len(lines), 2)
        journal.write_bytes(lines[0] + lines[1].replace(b" transfer ", b" transfar ") + b"".join(lines[2:]))
        said = self.world.run("serve", *self.gateway.program.command[2:], code=2)
        self.assertIn("line 2 was changed", said)
        self.assertIn("restore the file", said)
        journal.write_bytes(b"".join(lines) + lines[-1][:-9])
        self.gateway = self.serve(contract=kept)
        self.assertEqual(self.talk().transfer(2, won=5)["error"]["message"], "limit reached")


if __name__ == "__main__":
    unittest.main()
