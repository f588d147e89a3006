#!/usr/bin/env python3
"""A transfer service over fixed columns in EUC-KR, with plain sockets.

    0064 0200 TXID(8) FROM(14) PAYEE(20) WON(13) FILLER(5)  ->  0016 0210 TXID(8) RESULT(4)

It believes whatever it is told. `transfer-ko.toml` says what may be said.
"""

import socketserver
import sys
import threading

balance = {"1234567890": 1_000_000_000}
lock = threading.Lock()


def answer(record):
    # What a contract is for: characters are not bytes, and `int` reads signs, spaces and full-width digits.
    txid, account = record[4:12].decode(), record[12:26].decode("euc-kr", "replace").strip()
    payee, won = record[26:46].decode("euc-kr", "replace").strip(), int(record[46:59].decode("euc-kr"))
    with lock:
        enough = balance.get(account, 0) >= won
        if enough:
            balance[account] -= won
    print(f"transfer {txid} from {account} to {payee}: {won}", flush=True)
    return f"0210{txid}{'0000' if enough else '1000'}".encode()


class Transfer(socketserver.StreamRequestHandler):
    timeout = 60

    def handle(self):
        while length := self.rfile.read(4):
            reply = answer(self.rfile.read(int(length)))
            self.wfile.write(f"{len(reply):04}".encode() + reply)


class Service(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8200
    with Service(("127.0.0.1", port), Transfer) as service:
        print(f"listening on 127.0.0.1:{service.server_address[1]}", flush=True)
        service.serve_forever()
