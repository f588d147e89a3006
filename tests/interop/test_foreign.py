"""Certificates of another CA, made with openssl, beside the Authority's own (`[[trust.foreign]]`)."""

import os
import socket
import ssl
import unittest

from certificates import authority, leaf, openssl
from world import DEADLINE, ROOT, SEGWAN, Running, World, eventually, need, read_all

ARTICLE = ROOT / "examples/article"
PRESS = "spiffe://segwan.internal/foreign/plant/press-7"
CONFIG = """
[authority]
listen = "127.0.0.1:0"

[[trust.foreign]]
name  = "plant"
roots = "plant/ca.pem"
crls  = "plant/list.pem"
map   = [{{ from = "dns_san", match = "*.plant.example", identity = "foreign/plant/{{1}}" }}]

[service.calculator]
listen   = "127.0.0.1:0"
upstream = "127.0.0.1:{port}"
contract = "{contract}"
allow    = ["app", "foreign/plant/press-7"]
audit_messages = "all"
"""


@need("openssl")
class Foreign(unittest.TestCase):
    """PKI-72 PKI-71: a device of the plant has the name that a rule gives it, until the plant revokes it."""

    def setUp(self):
        self.world = self.enterContext(World())
        self.plant = self.world.path / "plant"
        self.ca = authority(self.plant, "Plant CA")
        (self.plant / "index.txt").write_text("")
        (self.plant / "crlnumber").write_text("01\n")
        (self.plant / "ca.cnf").write_text(
            f"[ca]\ndefault_ca=d\n[d]\ndatabase={self.plant}/index.txt\ncrlnumber={self.plant}/crlnumber\n"
            "default_md=sha256\ndefault_crl_days=7\ncrl_extensions=e\n[e]\nauthorityKeyIdentifier=keyid\n")
        self.publish()
        service = self.world.python_service(ARTICLE / "number_service.py")
        config = self.world.path / "segwan.toml"
        config.write_text(CONFIG.format(port=service, contract=ARTICLE / "add-ten.toml"))
        self.world.run("check", "--config", config)
        program = self.world.start("serve", [SEGWAN, "serve", "--config", config, "--state", self.world.path / "state"])
        self.gateway = Running(self.world, "state", program)

    def publish(self):
        """What the plant has revoked so far, put in place by one rename."""
        new = self.plant / "next.pem"
        openssl("ca", "-gencrl", "-config", self.plant / "ca.cnf", "-cert", self.ca[0], "-keyfile", self.ca[1], "-out", new)
        os.replace(new, self.plant / "list.pem")

    def connect(self, shown):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.gateway.state / "authority/root.pem")
        context.load_cert_chain(*shown)
        context.check_hostname = False
        return context.wrap_socket(socket.create_connection(("127.0.0.1", self.gateway.port()), timeout=DEADLINE))

    def refused(self, shown, reason):
        after = len(self.gateway.audit())
        try:
            with self.connect(shown) as connection:
                connection.sendall(b"5\n")
                self.assertEqual(read_all(connection), b"")
        except (ssl.SSLError, ConnectionError):
            pass
        return self.gateway.event(after, event="refused", reason=reason)

    def test_a_device_is_known_by_the_rule_until_it_is_revoked(self):
        press = leaf(self.plant, "press-7", self.ca, ["DNS:press-7.plant.example"])
        with self.connect(press) as connection:
            connection.sendall(b"5\n")
            self.assertEqual(connection.recv(100), b"15\n")
            self.gateway.event(event="cleared", peer=PRESS)

            openssl("ca", "-config", self.plant / "ca.cnf", "-cert", self.ca[0], "-keyfile", self.ca[1], "-revoke", press[0])
            self.publish()
            # It says nothing more; what is there ends by itself.
            try:
                self.assertEqual(read_all(connection), b"")
            except ssl.SSLError:
                pass
        self.gateway.event(event="closed", peer=PRESS, reason="certificate_revoked")
        self.refused(press, "certificate_revoked")
        other = leaf(self.plant, "press-8", self.ca, ["DNS:press-8.plant.example"])
        self.refused(other, "policy_denied")

    def test_the_plant_speaks_for_nobody_of_ours(self):
        claims = leaf(self.plant, "app", self.ca, ["URI:spiffe://segwan.internal/app"])
        self.refused(claims, "identity_unmapped")
        claims = leaf(self.plant, "mapped", self.ca, [f"URI:{PRESS}"])
        self.refused(claims, "identity_unmapped")
        twice = leaf(self.plant, "twice", self.ca, ["DNS:press-7.plant.example", "DNS:press-8.plant.example"])
        self.refused(twice, "identity_ambiguous")
        stranger = authority(self.world.path / "stranger", "Plant CA")
        self.refused(leaf(self.world.path / "stranger", "press-7", stranger, ["DNS:press-7.plant.example"]), "unknown_issuer")

    def test_files_that_are_no_good_change_nothing_and_are_told(self):
        press = leaf(self.plant, "press-7", self.ca, ["DNS:press-7.plant.example"])
        (self.plant / "ca.pem").rename(self.plant / "kept.pem")
        (self.plant / "ca.pem").write_text(press[0].read_text().split("-----END")[0])
        eventually("the alarm", lambda: "`foreign/plant` keeps what it had" in self.gateway.program.output())
        with self.connect(press) as connection:
            connection.sendall(b"5\n")
            self.assertEqual(connection.recv(100), b"15\n")


if __name__ == "__main__":
    unittest.main()
