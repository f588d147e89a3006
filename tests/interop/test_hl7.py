"""HL7 v2 over MLLP: a sender and a receiver made with the package `hl7`, Segwan between them."""

import json
import os
import shutil
import socket
import subprocess
import unittest
from pathlib import Path

from world import DEADLINE, ROOT, SEGWAN, World, eventually, read_all

CLIENTS = Path(__file__).resolve().parent / "clients"
HL7 = ROOT / "examples/hl7"


def python():
    """The interpreter that has hl7."""
    for found in (shutil.which("python3"), ROOT / "target/interop/venv/bin/python",
                  Path(SEGWAN).parent.parent / "interop/venv/bin/python"):
        if found and subprocess.run([found, "-c", "import hl7.mllp"], capture_output=True).returncode == 0:
            return str(found)
    if os.environ.get("CI") == "true":
        raise AssertionError("missing: hl7")
    return None


PYTHON = python()


def admission(control_id, name="Gildong", event="ADT^A01", charset="UNICODE UTF-8", app="ADT1", more=""):
    return (f"MSH|^~\\&|{app}|WARD1|HIS|HOSPITAL|20260101120000||{event}|{control_id}|P|2.5||||||{charset}\r"
            f"EVN|A01|20260101120000\rPID|1||12345^^^WARD1||Hong^{name}\rPV1|1|I\r{more}")


@unittest.skipIf(PYTHON is None, "missing: hl7")
class Hl7(unittest.TestCase):
    def setUp(self):
        self.world = self.enterContext(World())
        self.receiver = self.world.start("receiver", [PYTHON, CLIENTS / "hl7_receiver.py", "0"])
        self.upstream = int(self.receiver.wait_for(r"listening on 127\.0\.0\.1:(\d+)")[1])
        policy = self.world.path / "admit.cedar"
        policy.write_text((HL7 / "admit.cedar").read_text().replace("hospital.example", "segwan.internal"))
        self.gateway = self.world.gateway(
            "gateway", "his", "--to", f"127.0.0.1:{self.upstream}", "--listen", "127.0.0.1:0",
            "--authority-listen", "127.0.0.1:0", "--contract", HL7 / "admit.toml", "--policy", policy)
        self.ward1 = self.join("ward1")

    def join(self, name):
        token = self.world.path / f"{name}.token"
        self.world.run("token", "new", name, "--out", token, "--state", self.gateway.state)
        return self.world.join(token.read_text().strip(), name)

    def say(self, node, *messages):
        """What the sender behind this node is answered, on one connection."""
        done = subprocess.run([PYTHON, CLIENTS / "hl7_sender.py", str(node.port())], text=True, capture_output=True,
                              input="".join(json.dumps(message) + "\n" for message in messages), timeout=DEADLINE)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def rejected(self, count):
        """What was refused, once so much of it is on record."""
        def look():
            found = [event for event in self.gateway.audit() if event["event"] == "rejected"]
            return len(found) >= count and found
        return eventually(f"{count} refusals are on record", look)

    def read(self):
        return [line for line in self.receiver.output().splitlines() if line.startswith("read ")]

    def test_an_admission_is_received_and_acknowledged(self):
        """CON-01 CON-33: both ends know nothing of Segwan; a name in Korean passes as it is."""
        answers = self.say(self.ward1, admission("M1"), admission("M2", name="길동"),
                           admission("M3", event="ADT^A03"))
        self.assertEqual(answers, [["HIS", "AA", "M1"], ["HIS", "AA", "M2"], ["HIS", "AA", "M3"]])
        self.assertEqual(self.read(), ["read M1 Hong^Gildong", "read M2 Hong^길동", "read M3 Hong^Gildong"])

    def test_what_the_contract_does_not_hold_is_refused_and_the_receiver_reads_nothing(self):
        """CON-33 S3d: by an acknowledgement of the gateway's own, and the connection goes on."""
        answers = self.say(
            self.ward1, admission("M1", more="ZPD|1|Gildong\r"), admission("M2", charset="8859/1"),
            admission("M3", charset="", name="길동"), admission("M4", event="ADT^A08"),
            admission("M5", app="ADT2"), admission("M6"))
        self.assertEqual(answers, [
            ["SEGWAN", "AE", "M1"], ["SEGWAN", "AE", "M2"], ["SEGWAN", "AE", "M3"], ["SEGWAN", "AR", "M4"],
            ["SEGWAN", "AR", "M5"], ["HIS", "AA", "M6"]])
        self.assertEqual(self.read(), ["read M6 Hong^Gildong"])
        ward2 = self.join("ward2")
        self.assertEqual(self.say(ward2, admission("M7")), [["SEGWAN", "AR", "M7"]])
        reasons = [event["reason"] for event in self.rejected(6)]
        self.assertEqual(reasons, ["field_unknown", "charset", "charset", "undeclared", "policy_denied", "policy_denied"])

    def test_the_acknowledgement_of_another_message_does_not_leave(self):
        """CON-33: the receiver answers M1 with the control id of something else."""
        self.assertEqual(self.say(self.ward1, admission("M1", name="MIXUP"))[-1:], [None])
        self.assertEqual(self.read(), ["read M1 Hong^MIXUP"])
        told = self.gateway.event(event="rejected", direction="server")
        self.assertEqual((told["reason"], told["class"]), ("unasked", "server"))

    def test_a_byte_that_begins_a_block_is_no_data(self):
        """CON-33: what comes after it would be another message to a receiver that looks for it."""
        inside = admission("M1", name="\x0bMSH|^~\\&|")
        with socket.create_connection(("127.0.0.1", self.ward1.port()), DEADLINE) as connection:
            connection.sendall(b"\x0b" + inside.encode() + b"\x1c\r")
            self.assertEqual(read_all(connection), b"")
        self.gateway.event(event="rejected", reason="block_form")
        self.assertEqual(self.read(), [])
        # The receiver itself would have taken it.
        with socket.create_connection(("127.0.0.1", self.upstream), DEADLINE) as connection:
            connection.sendall(b"\x0b" + inside.encode() + b"\x1c\r")
            self.receiver.wait_for("read M1")

    def test_no_data_of_a_patient_is_on_the_record(self):
        """TRAP-20: accepted or refused, whatever was wrong with it."""
        self.say(self.ward1, admission("M1"), admission("M2", more="ZPD|1|Gildong\r"),
                 admission("M3", name="Gildong\x07"), admission("M4", name="Gildong\n"),
                 admission("M5").replace("|12345^", "|Gildong12345^"))
        self.assertIn("regex", [event["reason"] for event in self.rejected(4)])
        told = json.dumps(self.gateway.audit(), ensure_ascii=False) + self.gateway.program.output()
        self.assertNotIn("Gildong", told)
        self.assertNotIn("12345", told.replace("20260101120000", ""))


if __name__ == "__main__":
    unittest.main()
