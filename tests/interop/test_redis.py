"""redis-server behind `contract = "raw"` and behind `codec = "resp"`, with redis-cli and redis-py."""

import json
import os
import re
import socket
import subprocess
import unittest
from pathlib import Path

from world import DEADLINE, ROOT, World, need

try:
    import redis
except ImportError:
    redis = None
    if os.environ.get("CI") == "true":
        raise

CACHE = ROOT / "examples/redis"
COMMANDS = ROOT / "crates/core/src/contract/codec/resp/commands.rs"

# ioredis has a folder of packages of its own.
IOREDIS = Path(os.environ.get("IOREDIS", ROOT / "target/interop/ioredis")) / "node_modules"
if not (IOREDIS / "ioredis").is_dir() and os.environ.get("CI") == "true":
    raise AssertionError("missing: ioredis")

# What the example does not have: transactions, and a refusal within one that does not end it.
TRANSACTIONS = """
contract = "transactions/1"
codec    = "resp"

[limits]
rate = { per = "identity", messages = "10000/s" }

[[client.message]]
name   = "session"
match  = ["PING", "MULTI", "EXEC", "DISCARD"]
action = "redis.session"

[[client.message]]
name       = "client"
match      = ["CLIENT"]
action     = "redis.session"
fields.sub = { enum = ["SETINFO"] }

[[client.message]]
name     = "value"
match    = ["GET", "SET", "INCR", "INCRBY"]
action   = "redis.value"
resource = "key/${keys[*]}"
"""


def needs_ioredis(test):
    missing = not (IOREDIS / "ioredis").is_dir()
    return unittest.skipIf(missing, "missing: ioredis (`scripts/interop --install`)")(need("node")(test))


@need("redis-server", "redis-cli")
class Redis(unittest.TestCase):
    def setUp(self):
        self.world = self.enterContext(World())
        self.socket = self.world.path / "redis.sock"
        server = self.world.start("redis", ["redis-server", "--port", "0", "--unixsocket", self.socket, "--save", "",
                                            "--dir", self.world.path])
        server.wait_for("eady to accept connections")
        self.gateway = self.world.gateway("gateway", "redis", "--to", f"unix:{self.socket}", "--listen", "127.0.0.1:0",
                                          "--authority-listen", "127.0.0.1:0", "--allow", "app", "--contract", "raw")
        self.node = self.world.join(self.gateway.token("app"), "app")

    def redis_cli(self, *arguments, input=None):
        done = subprocess.run(["redis-cli", *map(str, arguments)], input=input, capture_output=True, text=True,
                              timeout=DEADLINE)
        return done.stdout.strip() + done.stderr.strip()

    def test_redis_cli_through_the_client_half(self):
        """S1a S1e: a plain client, a plain server, TLS between them."""
        port = self.node.port()
        self.assertEqual(self.redis_cli("-p", port, "SET", "fruit", "배"), "OK")
        self.assertEqual(self.redis_cli("-p", port, "--no-raw", "EXISTS", "fruit"), "(integer) 1")
        big = "x" * 3_000_000
        self.assertEqual(self.redis_cli("-p", port, "-x", "SET", "big", input=big), "OK")
        self.assertEqual(len(self.redis_cli("-p", port, "GET", "big")), len(big))

    def test_redis_cli_directly_over_tls(self):
        """S2d T-01: with the certificate that joining gave; without one, refused."""
        chain, key = self.node.credentials("app")
        roots = self.gateway.state / "authority/root.pem"
        tls = ["-p", self.gateway.port(), "--tls", "--cacert", roots]
        self.assertEqual(self.redis_cli(*tls, "--cert", chain, "--key", key, "PING"), "PONG")
        self.assertNotIn("PONG", self.redis_cli(*tls, "PING"))
        self.gateway.event(event="refused", reason="certificate_required")

    def test_it_is_listed_as_uninspected(self):
        """C14: who asks for no inspection sees so wherever the service is listed."""
        self.assertIn("uninspected", self.world.run("status", "--state", self.gateway.state))


