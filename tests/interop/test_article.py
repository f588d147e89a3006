"""The article's service, unchanged, behind Segwan; its client, unchanged, before the other half."""

import subprocess
import time
import unittest

from world import DEADLINE, ROOT, World, free_ports, lines

ARTICLE = ROOT / "examples/article"


class Article(unittest.TestCase):
    def setUp(self):
        self.world = self.enterContext(World())
        self.service = self.world.python_service(ARTICLE / "number_service.py")

    def serve(self, *arguments, ports=(0, 0)):
        return self.world.gateway("gateway", "calculator", "--to", f"127.0.0.1:{self.service}",
                                  "--listen", f"127.0.0.1:{ports[0]}", "--authority-listen", f"127.0.0.1:{ports[1]}",
                                  "--contract", ARTICLE / "add-ten.toml", *arguments)

    def test_two_commands_make_the_plain_service_safe(self):
        """S1a S4 PKI-01: no configuration file, no openssl; `15` to `5`."""
        gateway = self.serve("--allow", "app")
        began = time.monotonic()
        node = self.world.join(gateway.token("app"), "app")
        self.assertEqual(lines(node.port(), "5"), b"15\n")
        print(f"first answer {time.monotonic() - began:.2f} s after the second command")
        done = subprocess.run(["python3", ARTICLE / "number_client.py", f"127.0.0.1:{node.port()}", "5", "-7"],
                              capture_output=True, text=True, timeout=DEADLINE)
        self.assertEqual(done.stdout, "15\n3\n", done.stderr)
        closed = gateway.event(event="closed", service="calculator", peer="spiffe://segwan.internal/app")
        self.assertEqual(closed["reason"], "closed")

    def test_refusals_keep_their_place_in_a_pipeline(self):
        """S3d S3e TRAP-09: half of a thousand messages refused, all answered in order."""
        gateway = self.serve("--allow", "app")
        node = self.world.join(gateway.token("app"), "app")
        self.assertEqual(lines(node.port(), "5", "five", "6"), b"15\nInvalid data\n16\n")
        rejected = gateway.event(event="rejected", reason="grammar")
        self.assertIn("five", rejected["sentence"])

    def test_an_identity_without_the_right_is_refused_its_action(self):
        """S2e ADV-29: connected, yet not allowed to add; the service sees nothing of it."""
        policy = self.world.path / "calculator.cedar"
        policy.write_text('@id("app-adds") permit (principal == Peer::"spiffe://segwan.internal/app", '
                          'action in [Action::"connect", Action::"add"], resource == Service::"calculator");\n'
                          '@id("guest-connects") permit (principal == Peer::"spiffe://segwan.internal/guest", '
                          'action == Action::"connect", resource == Service::"calculator");\n')
        gateway = self.serve("--policy", policy)
        token = self.world.path / "guest.token"
        self.world.run("token", "new", "guest", "--out", token, "--state", gateway.state)
        guest = self.world.join(token.read_text().strip(), "guest")
        self.assertEqual(lines(guest.port(), "5"), b"Not allowed\n")
        rejected = gateway.event(event="rejected", reason="policy_denied")
        self.assertEqual((rejected["peer"], rejected["action"]), ("spiffe://segwan.internal/guest", "add"))

    def test_both_halves_come_back_with_their_state(self):
        """PKI-21 H9: killed and started again, without a new token."""
        ports = free_ports(2)
        gateway = self.serve("--allow", "app", ports=ports)
        node = self.world.join(gateway.token("app"), "app")
        self.assertEqual(lines(node.port(), "1"), b"11\n")
        gateway.program.process.kill()
        gateway.program.process.wait(DEADLINE)
        node.program.stop()
        again = self.serve("--allow", "app", ports=ports)
        from world import SEGWAN, Running
        node = Running(self.world, "app-node", self.world.start("join", [
            SEGWAN, "join", "--as", "app", "--listen", "127.0.0.1:0", "--state", node.state]))
        self.assertEqual(lines(node.port(), "2"), b"12\n")
        self.assertEqual(again.program.stop(), 0)
        self.assertEqual(node.program.stop(), 0)


if __name__ == "__main__":
    unittest.main()
