"""Round trips of small datagrams beside a transfer:  python -m tests.bench.ping ADDRESS [SECONDS]

Without SECONDS it is the end at ADDRESS that sends everything back, until it is killed. With them
it sends a datagram to ADDRESS every 20 ms and prints what each took, in ms, as JSON.
"""

import json
import select
import socket
import struct
import sys
import time

PORT = 4_599
EVERY = 0.02
_STAMP = struct.Struct(">d")


def echo(address: str) -> None:
    """Send back whatever comes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind((address, PORT))
        while True:
            udp.sendto(*udp.recvfrom(64))


def ping(address: str, seconds: float) -> list[float]:
    """The round trips of `seconds`, in ms; what is lost is missing."""
    took = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.connect((address, PORT))
        now = following = time.monotonic()
        until = now + seconds
        while now < until:
            if now >= following:
                udp.send(_STAMP.pack(now))
                following += EVERY
            ready, _, _ = select.select([udp], [], [], max(following - now, 0))
            now = time.monotonic()
            if ready:
                took.append((now - _STAMP.unpack(udp.recv(64))[0]) * 1e3)
    return took


if __name__ == "__main__":
    if len(sys.argv) > 2:
        print(json.dumps(ping(sys.argv[1], float(sys.argv[2]))))
    else:
        echo(sys.argv[1])
