"""The attacks of requirements S1 to S3 on the article's service behind Segwan, with openssl and Python.

Each refusal has its three voices: the event that the operator reads, its one word, and for the peer
almost nothing. After each, a good client is served, and the service has seen no connection of it.
"""

import contextlib
import json
import re
import socket
import ssl
import time
import unittest

from certificates import authority, issuing, leaf
from world import DEADLINE, ROOT, World, eventually, lines, need, read_all

ARTICLE = ROOT / "examples/article"
# Words of the inside that no peer may read.
INSIDE = re.compile(rb"policy|contract|grammar|reason|panicked|src/|spiffe|segwan|Traceback|limit of", re.I)


@need("openssl")
class Attacks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = cls.enterClassContext(World())
        service = cls.world.python_service(ARTICLE / "number_service.py")
        cls.gateway = cls.world.gateway(
            "gateway", "calculator", "--to", f"127.0.0.1:{service}", "--listen", "127.0.0.1:0",
            "--authority-listen", "127.0.0.1:0", "--contract", ARTICLE / "add-ten.toml", "--allow", "app")
        cls.node = cls.world.join(cls.gateway.token("app"), "app")
        cls.good = cls.node.credentials("app")
        cls.roots = cls.gateway.state / "authority/root.pem"
        cls.pki = cls.world.path / "pki"

    def tearDown(self):
        """Alive: a well-behaved client is served within a second; while the machine is busy with others, the next."""
        def served_at_once():
            began = time.monotonic()
            self.assertEqual(lines(self.node.port(), "5"), b"15\n")
            return time.monotonic() - began < 1
        eventually("a client is served within a second", served_at_once)

    def tls(self, credentials, maximum=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.roots)
        context.check_hostname = False
        if credentials:
            context.load_cert_chain(*credentials)
        raw = socket.create_connection(("127.0.0.1", self.gateway.port()), timeout=DEADLINE)
        return context.wrap_socket(raw)

    def refused(self, credentials, reason):
        """Connects with these credentials: one alert, no byte; gives the operator's event."""
        seen = len(self.gateway.audit())
        with self.assertRaises(ssl.SSLError) as caught:
            with self.tls(credentials) as connection:
                connection.sendall(b"5\n")
                self.assertEqual(connection.recv(100), b"", "a byte came through")
                raise ssl.SSLError("closed without an alert")
        alert = "CERTIFICATE_REQUIRED" if reason == "certificate_required" else "ACCESS_DENIED"
        self.assertIn(alert, str(caught.exception).upper().replace(" ", "_"))
        event = self.gateway.event(after=seen, event="refused", reason=reason)
        self.assertTrue(event["sentence"])
        return event

    def spoken(self, *bytes_sent):
        """Says bytes as `app` over TLS; gives all that comes back, to the end or before the answer to a last number."""
        with self.tls(self.good) as connection:
            for piece in bytes_sent:
                connection.sendall(piece)
            last, answer = b"999\n", bytearray()
            with contextlib.suppress(OSError):
                connection.sendall(b"989\n")
            with contextlib.suppress(ConnectionError):
                while not answer.endswith(last) and (chunk := connection.recv(65536)):
                    answer += chunk
        answer = bytes(answer).removesuffix(last)
        self.assertNotRegex(answer, INSIDE)
        return answer

    def test_no_certificate(self):
        """S2d ADV-07: mutual on every listener."""
        self.refused(None, "certificate_required")

    def test_wrong_ca(self):
        """S1b ADV-07: same name, another authority."""
        rogue = authority(self.pki / "rogue")
        event = self.refused(leaf(self.pki, "app", rogue, ["URI:spiffe://segwan.internal/app"]), "unknown_issuer")
        self.assertIn("spiffe://segwan.internal/app", json.dumps(event))
        self.assertIs(event.get("verified"), False)

    def test_wrong_name(self):
        """S1b S2e: a certificate of the right authority for somebody who may not connect."""
        token = self.world.path / "mail.token"
        self.world.run("token", "new", "mail", "--out", token, "--state", self.gateway.state)
        mail = self.world.join(token.read_text().strip(), "mail")
        with self.tls(mail.credentials("mail")) as connection:
            connection.sendall(b"5\n")
            self.assertEqual(read_all(connection), b"")
        event = self.gateway.event(event="refused", reason="policy_denied")
        self.assertEqual(event["peer"], "spiffe://segwan.internal/mail")

    def test_another_trust_domain(self):
        """T-13 PKI-13: signed by our own issuing key, but not a name of ours."""
        self.refused(leaf(self.pki, "foreign", issuing(self.gateway.state), ["URI:spiffe://other.example/app"]),
                     "wrong_trust_domain")

    def test_two_names_or_none(self):
        """S2c PKI-13: exactly one identity, never the common name."""
        ours = issuing(self.gateway.state)
        two = ["URI:spiffe://segwan.internal/app", "URI:spiffe://segwan.internal/admin"]
        self.refused(leaf(self.pki, "two", ours, two), "identity_invalid")
        self.refused(leaf(self.pki, "app", ours, ["DNS:segwan.internal"]), "identity_invalid")

    def test_expired_certificate(self):
        """S1b S2f ADV-07."""
        ours = issuing(self.gateway.state)
        expired = leaf(self.pki / "expired", "app", ours, ["URI:spiffe://segwan.internal/app"], ended=True)
        self.refused(expired, "certificate_expired")

    def test_server_certificate_used_as_client(self):
        """S2b PKI-16: the service's own certificate does not open its door."""
        self.refused(self.gateway.credentials("calculator"), "wrong_usage")
        no_usage = leaf(self.pki, "none", issuing(self.gateway.state), ["URI:spiffe://segwan.internal/app"], eku=None)
        self.refused(no_usage, "wrong_usage")

    def test_plaintext_on_the_tls_port(self):
        """S1a S1c ADV-03: plain words, HTTP, nothing sensible."""
        for said in (b"5\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 600, b"\x16\x03\x01\xff\xff" + b"A" * 600):
            with self.subTest(said[:8]), socket.create_connection(("127.0.0.1", self.gateway.port()), DEADLINE) as raw:
                raw.sendall(said)
                self.assertNotIn(b"15", read_all(raw))
        self.gateway.event(event="refused", reason="tls_error")

    def test_stalled_handshake(self):
        """F5 ADV-02: silent, or half a ClientHello, is closed at ten seconds; others are served meanwhile."""
        began = time.monotonic()
        silent = socket.create_connection(("127.0.0.1", self.gateway.port()), DEADLINE)
        half = socket.create_connection(("127.0.0.1", self.gateway.port()), DEADLINE)
        half.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
        self.assertEqual(lines(self.node.port(), "7"), b"17\n")
        self.assertEqual((read_all(silent), read_all(half)), (b"", b""))
        self.assertGreater(time.monotonic() - began, 9.9)
        event = self.gateway.event(event="refused", reason="handshake_timeout")
        self.assertIn("10 s", event["sentence"])

    def test_truncated_stream(self):
        """S1d F9 ADV-30: an end without close_notify inside a message is no message."""
        connection = self.tls(self.good)
        connection.sendall(b"5")
        raw = connection.detach()
        socket.socket(fileno=raw).close()
        self.gateway.event(event="closed", reason="truncated_stream")

    def test_split_and_joined_messages(self):
        """S1e S3c TRAP-01: the same verdicts byte by byte and coalesced."""
        said = "5\nfive\n-7\n007\n12\n".encode()
        expected = b"15\nInvalid data\n3\nInvalid data\n22\n"
        self.assertEqual(self.spoken(said), expected)
        self.assertEqual(self.spoken(*(said[at:at + 1] for at in range(len(said)))), expected)

    def test_digits_that_are_no_number_here(self):
        """S3d S3e TRAP-18: other scripts, signs, zeros, 4,301 digits, a broken byte, NUL, nothing."""
        for bad in ("²", "٣", "５", "½", "一", "Ⅷ", "+5", "007", "-0", "5_0", " 5", "1e3", ""):
            with self.subTest(bad):
                self.assertEqual(self.spoken(bad.encode() + b"\n"), b"Invalid data\n")
        for bad in (b"\xff\n", b"5\0\n"):
            with self.subTest(bad):
                self.assertEqual(self.spoken(bad), b"Invalid data\n")
        self.assertEqual(self.spoken(b"1" * 4301 + b"\n"), b"")
        event = self.gateway.event(event="rejected", reason="frame_too_large")
        self.assertIn("16", event["sentence"])

    def test_a_service_that_breaks_its_contract(self):
        """S3a TRAP-16: a stack trace does not leave the house, and the end is no clean one."""
        leaking = self.world.path / "leaking.py"
        leaking.write_text(
            "import socketserver\n"
            "class Leak(socketserver.StreamRequestHandler):\n"
            "    def handle(self):\n"
            "        self.rfile.readline()\n"
            "        self.wfile.write(b'Traceback (most recent call last):\\n  File secret.py\\n')\n"
            "with socketserver.ThreadingTCPServer(('127.0.0.1', 0), Leak) as s:\n"
            "    print(f'listening on 127.0.0.1:{s.server_address[1]}', flush=True)\n"
            "    s.serve_forever()\n")
        port = self.world.python_service(leaking)
        gateway = self.world.gateway(
            "leaking", "leak", "--to", f"127.0.0.1:{port}", "--listen", "127.0.0.1:0",
            "--authority-listen", "127.0.0.1:0", "--contract", ARTICLE / "add-ten.toml", "--allow", "app")
        node = self.world.join(gateway.token("app"), "app", state="leaking-node")
        self.assertEqual(lines(node.port(), "5"), b"")
        event = gateway.event(event="rejected", **{"class": "server"})
        self.assertEqual(event["direction"], "server")

    def test_a_length_header_of_two_gigabytes(self):
        """S3e TRAP-08 TRAP-15 ADV-22: refused on its header alone."""
        contract = self.world.path / "blob.toml"
        contract.write_text(
            'contract = "blob/1"\npair = { by = "none" }\n[client]\nframe = { kind = "length", type = "u32be" }\n'
            'decode = { kind = "bytes" }\n[[client.message]]\nname = "blob"\naction = "send"\nexpects = "none"\n'
            'fields.data = { bytes = [0, 1000] }\n'
            '[server]\nframe = { kind = "length", type = "u32be" }\ndecode = { kind = "bytes" }\n'
            '[[server.message]]\nname = "note"\npushes = true\nfields.data = { bytes = [0, 10] }\n'
            '[[test]]\nclient = ["hex: 00000001 41"]\nexpect = "forward"\n'
            '[[test]]\nclient = ["hex: 7fffffff"]\nexpect = "frame"\nreason = "frame_too_large"\n'
            '[[test]]\nserver = ["hex: 00000001 41"]\nexpect = "forward"\n')
        sink = self.world.path / "sink.py"
        sink.write_text(
            "import socketserver\n"
            "class Sink(socketserver.StreamRequestHandler):\n"
            "    def handle(self):\n"
            "        while data := self.request.recv(65536): print('got', len(data), flush=True)\n"
            "with socketserver.ThreadingTCPServer(('127.0.0.1', 0), Sink) as s:\n"
            "    print(f'listening on 127.0.0.1:{s.server_address[1]}', flush=True)\n"
            "    s.serve_forever()\n")
        port = self.world.python_service(sink)
        gateway = self.world.gateway(
            "blob", "blob", "--to", f"127.0.0.1:{port}", "--listen", "127.0.0.1:0",
            "--authority-listen", "127.0.0.1:0", "--contract", contract, "--allow", "app")
        node = self.world.join(gateway.token("app"), "app", state="blob-node")
        with socket.create_connection(("127.0.0.1", node.port()), DEADLINE) as connection:
            connection.sendall(b"\x7f\xff\xff\xff" + b"A" * 5000)
            self.assertEqual(read_all(connection), b"")
        event = gateway.event(event="rejected", reason="frame_too_large")
        self.assertIn("2147483", event["sentence"])
        self.assertNotIn("got", "".join(program.output() for program in self.world.programs if "sink" in program.name))


if __name__ == "__main__":
    unittest.main()
