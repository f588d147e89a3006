"""A contract drafted from recorded traffic of a real service is put in force, and its clients notice nothing."""

import json
import stat
import unittest

from world import ROOT, World, lines

JSONL = ROOT / "examples/jsonl"
PARTS = ["bolt-m4", "bolt-m5", "nut-m4", "nut-m5", "washer-4", "rod-10", "gear-18", "spring-2"]


def requests(connection):
    """Fifty requests of one connection."""
    kinds = [lambda part, n: {"op": "get", "part": part}, lambda part, n: {"op": "put", "part": part, "count": n},
             lambda part, n: {"op": "get", "part": part}, lambda part, n: {"op": "list"}]
    return [json.dumps({"id": id, **kinds[id % 4](PARTS[(id + connection) % 8], 7 * id + connection)})
            for id in range(1, 51)]


class Learn(unittest.TestCase):
    def setUp(self):
        self.world = self.enterContext(World())
        self.service = self.world.python_service(JSONL / "inventory_service.py")

    def serve(self, state, *arguments):
        return self.world.gateway(state, "inventory", "--to", f"127.0.0.1:{self.service}", "--listen", "127.0.0.1:0",
                                  "--authority-listen", "127.0.0.1:0", "--allow", "app", *arguments)

    def talk(self, node):
        return [lines(node.port(), *requests(connection)) for connection in range(20)]

    def test_record_learn_serve(self):
        """CON-29: 1,000 messages recorded raw; the learned contract passes them all and nothing that was not heard."""
        gateway = self.serve("raw", "--contract", "raw", "--record")
        self.assertIn("uninspected, recorded", gateway.program.output())
        node = self.world.join(gateway.token("app"), "app")
        before = self.talk(node)
        node.program.stop()
        gateway.program.stop()
        record = gateway.state / "captures/inventory.jsonl"
        self.assertEqual(stat.S_IMODE(record.stat().st_mode), 0o600)

        learned = self.world.path / "learned.toml"
        printed = self.world.run("contract", "learn", record, "-o", learned)
        self.assertIn("1000 messages of the client and 1000 of the server", printed)
        self.world.run("contract", "learn", record, "-o", learned, code=2)
        self.world.run("contract", "check", learned)

        gateway = self.serve("learned", "--contract", learned)
        node = self.world.join(gateway.token("app"), "app", state="app-again")
        for connection, answers in enumerate(self.talk(node)):
            self.assertEqual(len(answers.splitlines()), len(before[connection].splitlines()), connection)
        for wrong in [{"id": 1, "op": "debug"}, {"id": 1, "op": "get", "part": "bolt-m4", "admin": True},
                      {"id": 1, "op": "get", "part": "../etc"}, {"id": 1, "op": "put", "part": "rod-10", "count": -1}]:
            self.assertEqual(lines(node.port(), json.dumps(wrong)), b"", wrong)


if __name__ == "__main__":
    unittest.main()
