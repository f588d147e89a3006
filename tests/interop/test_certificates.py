"""Certificates of a real Authority, judged and used by programs that are not Segwan."""

import base64
import json
import os
import re
import subprocess
import unittest
from pathlib import Path

from certificates import authority, openssl
from world import DEADLINE, ROOT, SEGWAN, Running, World, need

ARTICLE = ROOT / "examples/article"
CLIENTS = Path(__file__).resolve().parent / "clients"
SERVICE = "spiffe://segwan.internal/calculator"
END = "-----END CERTIFICATE-----\n"


def tried(*command, env=None, input=None, cwd=None):
    """Runs a program to its end; gives (exit code, everything that it printed)."""
    done = subprocess.run([str(part) for part in command], input=input, capture_output=True, text=True,
                          timeout=10 * DEADLINE, env=env, cwd=cwd)
    return done.returncode, done.stdout + done.stderr


def single(folder, name, pem):
    """One certificate in a file of its own."""
    path = folder / f"{name}.pem"
    path.write_text(pem)
    return path


def der(path):
    return base64.b64decode("".join(path.read_text().splitlines()[1:-1]))


def pem(bytes_):
    text = base64.encodebytes(bytes_).decode()
    return f"-----BEGIN CERTIFICATE-----\n{text}{END}"


def serve(world, clock=None):
    """The gateway of the article's example, perhaps under another clock."""
    service = world.python_service(ARTICLE / "number_service.py")
    arguments = ("calculator", "--to", f"127.0.0.1:{service}", "--listen", "127.0.0.1:0", "--authority-listen",
                 "127.0.0.1:0", "--contract", ARTICLE / "add-ten.toml", "--allow", "app")
    if clock is None:
        return world.gateway("gateway", *arguments)
    # Not under `faketime` itself, which would stand between the process and whoever ends it.
    _, library = tried("faketime", clock, "printenv", "LD_PRELOAD")
    env = {**os.environ, "LD_PRELOAD": library.strip(), "FAKETIME": f"@{clock}", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
           "TZ": "UTC"}
    program = world.start("serve", [SEGWAN, "serve", *arguments, "--state", world.path / "gateway"], env=env)
    return Running(world, "gateway", program)


