"""A Modbus device of two units: `modbus_device.py 0`. Prints every byte that reaches it."""

import asyncio
import sys

from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.server import ModbusTcpServer


def told(sending, data):
    if not sending:
        print(f"read {data.hex()}", flush=True)
    return data


def unit():
    """10,000 of each kind; register n holds n at first."""
    coils = [address % 2 == 0 for address in range(10_001)]
    registers = list(range(10_001))
    block = ModbusSequentialDataBlock
    return ModbusDeviceContext(di=block(1, coils), co=block(1, coils), ir=block(1, registers), hr=block(1, registers))


async def main():
    context = ModbusServerContext(devices={1: unit(), 2: unit()}, single=False)
    server = ModbusTcpServer(context, address=("127.0.0.1", int(sys.argv[1])), trace_packet=told)
    await server.listen()
    print(f"listening on 127.0.0.1:{server.transport.sockets[0].getsockname()[1]}", flush=True)
    await server.serving


asyncio.run(main())
