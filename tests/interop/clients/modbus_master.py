"""A Modbus master: `modbus_master.py PORT`; a request per line as JSON, its answer per line as JSON."""

import json
import sys

from pymodbus.client import ModbusTcpClient

client = ModbusTcpClient("127.0.0.1", port=int(sys.argv[1]), timeout=60, retries=0)
if not client.connect():
    sys.exit("no connection")
for line in sys.stdin:
    ask = json.loads(line)
    answer = getattr(client, ask.pop("do"))(**ask)
    if answer.isError():
        said = {"fc": answer.function_code, "exception": answer.exception_code}
    else:
        said = {"fc": answer.function_code, "registers": answer.registers, "bits": answer.bits}
    print(json.dumps(said), flush=True)
client.close()
