"""redis-server behind `contract = "raw"`: through the client half, and directly with redis-cli --tls."""

import subprocess
import unittest

from world import DEADLINE, World, eventually, need


@need("redis-server", "redis-cli")
class Redis(unittest.TestCase):
    def setUp(self):
        self.world = self.enterContext(World())
        self.socket = self.world.path / "redis.sock"
        self.world.start("redis", ["redis-server", "--port", "0", "--unixsocket", self.socket, "--save", "",
                                   "--dir", self.world.path])
        eventually("redis-server listens", self.socket.exists)
        self.gateway = self.world.gateway("gateway", "redis", "--to", f"unix:{self.socket}", "--listen", "127.0.0.1:0",
                                          "--authority-listen", "127.0.0.1:0", "--allow", "app", "--contract", "raw")
        self.node = self.world.join(self.gateway.token("app"), "app")

    def redis_cli(self, *arguments, input=None):
        done = subprocess.run(["redis-cli", *map(str, arguments)], input=input, capture_output=True, text=True,
                              timeout=DEADLINE)
        return done.stdout.strip() + done.stderr.strip()

    def test_redis_cli_through_the_client_half(self):
        """S1a S1e: a plain client, a plain server, TLS between them."""
        port = self.node.port()
        self.assertEqual(self.redis_cli("-p", port, "SET", "fruit", "배"), "OK")
        self.assertEqual(self.redis_cli("-p", port, "--no-raw", "EXISTS", "fruit"), "(integer) 1")
        big = "x" * 3_000_000
        self.assertEqual(self.redis_cli("-p", port, "-x", "SET", "big", input=big), "OK")
        self.assertEqual(len(self.redis_cli("-p", port, "GET", "big")), len(big))

    def test_redis_cli_directly_over_tls(self):
        """S2d T-01: with the certificate that joining gave; without one, refused."""
        chain, key = self.node.credentials("app")
        roots = self.gateway.state / "authority/root.pem"
        tls = ["-p", self.gateway.port(), "--tls", "--cacert", roots]
        self.assertEqual(self.redis_cli(*tls, "--cert", chain, "--key", key, "PING"), "PONG")
        self.assertNotIn("PONG", self.redis_cli(*tls, "PING"))
        self.gateway.event(event="refused", reason="certificate_required")

    def test_it_is_listed_as_uninspected(self):
        """C14: who asks for no inspection sees so wherever the service is listed."""
        self.assertIn("uninspected", self.world.run("status", "--state", self.gateway.state))


if __name__ == "__main__":
    unittest.main()
