"""The keys of an Authority that serves: the root taken away, issuing certificates signed by OpenSSL, backup."""

import base64
import hashlib
import os
import secrets
import subprocess
import unittest
from pathlib import Path

from world import DEADLINE, SEGWAN, World, eventually, lines

ARTICLE = Path(__file__).parents[2] / "examples/article"
PHRASE = "correct horse battery\n"


class Custody(unittest.TestCase):
    def setUp(self):
        self.world = self.enterContext(World())
        self.state = self.world.path / "gateway"
        self.phrase = self.world.path / "phrase.txt"
        self.phrase.write_text(PHRASE)
        self.medium = self.world.path / "medium"
        self.medium.mkdir()

    def ca(self, *arguments, code=0, state=True):
        where = ["--state", self.state] if state else []
        command = [str(part) for part in [SEGWAN, "ca", *arguments, *where]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=2 * DEADLINE)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def openssl(self, *arguments, code=0):
        done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, timeout=2 * DEADLINE)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout

    def serve(self):
        service = self.world.python_service(ARTICLE / "number_service.py")
        return self.world.gateway("gateway", "calculator", "--to", f"127.0.0.1:{service}", "--listen", "127.0.0.1:0",
                                  "--authority-listen", "127.0.0.1:0", "--allow", "app", "--contract", ARTICLE / "add-ten.toml")

    def export(self, *arguments, code=0):
        return self.ca("root", "export", "--to", self.medium, "--passphrase-file", self.phrase, *arguments, code=code)

    # PKI-07, PKI-10, PKI-12
    def test_the_root_leaves_while_serving_and_openssl_signs_with_it(self):
        self.serve()
        self.export("--remove")
        self.assertFalse((self.state / "authority/root").exists())
        key, root = self.medium / "root.key.pem", self.medium / "root.pem"
        secret = self.openssl("pkcs8", "-in", key, "-passin", f"file:{self.phrase}")
        body = "".join(secret.splitlines()[1:-1]).encode()
        for file in (path for path in self.state.rglob("*") if path.is_file()):
            self.assertNotIn(body[:64], file.read_bytes(), file)
        cipher = self.openssl("asn1parse", "-in", key)
        for part in ("PBES2", "scrypt", "aes-256-cbc", "INTEGER           :4000", "INTEGER           :08"):
            self.assertIn(part, cipher)

        extensions, request = self.world.path / "issuing.ext", self.world.path / "req.pem"
        request.write_text(self.ca("issuing", "request", "--extensions", extensions).stdout)
        chain = self.world.path / "chain.pem"

        def sign(text, ca=root, ca_key=key):
            extensions.write_text(text)
            self.openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-passin", f"file:{self.phrase}",
                         "-sha384", "-days", 548, "-set_serial", f"0x4{secrets.token_hex(15)[1:]}", "-extfile",
                         extensions, "-out", chain)

        good = extensions.read_text()
        other_key, other = self.world.path / "other.key", self.world.path / "other.pem"
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes", "-keyout",
                     other_key, "-out", other, "-subj", "/O=segwan.internal/CN=other")
        for rule, text, ca, ca_key in (
            ("K17", good.replace("pathlen:0", "pathlen:1"), root, key),
            ("K16", good.replace("DNS:localhost", "DNS:example"), root, key),
            ("K13", good, other, other_key),
        ):
            sign(text, ca, ca_key)
            self.assertIn(f"{rule}: ", self.ca("issuing", "import", chain, code=1).stderr)
        # Another key.
        foreign = self.world.path / "foreign.pem"
        self.openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                     self.world.path / "foreign.key", "-out", foreign, "-subj", "/O=segwan.internal/CN=Segwan issuing 0")
        kept = request.read_text()
        request.write_text(foreign.read_text())
        sign(good)
        self.assertIn("K7: ", self.ca("issuing", "import", chain, code=1).stderr)
        request.write_text(kept)
        sign(good)
        self.assertIn("is good until", self.ca("issuing", "import", chain).stdout)

        # And Segwan's own command on the other side of the gap.
        request.write_text(self.ca("issuing", "request").stdout)
        signed = self.ca("sign-issuing", "--root-key", key, "--root-cert", root, "--root-passphrase-file", self.phrase,
                         request, state=False)
        chain.write_text(signed.stdout)
        self.openssl("verify", "-CAfile", root, chain)
        self.ca("issuing", "import", chain)
        self.ca("issuing", "renew", "--root-key", key, "--root-passphrase-file", self.phrase)
        listed = self.ca("issuing", "list").stdout
        self.assertEqual(listed.count(" spare "), 4, listed)
        self.assertIn("protected by file mode only", listed)

    # PKI-08
    @unittest.skipUnless(os.geteuid() == 0, "only root mounts a small medium")
    def test_a_full_or_read_only_medium_leaves_the_key_where_it_is(self):
        self.serve()
        before = (self.state / "authority/root/root.key.pem").read_bytes()
        for options in ("size=4k,nr_inodes=3", "ro"):
            mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", self.medium], capture_output=True)
            if mounted.returncode:
                self.skipTest("nothing may be mounted here")
            try:
                refused = self.export("--remove", code=1)
            finally:
                subprocess.run(["umount", self.medium], check=True)
            self.assertRegex(refused.stderr, "disk is full|read-only")
            self.assertEqual((self.state / "authority/root/root.key.pem").read_bytes(), before)

    # PKI-56, PKI-57, PKI-58
    def test_a_backup_of_what_serves_is_restored_elsewhere(self):
        self.serve()
        file, place = self.world.path / "segwan.tar", self.world.path / "restored"
        self.ca("backup", file, "--passphrase-file", self.phrase)
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        names = subprocess.run(["tar", "-tf", file], capture_output=True, text=True, check=True).stdout
        self.assertIn("manifest.json", names)
        self.assertNotIn("root.key", names)
        self.assertIn("is good", self.ca("backup", "--verify", file, "--passphrase-file", self.phrase).stdout)
        token = next((self.state / "authority/tokens").iterdir(), None)
        if token is not None:
            self.assertNotIn(token.read_text().split(".")[1].encode(), file.read_bytes())
        self.assertIn("there is an Authority", self.ca("restore", file, "--passphrase-file", self.phrase, code=2).stderr)
        serving, self.state = self.state, place
        wrong = self.world.path / "wrong.txt"
        wrong.write_text("another passphrase\n")
        self.ca("restore", file, "--passphrase-file", wrong, code=1)
        self.assertFalse(place.exists())
        self.assertIn("in epoch 2", self.ca("restore", file, "--passphrase-file", self.phrase).stdout)
        self.ca("ledger", "verify")
        self.state = serving

    def test_a_stolen_issuing_key_is_distrusted_while_serving(self):
        running = self.serve()
        listed = self.ca("issuing", "list").stdout
        active = next(line.split()[0] for line in listed.splitlines() if " active " in line)
        said = self.ca("issuing", "distrust", active[:8]).stdout
        self.assertIn("is believed nowhere any more", said)
        self.assertIn("segwan ca issuing renew --root-key", said)
        self.assertIn("There is no spare", said)
        self.ca("issuing", "renew")
        self.assertIsNotNone(running)

    # PKI-48
    def test_the_root_rotates_below_an_agent_that_never_stops(self):
        running = self.serve()
        joined = self.world.join(running.token("app"), "app")
        second = self.world.path / "second"
        second.mkdir()
        self.assertEqual(lines(joined.port(), "5"), b"15\n")
        self.ca("rotate", "root", "--prepare", "--root-key-out", second, "--passphrase-file", self.phrase)
        self.assertIn("the rotation is prepared", self.ca("rotate", "status").stdout)

        def step(flag, *more):
            """A step that waits for acknowledgements exits 4 until they are there."""
            def look():
                command = [SEGWAN, "ca", "rotate", "root", flag, *more, "--state", str(self.state)]
                done = subprocess.run(command, capture_output=True, text=True, timeout=2 * DEADLINE)
                self.assertIn(done.returncode, (0, 4), done.stdout + done.stderr)
                return done.returncode == 0
            eventually(f"rotate root {flag}", look, 5 * DEADLINE)
            self.assertEqual(lines(joined.port(), "5"), b"15\n")

        step("--activate")
        step("--taint", "--window", "5s")
        step("--retire")
        self.assertIn("the rotation is steady", self.ca("rotate", "status").stdout)
        root = self.ca("root").stdout
        self.assertIn(hashlib.sha256(der((second / "root.pem").read_text())).hexdigest(), root)
        # Who joins now believes the new root alone; what serves goes on after a restart.
        token = self.world.path / "later.token"
        self.world.run("token", "new", "later", "--out", token, "--state", self.state)
        self.world.join(token.read_text().strip(), "later")
        ends = self.ca("issuing", "list").stdout
        self.assertEqual(ends.count(" distrusted "), 2, ends)

    # PKI-49
    def test_after_a_compromise_recorded_agents_come_back_under_the_new_root(self):
        running = self.serve()
        joined = self.world.join(running.token("app"), "app")
        said = self.ca("rotate", "root", "--compromised", "--window", "10s", "--root-key-out", self.medium,
                       "--passphrase-file", self.phrase)
        self.assertIn("believed nowhere from now on", said.stdout)
        self.assertNotIn("new token", said.stdout.split("keep it so")[1])

        def back():
            rows = [line for line in self.ca("issuing", "list").stdout.splitlines() if " active " in line]
            return int(rows[0].split()[-1]) >= 4
        eventually("all have renewed", back, 5 * DEADLINE)
        # The last one was signed: whoever asked for it still has to take it.
        eventually("the pair speaks", lambda: lines(joined.port(), "5") == b"15\n")


def der(pem):
    return base64.b64decode("".join(pem.splitlines()[1:-1]))


if __name__ == "__main__":
    unittest.main()