class Judged(unittest.TestCase):
    """PKI-61: one certificate of each profile, the issuing certificates, the root."""

    @classmethod
    def setUpClass(cls):
        cls.world = cls.enterClassContext(World())
        folder = cls.world.path / "single"
        folder.mkdir()
        cls.gateway = serve(cls.world)
        chains = {"client": cls.world.join(cls.gateway.token("app"), "app").credentials("app")[0],
                  "service": cls.gateway.credentials("calculator")[0],
                  "authority": cls.gateway.credentials("segwan~authority")[0]}
        made = cls.world.run("token", "new", "both", "--profile", "peer", "--state", cls.gateway.state)
        token = re.search(r"segwan-enroll-1\.\S+", made)[0]
        chains["peer"] = cls.world.join(token, "both").credentials("both")[0]
        cls.root = cls.gateway.state / "authority/root.pem"
        cls.leaves = {}
        for profile, chain in chains.items():
            leaf, above = (part + END for part in chain.read_text().split(END)[:2])
            cls.leaves[profile] = single(folder, profile, leaf)
            cls.issuing = single(folder, "above", above)
        cls.all_issuing = sorted((cls.gateway.state / "authority/issuing").glob("*/cert.pem"))
        # The same certificates with another name in them: what they say is no longer what was signed.
        cls.mutants = {}
        for profile, leaf in cls.leaves.items():
            changed = der(leaf).replace(b"spiffe://segwan.internal/", b"spiffe://segwan.internaL/")
            cls.mutants[profile] = single(folder, f"{profile}-mutant", pem(changed))

    def test_there_is_one_of_each(self):
        self.assertEqual(set(self.leaves), {"client", "service", "authority", "peer"})
        self.assertGreaterEqual(len(self.all_issuing), 2)
        for profile in self.leaves:
            self.assertNotEqual(der(self.leaves[profile]), der(self.mutants[profile]))

    def findings(self, path):
        """What pkilint finds that is a warning or worse: (code, message)."""
        code, text = tried("lint_pkix_cert", "lint", "-s", "WARNING", "-f", "JSON", path)
        self.assertTrue(text.startswith("{"), text)
        found = [(each["code"], each["message"]) for result in json.loads(text)["results"]
                 for each in result["finding_descriptions"]]
        self.assertEqual(code, len(found), text)
        return found

    @need("lint_pkix_cert")
    def test_pkilint_has_one_complaint_about_the_form_of_identities(self):
        """PKI-61: it knows the schemes of the web alone, and `spiffe` is none of them."""
        for profile, leaf in self.leaves.items():
            [(code, message)] = self.findings(leaf)
            self.assertEqual(code, "pkix.invalid_uri_syntax", profile)
            self.assertRegex(message, r'^Invalid URI syntax: "spiffe://segwan\.internal/[a-z/]+"$')

    @need("lint_pkix_cert")
    def test_pkilint_passes_the_authorities(self):
        """PKI-61: and holds that `localhost`, which one constraint permits, is no host name."""
        self.assertEqual(self.findings(self.root), [])
        for path in self.all_issuing:
            [found] = self.findings(path)
            self.assertEqual(found, ("pkix.invalid_domain_name_syntax", 'Invalid domain name syntax: "localhost"'))

    @need("lint_pkix_cert")
    def test_pkilint_refuses_each_mutated_certificate(self):
        """PKI-61: it verifies no signature, so its mutant has an extension twice."""
        for profile, leaf in self.leaves.items():
            good = der(leaf)
            changed = good.replace(bytes.fromhex("0603551d130101ff04023000"), bytes.fromhex("0603551d0e0101ff04023000"))
            self.assertNotEqual(good, changed)
            path = single(self.world.path, f"{profile}-twice", pem(changed))
            code, text = tried("lint_pkix_cert", "lint", "-s", "ERROR", "-f", "JSON", path)
            self.assertGreater(code, 1, text)

    def listed(self):
        """A certificate that was revoked, and the list that says so, in PEM."""
        made = self.world.run("token", "new", "gone", "--state", self.gateway.state)
        chain = self.world.join(re.search(r"segwan-enroll-1\.\S+", made)[0], "gone").credentials("gone")[0]
        gone = single(self.world.path, "gone", chain.read_text().split(END)[0] + END)
        self.world.run("revoke", "gone", "--reason", "superseded", "--wait", "30s", "--state", self.gateway.state)
        path = self.world.path / "list.pem"
        self.world.run("ca", "crl", "--out", path, "--state", self.gateway.state)
        return gone, path

    @need("lint_crl", "openssl", "certtool")
    def test_a_revocation_list_is_in_order_and_obeyed(self):
        """PKI-61: by pkilint without a finding, by OpenSSL and GnuTLS with its signature."""
        gone, path = self.listed()
        code, text = tried("lint_crl", "lint", "-t", "CRL", "-p", "PKIX", "-s", "WARNING", "-f", "JSON", path)
        self.assertEqual((code, json.loads(text)["results"]), (0, []), text)
        _, text = tried("openssl", "crl", "-in", path, "-CAfile", self.issuing, "-noout")
        self.assertIn("verify OK", text)
        _, text = tried("certtool", "--verify-crl", "--load-ca-certificate", self.issuing, "--infile", path)
        self.assertIn("Verified", text)
        for leaf, expected in [(self.leaves["service"], "OK"), (gone, "certificate revoked")]:
            _, text = tried("openssl", "verify", "-crl_check", "-CRLfile", path, "-CAfile", self.root, "-untrusted",
                            self.issuing, leaf)
            self.assertIn(expected, text)

    @need("openssl")
    def test_openssl_accepts_each_and_refuses_each_mutant(self):
        """PKI-61 PKI-14"""
        purposes = {"client": ["sslclient"], "service": ["sslserver"], "authority": ["sslserver"],
                    "peer": ["sslclient", "sslserver"]}
        for profile, leaf in self.leaves.items():
            for purpose in ["sslclient", "sslserver"]:
                verify = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", self.root,
                          "-untrusted", self.issuing]
                code, text = tried(*verify, leaf)
                self.assertEqual(code == 0, purpose in purposes[profile], text)
                code, text = tried(*verify, self.mutants[profile])
                self.assertNotEqual(code, 0, text)
        for path in self.all_issuing:
            self.assertEqual(tried("openssl", "verify", "-x509_strict", "-CAfile", self.root, path)[0], 0)

    @need("certtool")
    def test_gnutls_accepts_each_and_refuses_each_mutant(self):
        """PKI-61 PKI-14"""
        for profile in self.leaves:
            for path, good in ((self.leaves[profile], True), (self.mutants[profile], False)):
                chain = single(self.world.path, "chain", path.read_text() + self.issuing.read_text())
                code, text = tried("certtool", "--verify", "--verify-profile", "medium", "--load-ca-certificate",
                                   self.root, "--infile", chain)
                self.assertEqual(code == 0, good, text)
                self.assertEqual("Chain verification output: Verified. The certificate is trusted." in text, good, text)

    @need("vfychain", "certutil")
    def test_nss_accepts_each_and_refuses_each_mutant(self):
        """PKI-61 PKI-14: with both of its path builders."""
        database = self.world.path / "nss"
        database.mkdir()
        for command in (["-N", "--empty-password"], ["-A", "-n", "root", "-t", "CT,C,C", "-a", "-i", self.root]):
            code, text = tried("certutil", "-d", database, *command)
            self.assertEqual(code, 0, text)
        usages = {"client": "0", "service": "1", "authority": "1", "peer": "0"}
        for profile in self.leaves:
            for builder in ["-p", "-pp"]:
                for path, said in ((self.leaves[profile], "Chain is good!"), (self.mutants[profile], "Chain is bad!")):
                    _, text = tried("vfychain", builder, "-d", database, "-u", usages[profile], "-a", path, self.issuing)
                    self.assertIn(said, text)

    @need("openssl")
    def test_openssl_reads_the_sealed_root_key(self):
        """PKI-10: with the parameters that the file itself names."""
        key = self.gateway.state / "authority/root/root.key.pem"
        passphrase = f"file:{self.gateway.state}/authority/root/passphrase"
        plain = openssl("pkcs8", "-in", key, "-passin", passphrase)
        self.assertTrue(plain.startswith("-----BEGIN PRIVATE KEY-----"))
        public = openssl("pkey", "-pubout", input=plain)
        self.assertEqual(public, openssl("x509", "-in", self.root, "-pubkey", "-noout"))
        wrong, _ = tried("openssl", "pkcs8", "-in", key, "-passin", "pass:wrong")
        self.assertNotEqual(wrong, 0)
        lines = openssl("asn1parse", "-in", key).splitlines()
        values = [line.rsplit(":", 1)[1] for line in lines if re.search("OBJECT|INTEGER", line)]
        self.assertEqual(values, ["PBES2", "scrypt", "4000", "08", "01", "aes-256-cbc"])


