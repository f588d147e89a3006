"""A ward's sender, made with the package `hl7`: messages as lines of JSON, answers likewise, on one connection."""

import json
import sys

import hl7
from hl7.client import MLLPClient

with MLLPClient("127.0.0.1", int(sys.argv[1])) as client:
    for line in sys.stdin:
        try:
            data = client.send_message(json.loads(line))
        except ConnectionResetError:
            data = b""
        if not data:
            print(json.dumps(None), flush=True)
            break
        answer = hl7.parse(data.strip(b"\x0b\x1c\r").decode())
        msh, msa = answer.segment("MSH"), answer.segment("MSA")
        print(json.dumps([str(msh(3)), str(msa(1)), str(msa(2))]), flush=True)
