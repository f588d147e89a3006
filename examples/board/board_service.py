#!/usr/bin/env python3
"""A notice board over plain sockets, one message a line.

    login NAME             -> welcome
    follow TOPIC           -> done, and from now on: news TOPIC LEVEL TEXT
    pin TOPIC LEVEL TEXT   -> done, and everybody who follows the topic is told

It believes every name and tells every follower everything. `board.toml` and `board.cedar` do not.
"""

import socketserver
import sys
import threading

followers = {}
lock = threading.Lock()


class Board(socketserver.StreamRequestHandler):
    timeout = 600

    def handle(self):
        for line in self.rfile:
            match line.decode().rstrip("\n").split(" ", 3):
                case ["login", _]:
                    self.tell("welcome")
                case ["follow", topic]:
                    with lock:
                        followers.setdefault(topic, set()).add(self)
                        self.tell("done")
                case ["pin", topic, level, text]:
                    with lock:
                        for follower in followers.get(topic, ()):
                            follower.tell(f"news {topic} {level} {text}")
                        self.tell("done")

    def finish(self):
        with lock:
            for all in followers.values():
                all.discard(self)
        super().finish()

    def tell(self, line):
        try:
            self.wfile.write(line.encode() + b"\n")
        except OSError:
            pass  # It has gone, and leaves the board by itself.


class Service(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8300
    with Service(("127.0.0.1", port), Board) as service:
        print(f"listening on 127.0.0.1:{service.server_address[1]}", flush=True)
        service.serve_forever()