class Used(unittest.TestCase):
    """S1b: what `segwan join` wrote is all that another TLS stack needs, as it is."""

    @classmethod
    def setUpClass(cls):
        cls.world = cls.enterClassContext(World())
        cls.gateway = serve(cls.world)
        cls.chain, cls.key = cls.world.join(cls.gateway.token("app"), "app").credentials("app")
        cls.root = cls.gateway.state / "authority/root.pem"
        # A stranger's root, to see that each of the programs looks.
        cls.foreign, _ = authority(cls.world.path / "foreign")

    def answered(self, *command, env=None, cwd=None):
        """Whether the service answers this client, which believes the right root, and not another."""
        port = self.gateway.port()
        code, text = tried(*command, port, self.root, self.chain, self.key, SERVICE, env=env, cwd=cwd)
        self.assertEqual((code, text.strip()), (0, "15"))
        code, text = tried(*command, port, self.foreign, self.chain, self.key, SERVICE, env=env, cwd=cwd)
        self.assertNotEqual(code, 0)
        self.assertNotIn("15", text.splitlines())
        code, text = tried(*command, port, self.root, self.chain, self.key, SERVICE + "s", env=env, cwd=cwd)
        self.assertNotEqual(code, 0)
        self.assertIn(SERVICE, text)

    @need("gnutls-cli")
    def test_gnutls_is_answered(self):
        """Its one complaint is that the identity is no host name."""
        def status(root):
            _, text = tried("gnutls-cli", "--x509cafile", root, "--x509certfile", self.chain, "--x509keyfile", self.key,
                            "--insecure", "-p", self.gateway.port(), "127.0.0.1", input="5\n")
            return re.search(r"- Status: (.*?)\s*\n", text)[1], text
        said, text = status(self.root)
        self.assertEqual(said, "The certificate is NOT trusted. The name in the certificate does not match the expected.")
        self.assertIn("(TLS1.3-X.509)", text)
        self.assertIn("\n15\n", text)
        self.assertIn("The certificate issuer is unknown", status(self.foreign)[0])

    @need("go")
    def test_go_is_answered(self):
        env = {**os.environ, "GOCACHE": str(self.world.path / "go-cache"), "GO111MODULE": "off", "GOFLAGS": "",
               "CGO_ENABLED": "0"}
        program = self.world.path / "client"
        code, text = tried("go", "build", "-o", program, CLIENTS / "client.go", env=env)
        self.assertEqual(code, 0, text)
        self.answered(program)

    @need("java", "javac")
    def test_java_is_answered(self):
        classes = self.world.path / "classes"
        code, text = tried("javac", "-d", classes, CLIENTS / "Client.java")
        self.assertEqual(code, 0, text)
        self.answered("java", "-cp", classes, "Client")


