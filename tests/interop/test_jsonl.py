"""A JSON-lines service with a contract and a policy in which two identities may do different things."""

import json
import socket
import unittest

from world import DEADLINE, ROOT, World, lines

JSONL = ROOT / "examples/jsonl"


class Inventory(unittest.TestCase):
    def setUp(self):
        self.world = self.enterContext(World())
        service = self.world.python_service(JSONL / "inventory_service.py")
        self.gateway = self.world.gateway(
            "gateway", "inventory", "--to", f"127.0.0.1:{service}", "--listen", "127.0.0.1:0",
            "--authority-listen", "127.0.0.1:0", "--contract", JSONL / "inventory.toml",
            "--policy", JSONL / "inventory.cedar")

    def node(self, name):
        token = self.world.path / f"{name}.token"
        self.world.run("token", "new", name, "--out", token, "--state", self.gateway.state)
        return self.world.join(token.read_text().strip(), name)

    def ask(self, node, *requests):
        return [json.loads(line) for line in lines(node.port(), *requests).splitlines()]

    def test_two_identities_may_do_different_actions(self):
        """S2e SCP-AC-9 CON-20: decided by action, resource and a field of the message."""
        clerk, display = self.node("clerk"), self.node("display")
        self.assertEqual(self.ask(clerk, '{"id":1,"op":"put","part":"bolt-m4","count":30}'),
                         [{"id": 1, "ok": True, "count": 30}])
        self.assertEqual(self.ask(display, '{"id":1,"op":"get","part":"bolt-m4"}', '{"id":2,"op":"list"}'),
                         [{"id": 1, "ok": True, "count": 30}, {"id": 2, "ok": True, "parts": ["bolt-m4", "nut-m4"]}])
        refused = {"id": 3, "ok": False, "error": "not allowed"}
        self.assertEqual(self.ask(display, '{"id":3,"op":"put","part":"bolt-m4","count":31}'), [refused])
        self.assertEqual(self.ask(clerk, '{"id":3,"op":"put","part":"bolt-m4","count":1001}'), [refused])
        event = self.gateway.event(event="rejected", peer="spiffe://segwan.internal/display")
        self.assertEqual((event["reason"], event["action"], event["resources"]),
                         ("policy_denied", "part.write", ["part/bolt-m4"]))

    def test_what_two_parsers_read_differently_reaches_neither(self):
        """TRAP-02 TRAP-03 TRAP-04 S3b: duplicate keys, big integers, lone surrogates, trailing bytes."""
        clerk = self.node("clerk")
        for bad in ['{"id":1,"op":"get","part":"bolt-m4","part":"nut-m4"}',
                    '{"id":1,"op":"get","p\\u0061rt":"x","part":"bolt-m4"}',
                    '{"id":123456789012345678901234567890,"op":"list"}',
                    '{"id":1,"op":"get","part":"\\ud800"}',
                    '{"id":1,"op":"list"} {"id":2,"op":"list"}',
                    '\ufeff{"id":1,"op":"list"}',
                    '{"id":-0,"op":"list"}',
                    '[' * 100 + ']' * 100]:
            with self.subTest(bad):
                [answer] = self.ask(clerk, bad)
                self.assertEqual(answer["error"], "invalid")
        self.assertEqual(self.ask(clerk, '{"id":7,"op":"debug"}'), [{"id": 7, "ok": False, "error": "no such operation"}])

    def test_requests_are_answered_by_key_in_a_pipeline(self):
        """S1e TRAP-01: byte by byte or at once, each answer belongs to its request."""
        clerk = self.node("clerk")
        stream = b"".join(b'{"id":%d,"op":"get","part":"nut-m4"}\n' % number for number in range(1, 40))
        with socket.create_connection(("127.0.0.1", clerk.port()), timeout=DEADLINE) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for at in range(0, 200):
                connection.sendall(stream[at:at + 1])
            connection.sendall(stream[200:])
            answers = connection.makefile("rb")
            got = [json.loads(answers.readline()) for _ in range(1, 40)]
        self.assertEqual(sorted(answer["id"] for answer in got), list(range(1, 40)))
        self.assertEqual({answer["count"] for answer in got}, {40})


class Tried(unittest.TestCase):
    """The same contract in shadow mode: the service answers everything, and the record says what it would not have."""

    def test_a_bad_message_is_answered_and_is_on_record(self):
        """Section 20, TRAP-24: class, reason and sample in the audit log; counted apart in the metrics."""
        world = self.enterContext(World())
        service = world.python_service(JSONL / "inventory_service.py")
        tried = world.path / "tried.toml"
        tried.write_text('mode = "shadow"\n' + (JSONL / "inventory.toml").read_text())
        gateway = world.gateway(
            "gateway", "inventory", "--to", f"127.0.0.1:{service}", "--listen", "127.0.0.1:0",
            "--authority-listen", "127.0.0.1:0", "--contract", tried, "--policy", JSONL / "inventory.cedar")
        self.assertIn("contract inventory/1 (shadow, not enforced)", gateway.program.output())
        token = world.path / "display.token"
        world.run("token", "new", "display", "--out", token, "--state", gateway.state)
        node = world.join(token.read_text().strip(), "display")
        answers = lines(node.port(), '{"id":1,"op":"put","part":"bolt-m4","count":-1}',
                        '{"id":2,"op":"put","part":"bolt-m4","count":3}', '{"id":3,"op":"debug"}', '{"id":4,"op":"list"}')
        answers = [json.loads(line) for line in answers.splitlines()]
        self.assertEqual([answer["id"] for answer in answers], [1, 2, 3, 4])
        self.assertEqual(answers[0], {"id": 1, "ok": True, "count": -1})
        self.assertIn("environment", answers[2])
        told = [gateway.event(event="would_reject", frame=frame) for frame in (1, 2, 3)]
        self.assertEqual([(event["class"], event["reason"]) for event in told],
                         [("invalid", "range"), ("denied", "policy_denied"), ("undeclared", "undeclared")])
        self.assertEqual(told[0]["peer"], "spiffe://segwan.internal/display")
        closed = gateway.event(event="closed")
        self.assertEqual((closed["reason"], closed["totals"]["refused"]), ("closed", 0))
        self.assertEqual(len([event for event in gateway.audit() if event["event"] in ("would_reject", "rejected")]), 3)
        self.assertIn("inventory/1 (shadow, not enforced)", world.run("status", "--state", gateway.state))


if __name__ == "__main__":
    unittest.main()
