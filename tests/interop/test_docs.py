"""Every command and configuration in the documentation is run, page by page.

A fenced block of a page says in an HTML comment above it what the test does with it:

    <!-- file: NAME -->       the block is written to NAME
    <!-- run -->              the commands are run and succeed; `<!-- run: exit N -->` for another exit code
    <!-- serve: NAME -->      the command is started and stays; the page goes on when it is ready
    <!-- stop: NAME -->       the command is told to end, as by Ctrl-C, and ends with exit code 0
    <!-- prints -->           each line of the block was printed by the command before it (`…` stands for anything,
                              a blank for any number of blanks); what only looks at a process looks again until it is so
    <!-- shown -->            nothing is done: output that differs each time, or a picture

A block of sh, toml or cedar without such a comment fails the test. `segwan` is the tested binary. Each
port of 127.0.0.1 that a page names stands for a free one, the same throughout the page. Every link within
the repository leads to a file, and to a heading of it.
"""

import os
import re
import shutil
import signal
import subprocess
import time
import unittest

from world import DEADLINE, ROOT, SEGWAN, World, free_ports

BLOCK = re.compile(r"(?:<!-- ([^>]+?) -->\n+)?^```(\w*)\n(.*?)^```$", re.M | re.S)
PORT = re.compile(r"(?<=\b127\.0\.0\.1[: ])\d{4,5}\b")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
# Commands that change nothing: what they tell may be on its way still.
LOOKS = re.compile(r"(sleep \d|segwan (audit (show|verify)|status|explain|ca list)\b[^;|&]*|curl -sS [^;|&]*)")
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])


def with_free_ports(text):
    """The page with a free port in the place of each port of 127.0.0.1 that it names."""
    named = set(PORT.findall(text))
    ports = dict(zip(named, map(str, free_ports(len(named)))))
    return re.sub(r"(?<![\w.])\d{4,5}\b", lambda found: ports.get(found[0], found[0]), text)


def headings(page):
    """The anchors of a page, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def missing(shown, printed):
    """The lines of a block that were not printed."""
    def is_printed(line):
        pattern = ".*".join(map(re.escape, line.split("…")))
        return re.search(re.sub(r"(\\ )+", " +", pattern), printed)
    return [line for line in map(str.strip, shown.splitlines()) if line and not is_printed(line)]


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
        blocks = BLOCK.findall(with_free_ports(page.read_text()))
        for (action, language, text), (then, _, shown) in zip(blocks, [*blocks[1:], ("", "", "")]):
            word, _, argument = action.partition(": ")
            place = f"{page.relative_to(ROOT)}: {text[:60]!r}"
            if word == "file":
                (world.path / argument).parent.mkdir(parents=True, exist_ok=True)
                (world.path / argument).write_text(text)
            elif word == "run":
                # A reader of a page is not as patient as a test on a slow machine.
                text = text.replace("for try in 1 2 3 4 5;", "for try in $(seq 60);")
                looks = all(LOOKS.fullmatch(line) for line in text.splitlines())
                wanted = int(argument.removeprefix("exit ")) if argument else 0
                end = time.monotonic() + DEADLINE
                while True:
                    done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], env=environment, cwd=world.path,
                                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=4 * DEADLINE)
                    printed = done.stdout + done.stderr
                    as_shown = done.returncode == wanted and (then != "prints" or not missing(shown, printed))
                    if as_shown or not looks or time.monotonic() > end:
                        break
                    time.sleep(0.2)
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
                self.assertEqual(missing(text, printed), [], f"{place}\n{printed}")
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
