"""A server and a client of the reference SDK of MCP, one message a line over TCP.

`serve` prints its port and serves one tool, `search`. `ask PORT` greets, lists, pings and calls; it prints one line of
JSON for each call named on its standard input as `{"name": .., "arguments": ..}`.
"""

import json
import sys

import anyio
import mcp_types as types
from anyio.streams.buffered import BufferedByteReceiveStream
from mcp import ClientSession, MCPError
from mcp.server.mcpserver import MCPServer
from mcp.shared.message import SessionMessage


async def pumped(stream, run):
    """Runs what wants streams of messages on a stream of bytes."""
    to_run, incoming = anyio.create_memory_object_stream(0)
    outgoing, of_run = anyio.create_memory_object_stream(0)

    async def read():
        received = BufferedByteReceiveStream(stream)
        async with to_run:
            try:
                while True:
                    line = await received.receive_until(b"\n", 1 << 20)
                    await to_run.send(SessionMessage(types.jsonrpc_message_adapter.validate_json(line)))
            except (anyio.EndOfStream, anyio.IncompleteRead, anyio.ClosedResourceError, anyio.BrokenResourceError):
                return

    async def write():
        async with of_run:
            async for said in of_run:
                await stream.send(said.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        group.start_soon(write)
        await run(incoming, outgoing)
        group.cancel_scope.cancel()


async def serve():
    server = MCPServer("library")

    @server.tool(structured_output=False)
    def search(q: str) -> str:
        return f"nothing about {q}"

    inner = server._lowlevel_server

    async def handle(stream):
        async with stream:
            await pumped(stream, lambda read, write: inner.run(read, write, inner.create_initialization_options()))

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    print(f"listening on 127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}", flush=True)
    await listener.serve(handle)


async def ask(port):
    async def run(read, write):
        async with ClientSession(read, write) as session:
            greeted = await session.initialize()
            print(json.dumps({"version": greeted.protocol_version, "server": greeted.server_info.name}), flush=True)
            await session.send_ping()
            listed = await session.list_tools()
            print(json.dumps({"tools": [tool.name for tool in listed.tools]}), flush=True)
            for line in sys.stdin:
                call = json.loads(line)
                try:
                    called = await session.call_tool(call["name"], call["arguments"])
                    print(json.dumps({"text": [part.text for part in called.content]}), flush=True)
                except MCPError as error:
                    print(json.dumps({"code": error.error.code, "message": error.error.message}), flush=True)

    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await pumped(stream, run)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        anyio.run(serve)
    else:
        anyio.run(ask, int(sys.argv[2]))
