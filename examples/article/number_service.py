#!/usr/bin/env python3
"""The article's number service: plain sockets, no security of its own.

Each line holds a number; the answer is that number plus ten, or `Invalid data`. Compared with the
article's sample it reads whole lines, answers every connection in its own thread, and lives on
after a bad one. All else (who may ask, what may be asked, who can read along) it leaves to others.
"""

import socket
import socketserver
import sys


class Numbers(socketserver.StreamRequestHandler):
    timeout = 60

    def handle(self):
        for line in self.rfile:
            try:
                answer = str(int(line.decode()) + 10)
            except ValueError:
                answer = "Invalid data"
            self.wfile.write(answer.encode() + b"\n")


class Service(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = socket.SOMAXCONN

    def handle_error(self, request, client_address):
        """A connection that breaks ends alone; its reason is one line."""
        print(f"connection of {client_address} ended: {sys.exc_info()[1]}", file=sys.stderr)


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    with Service(("127.0.0.1", port), Numbers) as service:
        print(f"listening on 127.0.0.1:{service.server_address[1]}", flush=True)
        service.serve_forever()
