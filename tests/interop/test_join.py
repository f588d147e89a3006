"""What `segwan join` does with one, no and several services, and with another one at the address."""

import select
import socket
import unittest

from world import ROOT, SEGWAN, Running, World, lines

ARTICLE = ROOT / "examples/article"


class Join(unittest.TestCase):
    def test_a_client_knows_its_service_or_hears_what_is_missing(self):
        """PKI-67: one is taken, of several one is asked for, none is said; another identity gets no byte."""
        world = self.enterContext(World())
        service = world.python_service(ARTICLE / "number_service.py")
        other = self.enterContext(socket.create_server(("127.0.0.1", 0)))
        table = '[service.{}]\nlisten = "127.0.0.1:0"\nupstream = "127.0.0.1:{}"\ncontract = "raw"\nallow = ["one"]\n'
        (world.path / "two.toml").write_text(
            '[authority]\nlisten = "127.0.0.1:0"\n' + table.format("alpha", service)
            + table.format("beta", other.getsockname()[1]))
        program = world.start("serve", [SEGWAN, "serve", "--config", world.path / "two.toml",
                                        "--state", world.path / "two"])
        gateway = Running(world, "two", program)

        def token(name, *arguments):
            world.run("token", "new", name, *arguments, "--out", f"{name}.token", "--state", gateway.state)
            return (world.path / f"{name}.token").read_text().strip()

        one = token("one", "--service", "alpha")
        node = world.join(one, "one")
        self.assertEqual(lines(node.port(), "5"), b"15\n")
        node.program.stop()

        listen = ["--listen", "127.0.0.1:0"]
        said = world.run("join", token("many"), "--as", "many", *listen, "--state", "many-node", code=2)
        self.assertIn("this identity is meant for several services: `alpha`, `beta`", said)
        said = world.run("join", token("gate", "--profile", "service"), "--as", "gate", *listen,
                         "--state", "gate-node", code=2)
        self.assertIn("the Authority names no service that this identity is meant for", said)

        # Beta listens where alpha is expected.
        program = world.start("join-wrong", [SEGWAN, "join", "--as", "one", *listen, "--state", world.path / "one-node",
                                             "--connect", f"127.0.0.1:{gateway.port('beta')}"])
        node = Running(world, "one-node", program)
        self.assertEqual(lines(node.port(), "5"), b"")
        node.event(event="refused", reason="peer_name_mismatch")
        self.assertFalse(select.select([other], [], [], 0.2)[0], "the service of another name was reached")


if __name__ == "__main__":
    unittest.main()
