"""Every command and configuration in the documentation is run, page by page.

A fenced block of a page says in an HTML comment above it what the test does with it:

    <!-- file: NAME -->       the block is written to NAME
    <!-- run -->              the commands are run and succeed; `<!-- run: exit N -->` for another exit code
    <!-- serve: NAME -->      the command is started and stays; the page goes on when it is ready
    <!-- prints -->           each line of the block was printed by the command before it (`…` stands for anything)
    <!-- shown -->            nothing is done: output that differs each time, or a picture

A block of sh, toml or cedar without such a comment fails the test. `segwan` is the tested binary,
`$PORT1`, `$PORT2` … are free ports.
"""

import os
import re
import shutil
import socket
import subprocess
import time
import unittest

from world import DEADLINE, ROOT, SEGWAN, World, eventually

BLOCK = re.compile(r"(?:<!-- ([^>]+?) -->\n+)?^```(\w*)\n(.*?)^```$", re.M | re.S)
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])


class Docs(unittest.TestCase):
    def run_page(self, page):
        world = self.enterContext(World())
        shutil.copytree(ROOT / "examples", world.path / "examples")
        (world.path / "bin").mkdir()
        (world.path / "bin/segwan").symlink_to(SEGWAN)
        environment = dict(os.environ, PATH=f"{world.path}/bin:{os.environ['PATH']}", HOME=str(world.path),
                           XDG_STATE_HOME=str(world.path / "state"), NO_COLOR="1")
        printed = ""
        for action, language, text in BLOCK.findall(page.read_text()):
            word, _, argument = action.partition(": ")
            place = f"{page.relative_to(ROOT)}: {text[:60]!r}"
            if word == "file":
                (world.path / argument).write_text(text)
            elif word == "run":
                done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], env=environment, cwd=world.path,
                                      stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=4 * DEADLINE)
                printed = done.stdout + done.stderr
                wanted = int(argument.removeprefix("exit ")) if argument else 0
                self.assertEqual(done.returncode, wanted, f"{place}\n{printed}")
            elif word == "serve":
                program = world.start(argument, ["bash", "-c", f"exec {text}"], env=environment)
                program.wait_for(r"(?i)ready|listening on|serving")
                printed = program.output()
            elif word == "prints":
                for line in filter(None, map(str.strip, text.splitlines())):
                    pattern = ".*".join(map(re.escape, line.split("…")))
                    self.assertRegex(printed, pattern, place)
            elif word == "shown":
                pass
            elif language in ("sh", "toml", "cedar", "python", "console"):
                self.fail(f"{place}\nthis block says not what the test does with it")


def add(page):
    name = "test_" + re.sub(r"\W+", "_", str(page.relative_to(ROOT)).removesuffix(".md"))
    setattr(Docs, name, lambda self: self.run_page(page))


for page in PAGES:
    add(page)

if __name__ == "__main__":
    unittest.main()
