#!/usr/bin/env python3
"""A request service over JSON lines, with plain sockets: an inventory of parts.

    {"id": 1, "op": "get", "part": "bolt-m4"}              -> {"id": 1, "ok": true, "count": 12}
    {"id": 2, "op": "put", "part": "bolt-m4", "count": 30} -> {"id": 2, "ok": true, "count": 30}
    {"id": 3, "op": "list"}                                -> {"id": 3, "ok": true, "parts": ["bolt-m4"]}

It believes whatever it is told. `inventory.toml` says what may be said, `inventory.cedar` by whom.
"""

import json
import socketserver
import sys
import threading

stock = {"bolt-m4": 12, "nut-m4": 40}
lock = threading.Lock()


def answer(request):
    with lock:
        match request["op"]:
            case "get":
                return {"ok": True, "count": stock.get(request["part"], 0)}
            case "put":
                stock[request["part"]] = request["count"]
                return {"ok": True, "count": request["count"]}
            case "list":
                return {"ok": True, "parts": sorted(stock)}
            case "debug":
                # What a contract is for: an answer that nobody outside should see.
                return {"ok": True, "environment": sys.version, "stock": stock}


class Inventory(socketserver.StreamRequestHandler):
    timeout = 60

    def handle(self):
        for line in self.rfile:
            request = json.loads(line)
            reply = {"id": request["id"], **(answer(request) or {"ok": False})}
            self.wfile.write(json.dumps(reply).encode() + b"\n")


class Service(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8100
    with Service(("127.0.0.1", port), Inventory) as service:
        print(f"listening on 127.0.0.1:{service.server_address[1]}", flush=True)
        service.serve_forever()
