"""Modbus/TCP Security with a pymodbus device and pymodbus masters; roles by certificates of openssl."""

import json
import os
import shutil
import socket
import subprocess
import unittest
from pathlib import Path

from certificates import authority, doubled, leaf
from world import DEADLINE, ROOT, SEGWAN, Running, World, free_ports, need, read_all

CLIENTS = Path(__file__).resolve().parent / "clients"
ROLE = "1.3.6.1.4.1.50316.802.1"
# Who connects, and the line of openssl's extension file that says in which role.
PEERS = {
    "operator": f"{ROLE}=ASN1:UTF8String:Operator\n",
    "viewer": f"{ROLE}=ASN1:UTF8String:Viewer\n",
    "none": "",
    "two": f"{ROLE}=ASN1:UTF8String:Operator\n",
    "both": f"{ROLE}=DER:0c:08:4f:70:65:72:61:74:6f:72:0c:06:56:69:65:77:65:72\n",
    "mistyped": f"{ROLE}=ASN1:OCTETSTRING:Operator\n",
    "printable": f"{ROLE}=ASN1:PRINTABLESTRING:Operator\n",
    "empty": f"{ROLE}=ASN1:UTF8String:\n",
}
WITHOUT = {"none": "there is no extension", "two": "is there twice", "both": "not that of its content",
           "mistyped": "holds type 0x04", "printable": "holds type 0x13", "empty": "it is empty"}


def python():
    """The interpreter that has pymodbus."""
    for found in (shutil.which("python3"), ROOT / "target/interop/venv/bin/python",
                  Path(SEGWAN).parent.parent / "interop/venv/bin/python"):
        if found and subprocess.run([found, "-c", "import pymodbus"], capture_output=True).returncode == 0:
            return str(found)
    if os.environ.get("CI") == "true":
        raise AssertionError("missing: pymodbus")
    return None


PYTHON = python()


def contract(folder):
    """The contract of the example, and a policy that writes at night too: these tests run at any hour."""
    text = (ROOT / "examples/modbus/plc1.toml").read_text()
    (folder / "plc1.toml").write_text(text)
    policy = (ROOT / "examples/modbus/plc1.cedar").read_text()
    day = policy.index('@id("no-writes-at-night")')
    (folder / "plc1.cedar").write_text(policy[:day])


