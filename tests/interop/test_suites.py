"""Suites of test cases by others, from packages that carry them (`scripts/interop` fetches them)."""

import os
import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()


class Suites(unittest.TestCase):
    def suite(self, package, test, folder):
        if not (TARGET / "interop" / folder).is_dir():
            self.assertNotEqual(os.environ.get("CI"), "true", f"{folder} is missing: `scripts/interop` could not fetch it")
            self.skipTest(f"{folder} is missing")
        done = subprocess.run(["cargo", "test", "--locked", "--quiet", "-p", package, "--test", test, "--", "--nocapture"],
                              cwd=ROOT, capture_output=True, text=True, timeout=3600)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        if "pkits_expected.json is absent" in done.stdout:
            self.skipTest("what is expected of PKITS stands beside the checkout, and is absent")
        self.assertNotIn("nothing was tested", done.stdout)

    # CON-08
    def test_the_json_schema_suite_goes_through_our_door(self):
        self.suite("segwan-core", "schema_suite", "json-schema-suite")

    # CON-11, CON-12, CON-14: beside the suite, what Python and Node read.
    def test_what_json_parsers_read_differently_is_refused(self):
        self.suite("segwan-core", "readers", "json-test-suite")

    # PKI-60
    def test_of_nists_paths_none_is_wrongly_accepted(self):
        self.suite("segwan", "pkits", "pkits")


if __name__ == "__main__":
    unittest.main()