def command(*words):
    """A command as an array of bulk strings."""
    words = [word if isinstance(word, bytes) else word.encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


class Inspected(unittest.TestCase):
    """A server behind a contract."""

    def serve(self, contract, *policy, service="cache"):
        self.world = self.enterContext(World())
        if isinstance(contract, str):
            path = self.world.path / "contract.toml"
            path.write_text(contract)
            contract = path
        self.socket = self.world.path / "redis.sock"
        server = self.world.start("redis", ["redis-server", "--port", "0", "--unixsocket", self.socket, "--save", "",
                                            "--dir", self.world.path])
        server.wait_for("eady to accept connections")
        self.direct("MSET", "app:x", "1", "other:x", "2")
        self.gateway = self.world.gateway("gateway", service, "--to", f"unix:{self.socket}", "--listen", "127.0.0.1:0",
                                          "--authority-listen", "127.0.0.1:0", "--contract", contract, *policy)
        self.direct("CONFIG", "RESETSTAT")

    def node(self, name):
        token = self.world.path / f"{name}.token"
        self.world.run("token", "new", name, "--out", token, "--state", self.gateway.state)
        return self.world.join(token.read_text().strip(), name)

    def redis_cli(self, *arguments):
        done = subprocess.run(["redis-cli", *map(str, arguments)], capture_output=True, text=True, timeout=DEADLINE)
        return done.stdout.strip() + done.stderr.strip()

    def ioredis(self, *arguments):
        """What the client of that name tells of a scene."""
        script = Path(__file__).parent / "clients/ioredis_client.js"
        done = subprocess.run(["node", script, *map(str, arguments)], capture_output=True, text=True, timeout=2 * DEADLINE,
                              env={**os.environ, "NODE_PATH": str(IOREDIS)})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def direct(self, *words):
        """Asks the server past Segwan."""
        return self.redis_cli("-s", self.socket, *words)

    def reached(self):
        """The commands that the server has seen, but for those of this test itself."""
        seen = re.findall(r"cmdstat_([a-z|_-]+):", self.direct("INFO", "commandstats"))
        return {name for name in seen if name not in ("info", "config|resetstat")}

    def connect(self, node):
        return self.enterContext(socket.create_connection(("127.0.0.1", node.port()), timeout=DEADLINE))

    def exchange(self, connection, sent, size):
        connection.sendall(sent)
        got = b""
        while len(got) < size:
            chunk = connection.recv(65536)
            self.assertTrue(chunk, got)
            got += chunk
        return got


@need("redis-server", "redis-cli")
class Cache(Inspected):
    """CON-32: the contract and the policy of examples/redis before a real server."""

    def setUp(self):
        self.serve(CACHE / "cache.toml", "--policy", CACHE / "cache.cedar")

    def test_what_each_identity_may_do_and_nothing_else(self):
        """CON-20 S2e: by command and by each key that it names."""
        reader = ["-p", self.node("reader").port()]
        writer = ["-p", self.node("writer").port()]
        self.assertEqual(self.redis_cli(*reader, "GET", "app:x"), "1")
        self.assertEqual(self.redis_cli(*reader, "get", "app:x"), "1")
        self.assertEqual(self.redis_cli(*reader, "-3", "GET", "app:x"), "1")
        for words in [("GET", "other:x"), ("MGET", "app:x", "other:x"), ("SET", "app:x", "3"), ("DEL", "app:x"),
                      ("EVAL", "return redis.call('get','other:x')", "0"), ("KEYS", "*"), ("FLUSHALL",), ("MONITOR",),
                      ("SUBSCRIBE", "news"), ("GETDEL", "app:x"), ("CONFIG", "GET", "*"), ("ACL", "WHOAMI")]:
            with self.subTest(words):
                self.assertEqual(self.redis_cli(*reader, *words), "NOPERM not allowed")
        self.assertEqual(self.redis_cli(*writer, "SET", "app:x", "3"), "OK")
        self.assertEqual(self.redis_cli(*writer, "SET", "other:x", "3"), "NOPERM not allowed")
        self.assertEqual(self.redis_cli(*reader, "GET", "app:x"), "3")
        self.assertEqual(self.direct("GET", "other:x"), "2")
        self.assertEqual(self.reached(), {"get", "hello", "set"} | self.reached() & {"client|setinfo"})
        event = self.gateway.event(event="rejected", peer="spiffe://segwan.internal/writer")
        self.assertEqual((event["reason"], event["action"], event["resources"]),
                         ("policy_denied", "redis.write", ["key/other:x"]))

    def test_an_inline_command_reaches_nobody(self):
        """CON-32: HTTP, a bare word, a command behind a good one."""
        node = self.node("writer")
        for sent in [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"PING\r\n", b"FLUSHALL\r\n", b"*1\r\n+PING\r\n"]:
            with self.subTest(sent), socket.create_connection(("127.0.0.1", node.port()), timeout=DEADLINE) as connection:
                connection.sendall(sent)
                with self.assertRaises((AssertionError, ConnectionError)):
                    self.exchange(connection, b"", 1)
        self.gateway.event(event="rejected", reason="inline_command")
        self.assertEqual(self.reached(), set())

    def test_refusals_keep_their_place_in_a_pipeline(self):
        """TRAP-09: at once and byte by byte, hundreds of refusals between replies."""
        connection = self.connect(self.node("reader"))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        good, bad = (command("GET", "app:x"), b"$1\r\n1\r\n"), (command("SET", "app:x", "2"), b"-NOPERM not allowed\r\n")
        mixed = [good, bad, bad, good, (command("KEYS", "*"), bad[1]), good] * 15
        sent, expected = (b"".join(part) for part in zip(*mixed))
        self.assertEqual(self.exchange(connection, sent, len(expected)), expected)
        sent, expected = (b"".join(part) for part in zip(good, bad, good))
        for byte in sent:
            connection.sendall(bytes([byte]))
        self.assertEqual(self.exchange(connection, b"", len(expected)), expected)
        self.assertEqual(self.reached(), {"get"})

    def test_keys_that_are_no_text_are_keys_like_others(self):
        """CON-22: a binary key has a name of its own, and is not under `app:`."""
        connection = self.connect(self.node("writer"))
        refused = b"-NOPERM not allowed\r\n"
        for key in [b"\xff\x00", b"app:\xff", b"APP:x", b"app\xef\xbc\x9ax", b" app:x"]:
            self.assertEqual(self.exchange(connection, command("SET", key, "v"), len(refused)), refused, key)
        stored = [b"app:\r\n$3\r\n", "app:키".encode(), b"app:*", b"app:/../x"]
        for key in stored:
            self.assertEqual(self.exchange(connection, command("SET", key, "v"), 5), b"+OK\r\n", key)
        self.assertEqual(self.direct("DBSIZE"), str(2 + len(stored)))

    @unittest.skipIf(redis is None, "missing: redis-py (`scripts/interop --install`)")
    def test_redis_py_in_both_protocols(self):
        """CON-32: values, pipelines and errors as the library raises them."""
        port = self.node("writer").port()
        for protocol in (2, 3):
            with self.subTest(protocol), redis.Redis(port=port, protocol=protocol, socket_timeout=DEADLINE) as client:
                self.assertTrue(client.set("app:py", b"\x00\xff"))
                self.assertEqual(client.get("app:py"), b"\x00\xff")
                self.assertIsNone(client.get("app:none"))
                with self.assertRaises(redis.exceptions.NoPermissionError):
                    client.get("other:x")
                pipeline = client.pipeline(transaction=False)
                for key in ("app:py", "other:x", "app:x"):
                    pipeline.get(key)
                first, second, third = pipeline.execute(raise_on_error=False)
                self.assertEqual((first, third), (b"\x00\xff", b"1"))
                self.assertIsInstance(second, redis.exceptions.NoPermissionError)
                with self.assertRaises(redis.exceptions.NoPermissionError):
                    client.eval("return 1", 0)

    @needs_ioredis
    def test_ioredis_gets_answers_and_refusals_in_their_places(self):
        """CON-32: a pipeline with refusals, a refused EVAL, an inline command that ends the connection."""
        pipelined, script, value, end = self.ioredis("cache", self.node("writer").port())
        refused = "error: NOPERM not allowed"
        self.assertEqual(pipelined, ["OK", refused, "1", refused, ["1", None]])
        self.assertEqual((script, value, end), (refused, "1", "ended"))
        self.gateway.event(event="rejected", reason="inline_command")
        self.assertLessEqual(self.reached(), {"set", "get", "mget", "client|setinfo"})

    def test_the_table_of_commands_is_the_server_s(self):
        """CON-32: arity and places of keys as `COMMAND` gives them, subcommands too."""
        rows = re.findall(r'^    c\("([A-Z_]+)", (-?\d+), (.+)\),$', COMMANDS.read_text(), re.M)
        self.assertGreater(len(rows), 200)
        known = {entry[0].upper(): entry for entry in json.loads(self.direct("--json", "COMMAND"))}
        places = {"NONE": (0, 0, 0), "ONE": (1, 1, 1), "TWO": (1, 2, 1), "ALL": (1, -1, 1)}
        compared = 0
        for name, arity, keys in rows:
            if name not in known:
                continue
            _, server_arity, flags, first, last, step = known[name][:6]
            with self.subTest(name):
                compared += 1
                self.assertEqual(int(arity), server_arity)
                fixed = places.get(keys) or (keys.startswith("at(") and tuple(map(int, keys[3:-1].split(", "))))
                if name in ("SPUBLISH", "SSUBSCRIBE", "SUNSUBSCRIBE"):
                    self.assertEqual(keys, "NONE")  # the server's key is a channel
                elif fixed:
                    self.assertNotIn("movablekeys", flags)
                    self.assertEqual(fixed, (first, last, step))
                elif keys.startswith("sub("):
                    subs = {sub[0].split("|")[1].upper() for sub in known[name][9] if sub[3] == 2}
                    self.assertEqual(set(re.findall(r'"([A-Z]+)"', keys)), subs)
                else:
                    self.assertIn("movablekeys", flags)
        self.assertGreater(compared, 200)


@need("redis-server", "redis-cli")
class Transactions(Inspected):
    """CON-32: MULTI and EXEC are ordinary replies; a refusal between them ends the connection."""

    def setUp(self):
        self.serve(TRANSACTIONS, "--allow", "writer")
        self.writer = self.world.join(self.gateway.token("writer"), "writer")

    def test_a_transaction_passes(self):
        sent = command("MULTI") + command("SET", "n", "1") + command("INCR", "n") + command("EXEC") + command("GET", "n")
        expected = b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:2\r\n$1\r\n2\r\n"
        self.assertEqual(self.exchange(self.connect(self.writer), sent, len(expected)), expected)

    def test_a_refusal_leaves_no_half_of_a_transaction(self):
        sent = command("MULTI") + command("SET", "app:x", "9") + command("FLUSHALL") + command("EXEC")
        connection = self.connect(self.writer)
        expected = b"+OK\r\n+QUEUED\r\n-ERR not accepted\r\n"
        self.assertEqual(self.exchange(connection, sent, len(expected)), expected)
        self.assertEqual(connection.recv(1), b"")
        self.assertEqual(self.direct("GET", "app:x"), "1")
        self.assertNotIn("exec", self.reached())

    @needs_ioredis
    def test_ioredis_does_transactions(self):
        """CON-32: at once and command by command."""
        at_once, queued, one_by_one = self.ioredis("transactions", self.writer.port())
        self.assertEqual((at_once, queued, one_by_one), (["OK", 2, "2"], "QUEUED", [3]))

    @unittest.skipIf(redis is None, "missing: redis-py (`scripts/interop --install`)")
    def test_redis_py_does_transactions(self):
        with redis.Redis(port=self.writer.port(), socket_timeout=DEADLINE, protocol=2) as client:
            self.assertEqual(client.pipeline().set("a", "1").incr("a").execute(), [True, 2])


@need("redis-server", "redis-cli")
class Subscriptions(Inspected):
    """CON-32 TRAP-29: the contract and the policy of examples/redis/news.toml before a real server."""

    def setUp(self):
        self.serve(CACHE / "news.toml", "--policy", CACHE / "news.cedar", service="news")

    def hears(self, connection, *expected):
        """Reads these answers and pushes, and no byte more."""
        expected = b"".join(part if isinstance(part, bytes) else said(*part) for part in expected)
        self.assertEqual(self.exchange(connection, b"", len(expected)), expected)

    def test_who_may_hear_and_who_may_tell(self):
        """CON-20 TRAP-29: by each channel and pattern that a command names, as a whole."""
        reader, writer = self.connect(self.node("reader")), self.connect(self.node("writer"))
        refused = b"-NOPERM not allowed\r\n"
        for words in [("SUBSCRIBE", "other"), ("SUBSCRIBE", "app:a", "other"), ("PSUBSCRIBE", "*"), ("PSUBSCRIBE", "app*"),
                      ("PSUBSCRIBE", "app[:]*"), ("PUBLISH", "app:a", "x"), ("SSUBSCRIBE", "app:a"), ("GET", "app:x")]:
            with self.subTest(words):
                self.assertEqual(self.exchange(reader, command(*words), len(refused)), refused)
        self.assertEqual(self.reached(), set())
        reader.sendall(command("SUBSCRIBE", "app:a") + command("PSUBSCRIBE", "app:*"))
        self.hears(reader, ("subscribe", "app:a", 1), ("psubscribe", "app:*", 2))
        self.assertEqual(self.exchange(writer, command("PUBLISH", "app:a", "hi") + command("PUBLISH", "other", "x"), 25),
                         b":2\r\n" + refused)
        self.assertEqual(self.direct("PUBLISH", "other", "unheard"), "0")
        self.hears(reader, ("message", "app:a", "hi"), ("pmessage", "app:*", "app:a", "hi"))
        event = self.gateway.event(event="rejected", peer="spiffe://segwan.internal/reader", resources=["channel/app%2A"])
        self.assertEqual((event["reason"], event["action"]), ("policy_denied", "redis.subscribe"))

    def test_what_a_subscriber_may_say_meanwhile(self):
        """CON-16 TRAP-14: pushes while answers are due, refusals in their places, and the way out."""
        connection = self.connect(self.node("writer"))
        connection.sendall(command("SUBSCRIBE", "app:a", "app:b") + command("PUBLISH", "app:a", "x") + command("PING"))
        later = b"-ERR not while subscribed\r\n"
        self.hears(connection, ("subscribe", "app:a", 1), ("subscribe", "app:b", 2), later, ("pong", ""))
        self.direct("PUBLISH", "app:b", "1")
        self.hears(connection, ("message", "app:b", "1"))
        connection.sendall(command("UNSUBSCRIBE", "app:b", "app:none"))
        self.hears(connection, ("unsubscribe", "app:b", 1), ("unsubscribe", "app:none", 1))
        connection.sendall(command("UNSUBSCRIBE"))
        self.hears(connection, ("unsubscribe", "app:a", 0))
        connection.sendall(command("PUBLISH", "app:a", "x") + command("PING") + command("UNSUBSCRIBE"))
        self.hears(connection, b":0\r\n+PONG\r\n", b"*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n")
        connection.sendall(command("SUBSCRIBE", "app:a") + command("RESET") + command("SUBSCRIBE", "app:a"))
        self.hears(connection, ("subscribe", "app:a", 1), b"+RESET\r\n", ("subscribe", "app:a", 1))

    def test_thousands_of_messages_between_answers(self):
        """TRAP-14: nothing is lost, nothing closes a request, in either protocol."""
        for protocol in (2, 3):
            with self.subTest(protocol), self.connect(self.node(["reader", "writer"][protocol - 2])) as connection:
                mark = b"*" if protocol == 2 else b">"
                connection.sendall(command("HELLO", str(protocol)) + command("SUBSCRIBE", "app:a"))
                confirmed = mark + said("subscribe", "app:a", 1)[1:]
                got = b""
                while not got.endswith(confirmed):
                    chunk = connection.recv(65536)
                    self.assertTrue(chunk, got)
                    got += chunk
                count = 2000
                told = subprocess.Popen(["redis-cli", "-s", self.socket, "-r", str(count), "PUBLISH", "app:a", "x"],
                                        stdout=subprocess.DEVNULL)
                for _ in range(50):
                    connection.sendall(command("PING"))
                push, got = mark + said("message", "app:a", "x")[1:], b""
                pong = said("pong", "") if protocol == 2 else b"+PONG\r\n"
                while len(got) < count * len(push) + 50 * len(pong):
                    chunk = connection.recv(65536)
                    self.assertTrue(chunk)
                    got += chunk
                self.assertEqual(told.wait(DEADLINE), 0)
                self.assertEqual((got.count(push), got.count(pong)), (count, 50))

    @unittest.skipIf(redis is None, "missing: redis-py (`scripts/interop --install`)")
    def test_redis_py_in_both_protocols(self):
        """CON-32: what the library makes of confirmations, messages and refusals."""
        reader, writer = self.node("reader").port(), self.node("writer").port()
        for protocol in (2, 3):
            options = {"protocol": protocol, "socket_timeout": DEADLINE}
            with self.subTest(protocol), redis.Redis(port=reader, **options) as client, \
                    redis.Redis(port=writer, **options) as teller:
                listener = client.pubsub()
                listener.subscribe("app:a", "app:b")
                listener.psubscribe("app:*")
                kinds = [listener.get_message(timeout=DEADLINE)["type"] for _ in range(3)]
                self.assertEqual(kinds, ["subscribe", "subscribe", "psubscribe"])
                self.assertEqual(teller.publish("app:a", b"\x00\xff"), 2)
                first, second = (listener.get_message(timeout=DEADLINE) for _ in range(2))
                self.assertEqual((first["type"], first["channel"], first["data"]), ("message", b"app:a", b"\x00\xff"))
                self.assertEqual((second["type"], second["pattern"], second["data"]),
                                 ("pmessage", b"app:*", b"\x00\xff"))
                with self.assertRaises(redis.exceptions.NoPermissionError):
                    teller.publish("other", "x")
                listener.ping()
                self.assertEqual(listener.get_message(timeout=DEADLINE)["type"], "pong")
                listener.unsubscribe()
                listener.punsubscribe()
                kinds = [listener.get_message(timeout=DEADLINE)["type"] for _ in range(3)]
                self.assertEqual(sorted(kinds), ["punsubscribe", "unsubscribe", "unsubscribe"])
                self.assertFalse(listener.subscribed)
                listener.subscribe("other")
                with self.assertRaises(redis.exceptions.NoPermissionError):
                    listener.get_message(timeout=DEADLINE)
                listener.close()

    @needs_ioredis
    def test_ioredis_subscribes(self):
        """CON-32: its count of subscriptions decides what it takes answers for."""
        *results, heard = self.ioredis("news", self.node("reader").port(), self.node("writer").port())
        refused = "error: NOPERM not allowed"
        self.assertEqual(results, [2, 3, refused, refused, 2, 1, 2, 2, 0, "PONG"])
        pushed = [["message", "app:a", "1"], ["pmessage", "app:*", "app:a", "1"], ["pmessage", "app:*", "app:c", "2"],
                  ["message", "app:b", "3"], ["pmessage", "app:*", "app:b", "3"]]
        self.assertEqual(heard, pushed)


def said(*parts):
    """A list as a server says it in RESP2."""
    each = [b":%d\r\n" % part if isinstance(part, int) else b"$%d\r\n%s\r\n" % (len(part), part.encode())
            for part in parts]
    return b"*%d\r\n" % len(parts) + b"".join(each)


if __name__ == "__main__":
    unittest.main()
