"""Direct TLS clients, without Segwan on their side: openssl s_client and Python's ssl."""

import socket
import ssl
import subprocess
import unittest

from world import DEADLINE, ROOT, World, lines, need, read_all

ARTICLE = ROOT / "examples/article"


class Direct(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = cls.enterClassContext(World())
        service = cls.world.python_service(ARTICLE / "number_service.py")
        cls.gateway = cls.world.gateway(
            "gateway", "calculator", "--to", f"127.0.0.1:{service}", "--listen", "127.0.0.1:0",
            "--authority-listen", "127.0.0.1:0", "--contract", ARTICLE / "add-ten.toml", "--allow", "app")
        node = cls.world.join(cls.gateway.token("app"), "app")
        cls.chain, cls.key = node.credentials("app")
        cls.roots = cls.gateway.state / "authority/root.pem"

    def context(self):
        """What a careful Python client does: the private root only, its own certificate, 1.3."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.roots)
        context.load_cert_chain(self.chain, self.key)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False  # the identity is a URI, compared below
        return context

    def connect(self):
        raw = socket.create_connection(("127.0.0.1", self.gateway.port()), timeout=DEADLINE)
        connection = self.context().wrap_socket(raw)
        names = connection.getpeercert()["subjectAltName"]
        self.assertEqual(names, (("URI", "spiffe://segwan.internal/calculator"),))
        return connection

    def test_python_ssl_is_answered(self):
        """S1b S2c PKI-14: verified by OpenSSL's own rules, the identity compared by hand."""
        with self.connect() as connection:
            connection.sendall(b"5\n")
            self.assertEqual(connection.recv(100), b"15\n")
            self.assertEqual(connection.version(), "TLSv1.3")

    def test_python_ssl_sees_an_orderly_end(self):
        """S1d T-10: close_notify, so the client knows that all arrived."""
        with self.connect() as connection:
            connection.sendall(b"a\nb\nc\nd\n")
            self.assertEqual(read_all(connection), b"Invalid data\n" * 4)  # no ssl.SSLEOFError

    @need("openssl")
    def test_openssl_s_client_is_answered(self):
        """S1b F3: and no ticket is given that could be resumed."""
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{self.gateway.port()}", "-CAfile", self.roots,
             "-cert", self.chain, "-cert_chain", self.chain, "-key", self.key, "-verify_return_error", "-ign_eof",
             "-tls1_3"],
            input="5\nfive\nx\ny\nz\n", capture_output=True, text=True, timeout=DEADLINE)
        self.assertIn("Verify return code: 0 (ok)", done.stdout)
        self.assertIn("\n15\nInvalid data\n", done.stdout)
        self.assertIn("TLSv1.3", done.stdout)
        self.assertNotIn("Post-Handshake New Session Ticket", done.stdout)

    @need("openssl")
    def test_older_versions_are_not_spoken(self):
        """T-01 S1c: TLS 1.2 is refused unless the operator asked for it."""
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{self.gateway.port()}", "-CAfile", self.roots,
             "-cert", self.chain, "-key", self.key, "-tls1_2"],
            input="", capture_output=True, text=True, timeout=DEADLINE)
        self.assertIn("alert protocol version", done.stderr)
        self.gateway.event(event="refused", reason="tls_version")


if __name__ == "__main__":
    unittest.main()
