"""A hospital's receiver, made with the package `hl7`: `hl7_receiver.py 0`. It acknowledges what it is told to believe."""

import asyncio
import sys

from hl7.mllp import start_hl7_server


async def receive(reader, writer):
    try:
        while not writer.is_closing():
            message = await reader.readmessage()
            control_id = str(message.segment("MSH")(10))
            print(f"read {control_id} {message.segment('PID')(5)}", flush=True)
            answer = message.create_ack()
            if "MIXUP" in str(message):
                answer.assign_field("OTHER", "MSA", 1, 2)
            writer.writemessage(answer)
            await writer.drain()
    except asyncio.IncompleteReadError:
        writer.close()


async def main():
    async with await start_hl7_server(receive, "127.0.0.1", int(sys.argv[1]), encoding="utf-8") as server:
        print(f"listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await server.serve_forever()


asyncio.run(main())
