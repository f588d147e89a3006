"""A notice board whose log-in is a claim and whose news are not for everybody, between two gateways each."""

import socket
import unittest

from world import DEADLINE, ROOT, World

BOARD = ROOT / "examples/board"


class Talk:
    """One connection, a line a message."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        self.lines = self.socket.makefile("r", encoding="utf-8", newline="\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lines.close()
        self.socket.close()

    def ask(self, line):
        self.socket.sendall(line.encode() + b"\n")
        return self.hear()

    def hear(self):
        return self.lines.readline().rstrip("\n")


class Board(unittest.TestCase):
    def setUp(self):
        self.world = self.enterContext(World())
        service = self.world.python_service(BOARD / "board_service.py")
        self.gateway = self.world.gateway(
            "gateway", "board", "--to", f"127.0.0.1:{service}", "--listen", "127.0.0.1:0",
            "--authority-listen", "127.0.0.1:0", "--contract", BOARD / "board.toml", "--policy", BOARD / "board.cedar")

    def talk(self, name, claims=None):
        token = self.world.path / f"{name}.token"
        self.world.run("token", "new", name, "--out", token, "--state", self.gateway.state)
        node = self.world.join(token.read_text().strip(), name)
        talk = self.enterContext(Talk(node.port()))
        self.assertEqual(talk.ask(f"login {claims or name}"), "welcome")
        return talk

    def test_a_claim_is_held_against_the_certificate(self):
        """Section 13, 15.3: another's name opens nothing, and the record says who it was."""
        self.assertEqual(self.talk("kim").ask("follow pay"), "done")
        thief = self.talk("lee", claims="lead")
        self.assertEqual(thief.ask("follow pay"), "not allowed")
        event = self.gateway.event(event="rejected", reason="policy_denied")
        self.assertEqual((event["class"], event["action"], event["resources"]), ("denied", "topic.follow", ["topic/pay"]))
        self.assertTrue(event["peer"].endswith("/lee"), event)

    def test_news_leave_for_who_may_have_them(self):
        """Section 4 step 11: what one peer may not have is left out for it alone."""
        kim, lead = self.talk("kim"), self.talk("lead")
        for one in [kim, lead]:
            self.assertEqual(one.ask("follow pay"), "done")
        for level, text in [(9, "secret"), (3, "pay day")]:
            self.assertEqual(lead.ask(f"pin pay {level} {text}"), f"news pay {level} {text}")
            self.assertEqual(lead.hear(), "done")
        self.assertEqual(kim.hear(), "news pay 3 pay day")
        event = self.gateway.event(event="rejected", **{"class": "server"})
        self.assertEqual((event["reason"], event["action"]), ("policy_denied", "topic.receive"))
        self.assertNotIn("secret", str(event))


if __name__ == "__main__":
    unittest.main()
