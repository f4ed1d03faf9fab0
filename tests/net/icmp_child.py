"""Runs inside a network namespace of its own: forges ICMP against our socket (DG-16).

It prints "ok" if neither sending nor receiving was disturbed. The forger knows both endpoints,
which is more than one off the path would.
"""

import socket
import struct
import subprocess

from securecp.endpoint import Burst, Endpoint
from securecp.net.udp import UdpSocket

UNREACHABLE = 3
CODES = {"host": 1, "protocol": 2, "port": 3, "fragmentation needed": 4, "prohibited": 13}
SMALLEST = 68


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def forged(code: int, source: Endpoint, destination: Endpoint) -> bytes:
    """An ICMP error that quotes a datagram from `source` to `destination`."""
    address = socket.inet_aton(source.address), socket.inet_aton(destination.address)
    quoted = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 1_228, 1, 0x4000, 64, 17, 0, *address)
    quoted += struct.pack(">HHHH", source.port, destination.port, 1_208, 0)
    body = struct.pack(">HH", 0, SMALLEST) + quoted
    head = struct.pack(">BBH", UNREACHABLE, code, 0)
    return struct.pack(">BBH", UNREACHABLE, code, checksum(head + body)) + body


def check(left: UdpSocket, right: UdpSocket, length: int, stride: int) -> None:
    """A burst arrives whole."""
    before = left.errors
    data = bytes(length)
    assert left.send(Burst(right.endpoint, memoryview(data), stride)) is None
    got = 0
    while got < length:
        burst = right.receive()
        assert burst is not None, f"only {got} of {length} bytes came"
        got += len(burst.data)
    assert left.errors == before


def main() -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    for offload in (True, False):
        left, right = (UdpSocket(Endpoint("127.0.0.1", 0), offload=offload) for _ in range(2))
        for code in CODES.values():
            for _ in range(50):
                raw.sendto(forged(code, left.endpoint, right.endpoint), ("127.0.0.1", 0))
            assert left.receive() is None
            check(left, right, 40 * 1_472, 1_472)
            check(left, right, 65_507, 65_507)
            check(right, left, 1_200, 1_200)
        assert left.segmentation == offload
    # The interface itself shrinks: what is too long is a loss, 1,200 bytes go on.
    subprocess.run(["ip", "link", "set", "lo", "mtu", "1280"], check=True)
    left, right = (UdpSocket(Endpoint("127.0.0.1", 0)) for _ in range(2))
    assert left.send(Burst(right.endpoint, memoryview(bytes(14_720)), 1_472)) is None
    assert left.errors
    assert left.segmentation
    check(left, right, 40 * 1_200, 1_200)
    print("ok")


if __name__ == "__main__":
    main()
