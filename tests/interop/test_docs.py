"""Every command and configuration in the documentation is run, page by page.

A fenced block of a page says in an HTML comment above it what the test does with it:

    <!-- file: NAME -->       the block is written to NAME
    <!-- run -->              the commands are run and succeed; `<!-- run: exit N -->` for another exit code
    <!-- serve: NAME -->      the command is started and stays; the page goes on when it is ready
    <!-- stop: NAME -->       the command is told to end, as by Ctrl-C, and ends with exit code 0
    <!-- prints -->           each line of the block was printed by the command before it (`…` stands for anything,
                              a blank for any number of blanks)
    <!-- shown -->            nothing is done: output that differs each time, or a picture

A block of sh, toml or cedar without such a comment fails the test. `segwan` is the tested binary. Each
port of 127.0.0.1 that a page names stands for a free one, the same throughout the page. Every link within
the repository leads to a file, and to a heading of it.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import unittest

from world import DEADLINE, ROOT, SEGWAN, World

BLOCK = re.compile(r"(?:<!-- ([^>]+?) -->\n+)?^```(\w*)\n(.*?)^```$", re.M | re.S)
PORT = re.compile(r"(?<=\b127\.0\.0\.1[: ])\d{4,5}\b")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])


def with_free_ports(text):
    """The page with a free port in the place of each port of 127.0.0.1 that it names."""
    held, ports = [], {}
    for port in set(PORT.findall(text)):
        held.append(socket.create_server(("127.0.0.1", 0)))
        ports[port] = str(held[-1].getsockname()[1])
    for one in held:
        one.close()
    return re.sub(r"(?<![\w.])\d{4,5}\b", lambda found: ports.get(found[0], found[0]), text)


def headings(page):
    """The anchors of a page, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


class Docs(unittest.TestCase):
    def test_every_link_leads_somewhere(self):
        for page in [*PAGES, *ROOT.glob("*.md")]:
            for path, anchor in LINK.findall(page.read_text()):
                target = (page.parent / path).resolve() if path else page
                place = f"{page.relative_to(ROOT)}: {path}#{anchor}"
                self.assertTrue(target.exists(), place)
                if anchor:
                    self.assertIn(anchor, headings(target), place)

    def run_page(self, page):
        world = self.enterContext(World())
        shutil.copytree(ROOT / "examples", world.path / "examples")
        (world.path / "bin").mkdir()
        (world.path / "bin/segwan").symlink_to(SEGWAN)
        environment = dict(os.environ, PATH=f"{world.path}/bin:{os.environ['PATH']}", HOME=str(world.path),
                           XDG_STATE_HOME=str(world.path / "state"), NO_COLOR="1")
        printed, running = "", {}
        for action, language, text in BLOCK.findall(with_free_ports(page.read_text())):
            word, _, argument = action.partition(": ")
            place = f"{page.relative_to(ROOT)}: {text[:60]!r}"
            if word == "file":
                (world.path / argument).parent.mkdir(parents=True, exist_ok=True)
                (world.path / argument).write_text(text)
            elif word == "run":
                done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], env=environment, cwd=world.path,
                                      stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=4 * DEADLINE)
                printed = done.stdout + done.stderr
                wanted = int(argument.removeprefix("exit ")) if argument else 0
                self.assertEqual(done.returncode, wanted, f"{place}\n{printed}")
            elif word == "serve":
                program = world.start(argument, ["bash", "-c", f"exec {text}"], env=environment)
                program.wait_for(r"(?m)^(ready|listening on .*)$")
                running[argument], printed = program, program.output()
            elif word == "stop":
                program = running.pop(argument)
                self.assertEqual(program.stop(signal.SIGINT), 0, f"{place}\n{program.output()}")
                printed = program.output()
            elif word == "prints":
                for line in filter(None, map(str.strip, text.splitlines())):
                    pattern = ".*".join(map(re.escape, line.split("…")))
                    self.assertRegex(printed, re.sub(r"(\\ )+", " +", pattern), place)
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
