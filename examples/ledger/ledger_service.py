#!/usr/bin/env python3
"""A ledger of accounts over JSON-RPC 2.0, one message a line, with plain sockets.

    hello             {"version": "2"}                              -> {"version": "2"}
    account.transfer  {"from": A, "to": B, "won": N[, memo, pin]}   -> {"receipt": "A1B2C3D4E5F6"}

It believes whatever it is told. `ledger.toml` says what may be said and when, `ledger.cedar` by whom.
"""

import json
import secrets
import socketserver
import sys
import threading

accounts = {"1234567890": 1_000_000_000, "1234567899": 0}
lock = threading.Lock()


def fault(code, message, **data):
    return {"error": {"code": code, "message": message, **data}}


def answer(method, params):
    match method:
        case "hello":
            return {"result": {"version": "2"}}
        case "account.transfer":
            with lock:
                if accounts.get(params["from"], 0) < params["won"]:
                    return fault(-32010, "no funds")
                if params.get("memo") == "crash":
                    # What a contract is for: an answer that nobody outside should see.
                    return fault(-32603, "internal error", data={"trace": __file__, "accounts": accounts})
                accounts[params["from"]] -= params["won"]
                accounts[params["to"]] = accounts.get(params["to"], 0) + params["won"]
            return {"result": {"receipt": secrets.token_hex(6).upper()}}
    return fault(-32601, "no such method")


class Ledger(socketserver.StreamRequestHandler):
    timeout = 60

    def handle(self):
        for line in self.rfile:
            request = json.loads(line)
            reply = {"jsonrpc": "2.0", "id": request["id"], **answer(request["method"], request["params"])}
            self.wfile.write(json.dumps(reply).encode() + b"\n")


class Service(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8200
    with Service(("127.0.0.1", port), Ledger) as service:
        print(f"listening on 127.0.0.1:{service.server_address[1]}", flush=True)
        service.serve_forever()
