"""A disk that is really full: nothing is issued, revoking works, and nothing is damaged."""

import contextlib
import json
import signal
import subprocess
import unittest

from world import DEADLINE, SEGWAN, World, eventually

MIB = 1 << 20
# The Authority keeps 16 MiB for revocations where it finds more than 64 MiB free.
SIZE = 100 * MIB


@contextlib.contextmanager
def disk(path, size):
    """A file system of its own; a right of the machine, so without it the test is left out everywhere."""
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "none", path],
                             capture_output=True, text=True)
    if mounted.returncode != 0:
        raise unittest.SkipTest(f"no file system may be mounted here: {mounted.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def fill(path):
    """Takes up every byte that is left."""
    for size in (MIB, 4096, 1):
        with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
            while True:
                file.write(b"\0" * size)


class Disk(unittest.TestCase):
    def serve(self):
        return self.world.gateway(
            self.disk / "state", "calculator", "--to", "127.0.0.1:9", "--listen", "127.0.0.1:0",
            "--authority-listen", f"127.0.0.1:{self.port}", "--contract", "raw", "--allow", "app")

    def setUp(self):
        self.world = self.enterContext(World())
        self.disk = self.enterContext(disk(self.world.path / "disk", SIZE))
        self.port = 0
        self.gateway = self.serve()
        self.addCleanup(lambda: self.gateway.program.stop(signal.SIGKILL))
        self.state = ["--state", self.gateway.state]
        self.filler = self.disk / "filler"

    def token(self, name):
        done = subprocess.run([SEGWAN, "token", "new", name, *map(str, self.state)], capture_output=True, text=True,
                              timeout=2 * DEADLINE)
        return done.returncode, done.stdout.strip(), done.stdout + done.stderr

    def certificates(self):
        listed = json.loads(self.world.run("ca", "list", "--json", *self.state))
        return {(one["name"], one["state"]) for one in listed["certificates"]}

    def test_on_a_full_disk_nothing_is_issued_and_revoking_works(self):
        """PKI-51: 503 for the agent, a sentence for the operator, and all is well once there is room."""
        world = self.world
        world.run("join", "-", "--as", "app", "--state", "app-node", input=self.gateway.token("app"))
        _, late, _ = self.token("late")
        fill(self.filler)
        # What SQLite has room for in its files already still goes; then it says why it does not.
        said = eventually("the disk is full for the Authority", lambda: (
            lambda code, _, text: code != 0 and text)(*self.token("other")))
        self.assertIn("the disk is full", said)
        refused = world.run("join", "-", "--as", "late", "--state", "late-node", input=late, code=None)
        self.assertIn("unavailable", refused)
        revoked = world.run("revoke", "app", *self.state, code=None)
        self.assertIn("revoked", revoked)
        self.assertIn(("app", "revoked"), self.certificates())
        # Even a crash in this state loses nothing.
        self.assertNotEqual(self.gateway.program.stop(signal.SIGKILL), 0)
        self.filler.unlink()
        self.gateway = self.serve()
        self.assertIn(("app", "revoked"), self.certificates())
        self.assertIn("good", world.run("ca", "ledger", "verify", *self.state))
        code, _, said = self.token("other")
        self.assertEqual(code, 0, said)

    def test_issuing_goes_on_by_itself_once_there_is_room(self):
        """PKI-51: without a restart, within a minute."""
        fill(self.filler)
        eventually("the disk is full for the Authority", lambda: self.token("other")[0] != 0)
        self.filler.unlink()
        eventually("issuing goes on", lambda: self.token("other")[0] == 0, deadline=3 * DEADLINE)
        self.assertIn("good", self.world.run("ca", "ledger", "verify", *self.state))


if __name__ == "__main__":
    unittest.main()