@need("openssl")
@unittest.skipIf(PYTHON is None, "missing: pymodbus")
class Modbus(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = cls.enterClassContext(World())
        folder = cls.world.path / "certificates"
        ca = authority(folder, "Factory CA")
        sans = {name: [f"URI:spiffe://factory.example/{name}"] for name in PEERS}
        made = {name: leaf(folder, name, ca, sans[name], extra=extra) for name, extra in PEERS.items()}
        doubled(made["two"][0], ca, ROLE)
        made["plc1"] = leaf(folder, "plc1", ca, ["URI:spiffe://factory.example/plc1"], eku="serverAuth")
        for _, key in made.values():
            key.chmod(0o600)
        cls.device = cls.world.start("device", [PYTHON, CLIENTS / "modbus_device.py", "0"])
        port = cls.device.wait_for(r"listening on 127\.0\.0\.1:(\d+)")[1]
        contract(cls.world.path)
        [cls.tls] = free_ports(1)

        def credentials(name):
            return (f'credentials = {{ chain = "{made[name][0]}", key = "{made[name][1]}" }}\n'
                    f'trust = {{ roots = "{ca[0]}" }}\n')

        text = (f'state_dir = "gateway"\n[service.plc1]\nlisten = "127.0.0.1:{cls.tls}"\n'
                f'upstream = "127.0.0.1:{port}"\ncontract = "plc1.toml"\npolicy = ["plc1.cedar"]\n'
                + credentials("plc1"))
        for name in PEERS:
            text += (f'[client.{name}]\nlisten = "127.0.0.1:0"\nconnect = "127.0.0.1:{cls.tls}"\n'
                     f'peer = "spiffe://factory.example/plc1"\ncontract = "raw"\n' + credentials(name))
        config = cls.world.path / "segwan.toml"
        config.write_text(text)
        program = cls.world.start("serve", [SEGWAN, "serve", "--config", config])
        cls.gateway = Running(cls.world, "gateway", program)

    def ask(self, name, *asks):
        """What a pymodbus master behind this identity is answered, on one connection."""
        done = subprocess.run([PYTHON, CLIENTS / "modbus_master.py", str(self.gateway.port(name))],
                              input="".join(json.dumps(ask) + "\n" for ask in asks), capture_output=True, text=True,
                              timeout=DEADLINE)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def reached(self):
        """How many requests the device has read."""
        return self.device.output().count("read ")

    def test_who_may_reads_and_writes_what_the_contract_and_the_policy_allow(self):
        """CON-30: both sides are pymodbus."""
        read = {"do": "read_holding_registers", "address": 100, "count": 2, "device_id": 1}
        [before, write, many, after, coils, inputs, other] = self.ask(
            "operator", read, {"do": "write_register", "address": 100, "value": 7, "device_id": 1},
            {"do": "write_registers", "address": 101, "values": [8], "device_id": 1}, read,
            {"do": "read_coils", "address": 0, "count": 9, "device_id": 1},
            {"do": "read_discrete_inputs", "address": 0, "count": 9, "device_id": 2},
            {"do": "read_input_registers", "address": 5, "count": 1, "device_id": 2})
        self.assertEqual((before["registers"], write["fc"], many["fc"]), ([100, 101], 6, 16))
        self.assertEqual(after["registers"], [7, 8])
        self.assertEqual((coils["bits"][:9], inputs["bits"][:9]), ([True, False] * 4 + [True],) * 2)
        self.assertEqual(other["registers"], [5])

    def test_a_refusal_is_a_bare_exception_and_the_device_reads_nothing(self):
        reached = self.reached()
        self.assertEqual(self.ask(
            "operator", {"do": "write_register", "address": 150, "value": 1, "device_id": 1},
            {"do": "write_register", "address": 200, "value": 1, "device_id": 1},
            {"do": "write_register", "address": 100, "value": 2000, "device_id": 1},
            {"do": "write_register", "address": 100, "value": 1, "device_id": 2},
            {"do": "write_coil", "address": 100, "value": True, "device_id": 1},
            {"do": "read_device_information", "device_id": 1},
            {"do": "read_holding_registers", "address": 9999, "count": 2, "device_id": 1},
        ), [{"fc": 0x86, "exception": 1}, *[{"fc": 0x86, "exception": 3}] * 3, {"fc": 0x85, "exception": 1},
            {"fc": 0xab, "exception": 1}, {"fc": 0x83, "exception": 3}])
        self.assertEqual(self.ask("viewer", {"do": "write_register", "address": 100, "value": 1, "device_id": 1}),
                         [{"fc": 0x86, "exception": 1}])
        self.assertEqual(self.reached(), reached)

    def test_without_exactly_one_role_the_connection_stays_and_every_request_is_refused(self):
        """CON-21 CON-30: no, two, mistyped and empty roles are no failure of the handshake."""
        for name, why in WITHOUT.items():
            with self.subTest(name):
                reached, events = self.reached(), len(self.gateway.audit())
                read = {"do": "read_holding_registers", "address": 0, "count": 1, "device_id": 1}
                write = {"do": "write_register", "address": 100, "value": 1, "device_id": 1}
                answers = self.ask(name, *[read, write] * 4)
                self.assertEqual(answers, [{"fc": 0x83, "exception": 1}, {"fc": 0x86, "exception": 1}] * 4)
                self.assertEqual(self.reached(), reached)
                told = self.gateway.event(events, event="rejected", reason="policy_denied")
                self.assertIn("it has no role: ", told["sentence"])
                self.assertIn(why, told["sentence"])

    def test_what_is_not_modbus_is_not_answered(self):
        with socket.create_connection(("127.0.0.1", self.gateway.port("operator")), DEADLINE) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            self.assertEqual(read_all(connection), b"")
        self.gateway.event(reason="protocol_id")

    @need("mbpoll")
    def test_mbpoll_reads_and_is_refused(self):
        def poll(name, *arguments):
            command = ["mbpoll", "-m", "tcp", "-p", str(self.gateway.port(name)), "-a", "1", "-0", "-1", "-o", "10",
                       *arguments]
            return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
        done = poll("viewer", "-r", "300", "-t", "4", "-c", "2", "127.0.0.1")
        self.assertRegex(done.stdout, r"(?s)\[300\]:\s+300.*\[301\]:\s+301", done.stderr)
        done = poll("viewer", "-r", "100", "-t", "4", "127.0.0.1", "5")
        self.assertRegex(done.stdout + done.stderr, "(?i)illegal function")
        self.assertNotEqual(done.returncode, 0)


if __name__ == "__main__":
    unittest.main()
