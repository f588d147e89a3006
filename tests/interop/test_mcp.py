"""An MCP server whose tools are declared one by one, between two gateways."""

import json
import os
import shutil
import socket
import subprocess
import unittest
from pathlib import Path

from world import DEADLINE, ROOT, SEGWAN, World

MCP = ROOT / "examples/mcp"
PEER = Path(__file__).resolve().parent / "clients/mcp_peer.py"
GREETING = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "assistant", "version": "1"}}


class Talk:
    """One connection, a line a message."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        self.lines = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lines.close()
        self.socket.close()

    def say(self, message):
        self.socket.sendall(json.dumps(message).encode() + b"\n")

    def hear(self):
        line = self.lines.readline()
        return json.loads(line) if line else None

    def notify(self, method, **params):
        self.say({"jsonrpc": "2.0", "method": method, **({"params": params} if params else {})})

    def ask(self, id, method, **params):
        self.say({"jsonrpc": "2.0", "id": id, "method": method, **({"params": params} if params else {})})
        return self.hear()

    def call(self, id, name, **arguments):
        return self.ask(id, "tools/call", name=name, arguments=arguments)

    def greet(self):
        answer = self.ask(0, "initialize", **GREETING)
        self.notify("notifications/initialized")
        return answer


def python():
    """The interpreter that has the reference SDK."""
    for found in (shutil.which("python3"), ROOT / "target/interop/venv/bin/python",
                  Path(SEGWAN).parent.parent / "interop/venv/bin/python"):
        if found and subprocess.run([found, "-c", "import mcp"], capture_output=True).returncode == 0:
            return str(found)
    if os.environ.get("CI") == "true":
        raise AssertionError("missing: mcp")
    return None


PYTHON = python()


def tools(world, service):
    """A gateway before an MCP server, and the nodes of an assistant and a librarian."""
    gateway = world.gateway(
        "gateway", "tools", "--to", f"127.0.0.1:{service}", "--listen", "127.0.0.1:0",
        "--authority-listen", "127.0.0.1:0", "--contract", MCP / "tools.toml", "--policy", MCP / "tools.cedar")
    nodes = {}
    for name in ["assistant", "librarian"]:
        token = world.path / f"{name}.token"
        world.run("token", "new", name, "--out", token, "--state", gateway.state)
        nodes[name] = world.join(token.read_text().strip(), name)
    return gateway, nodes


def error(id, code, message):
    return {"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}


class Mcp(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = cls.enterClassContext(World())
        cls.service = cls.world.start("tools_service", ["python3", MCP / "tools_service.py", "0"])
        port = cls.service.wait_for(r"listening on 127\.0\.0\.1:(\d+)")[1]
        cls.gateway, cls.nodes = tools(cls.world, port)

    def talk(self, name="assistant", greeted=True):
        talk = self.enterContext(Talk(self.nodes[name].port()))
        if greeted:
            self.assertEqual(talk.greet()["result"]["protocolVersion"], "2025-11-25")
        return talk

    def reached(self, what):
        """How often the server has read a message of this kind."""
        return self.service.output().count(f"read {what}")

    def test_the_greeting_comes_first_and_pings_whenever(self):
        """CON-31 CON-16."""
        early = self.talk(greeted=False)
        self.assertEqual(early.ask(1, "ping"), {"jsonrpc": "2.0", "id": 1, "result": {}})
        self.assertIsNone(early.ask(2, "tools/list"))
        event = self.gateway.event(event="rejected", reason="state")
        self.assertEqual((event["class"], event["message"]), ("state", "list"))
        old = self.talk(greeted=False)
        self.assertEqual(old.ask(0, "initialize", **{**GREETING, "protocolVersion": "2024-11-05"}),
                         error(0, -32602, "invalid params"))
        self.assertEqual(old.greet()["result"]["serverInfo"], {"name": "library", "version": "1"})

    def test_declared_tools_are_called_by_whom_the_policy_lets(self):
        """CON-31 CON-18."""
        talk = self.talk()
        self.assertEqual([tool["name"] for tool in talk.ask(1, "tools/list")["result"]["tools"]],
                         ["search", "lend", "shell"])
        found = talk.call("s-1", "search", q="sea")
        self.assertEqual([part["text"] for part in found["result"]["content"]],
                         ["7: The Sea", "8: The Old Man and the Sea"])
        before = self.reached("tools/call")
        self.assertEqual(talk.call(2, "shell", command="id"), error(2, -32601, "method not found"))
        self.assertEqual(talk.call(3, "lend", book=7), error(3, -32001, "not allowed"))
        self.assertEqual(talk.call(4, "search", q="sea", limit=9), error(4, -32602, "invalid params"))
        self.assertEqual(talk.ask(5, "resources/list"), error(5, -32601, "method not found"))
        self.assertEqual(self.reached("tools/call"), before)
        lent = self.talk("librarian").call(1, "lend", book=7)
        self.assertEqual(lent["result"]["content"][0]["text"], "The Sea is yours")
        denied = self.gateway.event(event="rejected", reason="policy_denied")
        self.assertEqual((denied["action"], denied["resources"]), ("tools.call", ["tool/lend"]))

    def test_a_batch_carries_no_call_past_the_policy(self):
        """CON-31: batch."""
        talk, before = self.talk(), self.reached("tools/call")
        lend = {"name": "lend", "arguments": {"book": 7}}
        talk.say([{"jsonrpc": "2.0", "id": 1, "method": "ping"},
                  {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": lend}])
        self.assertEqual(talk.hear(), error(None, -32700, "parse error"))
        self.assertEqual(self.reached("tools/call"), before)
        self.gateway.event(event="rejected", reason="json_top")
        self.assertIn("result", talk.call(3, "search", q="sea"))

    def test_an_id_is_used_once(self):
        """CON-31: id reuse. `1` and `"1"` are two ids, an id twice in one object is none."""
        talk = self.talk()
        self.assertIn("result", talk.ask(1, "tools/list"))
        self.assertIn("result", talk.ask("1", "tools/list"))
        talk.socket.sendall(b'{"jsonrpc":"2.0","id":2,"id":3,"method":"tools/list"}\n')
        self.assertEqual(talk.hear(), error(None, -32700, "parse error"))
        talk.socket.sendall(b'{"jsonrpc":"2.0","id":2.0,"method":"tools/list"}\n')
        self.assertEqual(talk.hear(), error(None, -32600, "invalid request"))
        self.assertIsNone(talk.ask(1, "tools/list"))
        self.gateway.event(event="rejected", reason="pair_reuse")

    def test_a_refused_notification_is_not_answered(self):
        """JSON-RPC 2.0 section 4.1."""
        talk = self.talk()
        pong = {"jsonrpc": "2.0", "id": 1, "result": {}}
        self.assertEqual(talk.ask(1, "ping"), pong)
        before = self.reached("")
        talk.notify("notifications/cancelled", requestId=1)
        talk.notify("tools/call", name="lend", arguments={"book": 7})
        self.assertEqual(talk.ask(2, "ping"), {**pong, "id": 2})
        self.assertEqual(self.reached(""), before + 1)

    def test_what_the_server_leaks_does_not_leave(self):
        """CON-31: leaked `data`."""
        talk = self.talk()
        self.assertEqual(talk.call(1, "search", q="crash"), error(1, -32603, "internal error"))
        event = self.gateway.event(event="rejected", reason="reply_mismatch")
        self.assertEqual((event["class"], event.get("alarm")), ("server", True))
        self.assertIn("result", talk.call(2, "search", q="sea"))


@unittest.skipIf(PYTHON is None, "missing: mcp")
class Reference(unittest.TestCase):
    def test_client_and_server_of_the_reference_sdk_do_not_notice(self):
        """CON-31: greeting, ping, list and call of the SDK; what is refused is an error of the SDK's client."""
        world = self.enterContext(World())
        service = world.start("sdk", [PYTHON, PEER, "serve"])
        _, nodes = tools(world, service.wait_for(r"listening on 127\.0\.0\.1:(\d+)")[1])
        calls = [("search", {"q": "sea"}), ("shell", {"command": "id"}), ("lend", {"book": 7}), ("search", {"x": 1})]
        said = "".join(json.dumps({"name": name, "arguments": arguments}) + "\n" for name, arguments in calls)
        done = subprocess.run([PYTHON, PEER, "ask", str(nodes["assistant"].port())], input=said, capture_output=True,
                              text=True, timeout=2 * DEADLINE)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([json.loads(line) for line in done.stdout.splitlines()], [
            {"version": "2025-11-25", "server": "library"}, {"tools": ["search"]}, {"text": ["nothing about sea"]},
            {"code": -32601, "message": "method not found"}, {"code": -32001, "message": "not allowed"},
            {"code": -32602, "message": "invalid params"}])


if __name__ == "__main__":
    unittest.main()
