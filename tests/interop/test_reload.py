"""A real process is told to read its configuration again, by SIGHUP and by `segwan reload`, under load."""

import signal
import socket
import threading
import time
import unittest

from world import DEADLINE, ROOT, World, eventually

CONTRACT = (ROOT / "examples/article/add-ten.toml").read_text()


def contract(word):
    """The article's contract without a rate, that answers what is no number by this word."""
    text = CONTRACT.split("[[test]]")[0].replace("Invalid data", word).replace(", max = 3", ", max = 10000")
    return "\n".join("refusals = 10000" if line.startswith("rate") else line for line in text.splitlines())


class Load:
    """Plain clients at work, each answer looked at."""

    def __init__(self, port, words):
        self.port, self.words, self.over = port, words, threading.Event()
        self.answers, self.faults = 0, []
        self.threads = [threading.Thread(target=self.work) for _ in range(4)]
        for thread in self.threads:
            thread.start()

    def work(self):
        try:
            while not self.over.is_set():
                self.converse()
        except OSError as error:
            self.faults.append(error)

    def converse(self):
        """One connection: all of its answers are of one contract."""
        with socket.create_connection(("127.0.0.1", self.port), DEADLINE) as plain, plain.makefile("rb") as lines:
            words = self.words
            for _ in range(500):
                plain.sendall(b"5\nx\n")
                heard = lines.readline(), lines.readline()
                if heard[0] != b"15\n" or heard[1].decode().strip() not in words:
                    self.faults.append((heard, words))
                    self.over.set()
                words = {heard[1].decode().strip()}
                self.answers += 1
                if self.over.is_set():
                    return

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join(2 * DEADLINE)
            if thread.is_alive():
                self.faults.append("somebody waits still")


class Reload(unittest.TestCase):
    def setUp(self):
        self.world = self.enterContext(World())
        self.file = self.world.path / "number.toml"
        self.file.write_text(contract("Word 0"))
        port = self.world.python_service(ROOT / "examples/article/number_service.py")
        self.gateway = self.world.gateway("gate", "calculator", "--to", f"127.0.0.1:{port}", "--listen", "127.0.0.1:0",
                                          "--authority-listen", "127.0.0.1:0", "--allow", "app",
                                          "--contract", str(self.file))
        self.client = self.world.join(self.gateway.token("app"), "app")

    def said(self):
        """What a newcomer is answered that says no number."""
        with socket.create_connection(("127.0.0.1", self.client.port()), DEADLINE) as plain, plain.makefile("rb") as lines:
            plain.sendall(b"x\n")
            return lines.readline().decode().strip()

    def reload(self, code=0):
        return self.world.run("reload", "--state", self.gateway.state, code=code)

    def record(self, event):
        shown = self.world.run("audit", "show", "--state", self.gateway.state)
        return [line for line in shown.splitlines() if f" {event} " in line]

    # ADV-41
    def test_a_hundred_hangups_in_a_second_disturb_nobody(self):
        load = Load(self.client.port(), {"Word 0", "Word 1"})
        self.file.write_text(contract("Word 1"))
        for _ in range(100):
            self.gateway.program.process.send_signal(signal.SIGHUP)
            time.sleep(0.01)
        eventually("the new contract", lambda: self.said() == "Word 1")
        eventually("a hundred answers", lambda: load.faults or load.answers > 100)
        load.end()
        self.assertEqual(load.faults, [])
        eventually("its record", lambda: self.record("reloaded"))
        self.assertLessEqual(len(self.record("reloaded")), 100)
        self.assertEqual(self.record("reload_refused"), [])

    # ADV-39, ADV-41
    def test_a_broken_contract_is_refused_under_load_and_a_good_one_taken(self):
        load = Load(self.client.port(), {"Word 0", "Word 2"})
        self.file.write_text(contract("Word 1").replace('kind = "text"', 'kind = "texts"'))
        self.assertIn("what was in force stays so", self.reload(code=2))
        self.gateway.program.process.send_signal(signal.SIGHUP)
        eventually("both are on record", lambda: len(self.record("reload_refused")) == 2)
        self.assertEqual(self.said(), "Word 0")
        self.assertIn("reload_refused", self.world.run("status", "--state", self.gateway.state))
        self.file.write_text(contract("Word 2"))
        self.assertIn("contract add-ten/1, changed", self.reload())
        self.assertEqual(self.said(), "Word 2")
        self.assertNotIn("reload_refused", self.world.run("status", "--state", self.gateway.state))
        load.end()
        self.assertEqual(load.faults, [])

    # ADV-41
    def test_a_hangup_together_with_the_end_is_an_end(self):
        process = self.gateway.program.process
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGHUP)
        self.assertEqual(self.gateway.program.stop(), 0)
        again = self.world.gateway("gate", "calculator", "--to", "127.0.0.1:9", "--listen", "127.0.0.1:0",
                                   "--authority-listen", "127.0.0.1:0", "--allow", "app", "--contract", str(self.file))
        self.assertEqual(again.program.stop(), 0)

    def ended_by_two_signals(self, pause):
        """Both are there when the process next looks, in whatever order it hears them."""
        process = self.gateway.program.process
        process.send_signal(signal.SIGSTOP)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGCONT)
        return process.wait(pause)

    # ADV-41
    def test_a_second_signal_where_nothing_is_open_cuts_nothing(self):
        for _ in range(5):
            self.assertEqual(self.ended_by_two_signals(DEADLINE), 0)
            self.gateway = self.world.gateway("gate", "calculator", "--to", "127.0.0.1:9", "--listen", "127.0.0.1:0",
                                              "--authority-listen", "127.0.0.1:0", "--allow", "app",
                                              "--contract", str(self.file))

    # ADV-41
    def test_a_second_signal_cuts_what_is_open_and_says_so(self):
        with socket.create_connection(("127.0.0.1", self.client.port()), 10) as plain, plain.makefile("rb") as lines:
            plain.sendall(b"5\n")
            self.assertEqual(lines.readline(), b"15\n")
            plain.sendall(b"5")
            self.assertEqual(self.ended_by_two_signals(20), 4)


if __name__ == "__main__":
    unittest.main()