class Dates(unittest.TestCase):
    """PKI-65: an Authority whose clock stands before the end of 32-bit time, and before 2050."""

    def lives_over(self, clock, edge, forms):
        with World() as world:
            gateway = serve(world, clock)
            chain, _ = gateway.credentials("calculator")
            root = gateway.state / "authority/root.pem"
            text = openssl("asn1parse", "-in", chain)
            self.assertEqual(re.findall("UTCTIME|GENERALIZEDTIME", text), forms)
            for seconds, good in ((edge - 1, True), (edge, True), (edge + 10 * 86400, False)):
                code, said = tried("openssl", "verify", "-attime", seconds, "-CAfile", root, "-untrusted", chain, chain)
                self.assertEqual(code == 0, good, said)
            for now, good in ((clock, True), ("2061-01-01 00:00:00", False)):
                _, said = tried("faketime", now, "certtool", "--verify", "--verify-profile", "medium",
                                "--load-ca-certificate", root, "--infile", chain)
                self.assertEqual("Chain verification output: Verified." in said, good, said)

    @need("faketime", "openssl", "certtool")
    def test_a_life_over_2038_is_understood(self):
        self.lives_over("2038-01-17 03:00:00", 2**31, ["UTCTIME", "UTCTIME"])

    @need("faketime", "openssl", "certtool")
    def test_a_life_over_2050_is_understood(self):
        self.lives_over("2049-12-30 03:00:00", 2_524_608_000, ["UTCTIME", "GENERALIZEDTIME"])


if __name__ == "__main__":
    unittest.main()
