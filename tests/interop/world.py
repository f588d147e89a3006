"""What the tests of this folder stand on: real programs, started on free loopback ports.

A `World` is a temporary directory and everything started in it; leaving it ends every program by
its own handle. Nothing waits without a deadline.
"""

import contextlib
import errno
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SEGWAN = os.environ.get("SEGWAN", str(ROOT / "target/debug/segwan"))
# For a slow machine that has other work too; whoever waits is told at once when it is there.
DEADLINE = 60.0


def need(*programs):
    """Skips the test where a program is missing; under CI=true that is a failure."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing and os.environ.get("CI") == "true":
        raise AssertionError(f"missing: {', '.join(missing)}")
    return unittest.skipIf(missing, f"missing: {', '.join(missing)}")


def eventually(what, attempt, deadline=DEADLINE):
    """Repeats `attempt` until it gives something true."""
    end = time.monotonic() + deadline
    while True:
        result = attempt()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {deadline} s")
        time.sleep(0.02)


class Program:
    """A started program, its output in a file."""

    def __init__(self, world, name, command, **options):
        self.name, self.command = name, [str(part) for part in command]
        self.log = world.path / f"{name}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=world.path, **options)

    def output(self):
        return self.log.read_text(errors="replace")

    def wait_for(self, pattern):
        def look():
            if self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.output()}")
            return re.search(pattern, self.output())
        return eventually(f"{self.name} prints `{pattern}`", look)

    def stop(self, sign=signal.SIGTERM):
        """Ends it; gives its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(sign)
        try:
            return self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(DEADLINE)
            raise AssertionError(f"{self.name} did not end:\n{self.output()}") from None


class World(contextlib.AbstractContextManager):
    """A temporary directory, and the programs that run in it."""

    def __init__(self):
        self.path = Path(tempfile.mkdtemp(prefix="segwan-"))
        self.programs = []
        self.runs = 0

    def __exit__(self, *_):
        for program in reversed(self.programs):
            with contextlib.suppress(AssertionError):
                program.stop()
        shutil.rmtree(self.path, ignore_errors=True)

    def start(self, name, command, **options):
        self.runs += 1
        program = Program(self, f"{name}-{self.runs}", command, **options)
        self.programs.append(program)
        return program

    def python_service(self, script):
        """Starts one of the examples' plain services; gives its port."""
        service = self.start(script.stem, ["python3", script, "0"])
        return int(service.wait_for(r"listening on 127\.0\.0\.1:(\d+)")[1])

    def run(self, *arguments, code=0, input=None):
        """Runs `segwan` to its end and gives what it printed."""
        done = subprocess.run([SEGWAN, *map(str, arguments)], input=input, capture_output=True, text=True,
                              timeout=DEADLINE, cwd=self.path)
        if code is not None and done.returncode != code:
            raise AssertionError(f"segwan {' '.join(map(str, arguments))} ended with {done.returncode}, not {code}:\n"
                                 f"{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def gateway(self, state, *arguments):
        """Starts `segwan serve` with a state directory of its own."""
        return Running(self, state, self.start(f"serve-{Path(state).name}", [SEGWAN, "serve", *arguments,
                                                                  "--state", self.path / state]))

    def join(self, token, name, *arguments, state=None):
        """Starts `segwan join` for the identity `name`."""
        state = state or f"{name}-node"
        return Running(self, state, self.start(f"join-{state}", [
            SEGWAN, "join", token, "--as", name, "--listen", "127.0.0.1:0", *arguments, "--state", self.path / state]))


class Running:
    """A Segwan process and its state directory."""

    def __init__(self, world, state, program):
        self.world, self.state, self.program = world, world.path / state, program
        self.status = eventually(f"{program.name} is ready", self._ready)

    def _ready(self):
        if self.program.process.poll() is not None:
            raise AssertionError(f"{self.program.name} ended:\n{self.program.output()}")
        done = subprocess.run([SEGWAN, "status", "--json", "--state", str(self.state)], capture_output=True, text=True,
                              timeout=DEADLINE)
        return done.returncode == 0 and json.loads(done.stdout)

    def port(self, name=None):
        """The port on which a service or client listens (the only one without `name`)."""
        tables = [*self.status["services"], *self.status["clients"]]
        [table] = [table for table in tables if name in (None, table["name"])]
        return int(table["listen"].rsplit(":", 1)[1])

    def token(self, name):
        """The one-time token that `serve` left for `name`."""
        return (self.state / "authority/tokens" / f"{name}.token").read_text().strip()

    def credentials(self, name):
        """(chain, key) files of an identity in this state directory."""
        current = self.state / "credentials" / name / "current"
        return current / "chain.pem", current / "key.pem"

    def audit(self):
        """The events in the audit log so far; a last line may be on its way still."""
        # Those of yesterday, should a day end meanwhile, stand in a file of their own before it.
        text = "".join(file.read_text() for file in sorted((self.state / "audit").glob("audit*.jsonl")))
        return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]

    def event(self, after=0, **wanted):
        """Waits for an event with these values behind the first `after`; gives it."""
        def look():
            for event in self.audit()[after:]:
                if all(event.get(key) == value for key, value in wanted.items()):
                    return event
        return eventually(f"an event with {wanted}", look)


def lines(port, *sent, host="127.0.0.1"):
    """Sends lines over plain TCP, half-closes, and gives all that comes back."""
    with socket.create_connection((host, port), timeout=DEADLINE) as connection:
        connection.sendall(b"".join(line if isinstance(line, bytes) else line.encode() + b"\n" for line in sent))
        half_close(connection)
        return read_all(connection)


def half_close(connection):
    """Says no more; whether the other side has reset it before is for whoever reads to find."""
    try:
        connection.shutdown(socket.SHUT_WR)
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise


def free_ports(count):
    """Ports of 127.0.0.1 for whoever must know them beforehand.

    They are none that the system gives out by itself, so that no connection takes one meanwhile.
    """
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    ours = [port for port in range(10_000, 1 << 16) if not first <= port <= last]
    found = []
    with contextlib.ExitStack() as held:
        for port in random.sample(ours, len(ours)):
            if len(found) == count:
                return found
            with contextlib.suppress(OSError):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
                found.append(port)
    raise AssertionError(f"{count} ports are not free")


def read_all(connection):
    received = bytearray()
    while True:
        try:
            chunk = connection.recv(65536)
        except ConnectionResetError:
            return bytes(received)
        if not chunk:
            return bytes(received)
        received += chunk
