#!/usr/bin/env python3
"""A library's MCP server, one JSON-RPC message a line over TCP, with plain sockets.

    search  {"q": TEXT}       -> books whose title has it
    lend    {"book": NUMBER}  -> who believes it is lent to them
    shell   {"command": TEXT} -> what nobody should be able to call

It believes whatever it is told. `tools.toml` says what may be said and when, `tools.cedar` by whom.
"""

import json
import socketserver
import sys

BOOKS = {7: "The Sea", 8: "The Old Man and the Sea", 9: "Please Look After Mom"}
VERSIONS = ["2025-06-18", "2025-11-25"]


def tool(name, argument, kind):
    return {"name": name, "description": f"{name} by {argument}",
            "inputSchema": {"type": "object", "required": [argument], "properties": {argument: {"type": kind}}}}


TOOLS = [tool("search", "q", "string"), tool("lend", "book", "integer"), tool("shell", "command", "string")]


def text(*lines):
    return {"result": {"content": [{"type": "text", "text": line} for line in lines]}}


def fault(code, message, **data):
    return {"error": {"code": code, "message": message, **data}}


def call(name, arguments):
    match name:
        case "search":
            if arguments["q"] == "crash":
                # What a contract is for: an answer that nobody outside should see.
                return fault(-32603, "internal error", data={"trace": __file__, "books": BOOKS})
            return text(*[f"{number}: {title}" for number, title in BOOKS.items()
                          if arguments["q"].lower() in title.lower()])
        case "lend":
            return text(f"{BOOKS[arguments['book']]} is yours")
        case "shell":
            return text("root")
    return fault(-32602, "no such tool")


def answer(method, params):
    match method:
        case "initialize":
            asked = params["protocolVersion"]
            return {"result": {"protocolVersion": asked if asked in VERSIONS else VERSIONS[-1],
                               "capabilities": {"tools": {"listChanged": False}},
                               "serverInfo": {"name": "library", "version": "1"}}}
        case "ping":
            return {"result": {}}
        case "tools/list":
            return {"result": {"tools": TOOLS}}
        case "tools/call":
            return call(params["name"], params["arguments"])
    return fault(-32601, "no such method")


class Tools(socketserver.StreamRequestHandler):
    timeout = 60

    def handle(self):
        for line in self.rfile:
            said = json.loads(line)
            # A batch too: how a call gets past whoever looks at one request.
            for request in said if isinstance(said, list) else [said]:
                print(f"read {request.get('method')} {request.get('params', {}).get('name', '')}", flush=True)
                if "method" in request and "id" in request:
                    reply = {"jsonrpc": "2.0", "id": request["id"], **answer(request["method"], request.get("params"))}
                    self.wfile.write(json.dumps(reply).encode() + b"\n")


class Service(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8300
    with Service(("127.0.0.1", port), Tools) as service:
        print(f"listening on 127.0.0.1:{service.server_address[1]}", flush=True)
        service.serve_forever()
