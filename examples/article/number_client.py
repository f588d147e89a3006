#!/usr/bin/env python3
"""The article's client: sends numbers, prints what comes back. Plain sockets.

    python3 number_client.py 127.0.0.1:8000 5 7
"""

import socket
import sys


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        answers = connection.makefile("rb")
        for number in sys.argv[2:]:
            connection.sendall(number.encode() + b"\n")
            answer = answers.readline()
            if not answer.endswith(b"\n"):
                sys.exit("the connection ended before the answer was whole")
            print(answer.decode().rstrip("\n"))


if __name__ == "__main__":
    main()
