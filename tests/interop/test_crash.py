"""An Authority that is killed while it works; the long run is `scripts/kill-loop 500`."""

import subprocess
import unittest
from pathlib import Path

from world import DEADLINE, SEGWAN


class Crash(unittest.TestCase):
    def test_whatever_a_kill_hits_nothing_that_a_client_was_given_is_lost(self):
        """PKI-23, PKI-52: SIGKILL at a random instant, 25 times; every certificate is on record."""
        program = Path(SEGWAN).with_name("kill-loop")
        done = subprocess.run([program, "25"], capture_output=True, text=True, timeout=10 * DEADLINE, env={"SEGWAN": SEGWAN})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("no serial number twice, no file left", done.stdout)


if __name__ == "__main__":
    unittest.main()
