"""`python -m tests.lab speed`: what the internet in user space carries, and how punctual it is.

From a home behind a router to the server, with the sender and the receiver on the same cores.
"""

import math
import select
import socket
import statistics
import struct
import sys
import time

from tests.lab.topology import SRV, Lab

UDP_SEGMENT, UDP_GRO, SO_RCVBUFFORCE = 103, 104, 33
STRIDE = 1400
BURST = 44 * STRIDE
SECONDS = 2.0
PINGS = 500
EVERY = 0.004

BLAST = f"""
import socket, sys, time
door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
door.setsockopt(socket.SOL_UDP, {UDP_SEGMENT}, int(sys.argv[1]))
rate, data, end = float(sys.argv[2]), bytes(int(sys.argv[3])), time.monotonic() + {SECONDS}
due = time.monotonic()
while due < end:
    due += len(data) / rate
    time.sleep(max(0.0, due - time.monotonic()))
    door.sendto(data, ("{SRV}", 9))
"""


def carried(lab: Lab, rate: float, bursts: bool) -> tuple[float, float]:
    """Bytes per second that arrived of so many that were sent, and the share that was lost."""
    with lab.udp("srv", 9) as door:
        door.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 25)
        door.setsockopt(socket.SOL_UDP, UDP_GRO, 1)
        size = BURST if bursts else STRIDE
        # Without bursts the segment size is that of the datagram, which is no burst.
        argv = [sys.executable, "-c", BLAST, str(STRIDE), str(rate), str(size)]
        program = lab.popen("a", argv)
        buffer, total, first, last = bytearray(65_536), 0, 0.0, 0.0
        while select.select([door], [], [], 2.0 if not total else 0.5)[0]:
            total += door.recv_into(buffer)
            last = time.monotonic()
            first = first or last
        program.wait()
    return total / max(last - first, 0.001), max(0.0, 1 - total / (rate * SECONDS))


def lateness(lab: Lab, delay: float) -> list[float]:
    """Of single datagrams, seconds beyond the delay that was asked for."""
    late = []
    with lab.udp("srv", 10) as door, lab.udp("a") as near:
        for _ in range(PINGS):
            near.sendto(struct.pack("d", time.monotonic()), (SRV, 10))
            door.settimeout(1.0)
            (sent,) = struct.unpack("d", door.recv(64))
            late.append(time.monotonic() - sent - delay)
            select.select([], [], [], EVERY)
    return sorted(late)


def tcp(lab: Lab, size: int = 100_000_000) -> float:
    """Bytes per second of one TCP connection."""
    with lab.inside("srv"):
        listening = socket.create_server((SRV, 11))
    script = (
        "import socket\n"
        f"s = socket.create_connection(('{SRV}', 11))\n"
        f"for _ in range({size} // 65536): s.sendall(bytes(65536))"
    )
    program = lab.popen("a", [sys.executable, "-c", script])
    with listening:
        peer, _ = listening.accept()
    total, start = 0, time.monotonic()
    with peer:
        while got := len(peer.recv(1 << 20)):
            total += got
    program.wait()
    return total / (time.monotonic() - start)


def main() -> int:
    for delay in (0.0, 0.020):
        with Lab(delay=delay) as lab:
            lab.nat("na")
            lab.host("a", "na")
            print(f"delay {delay * 1000:.0f} ms")
            for bursts, rates in ((True, (30e6, 60e6, 120e6, 240e6)), (False, (5e6, 15e6, 30e6))):
                for rate in rates:
                    got, lost = carried(lab, rate, bursts)
                    what = "bursts of 44" if bursts else "one by one"
                    print(
                        f"  UDP, {what}: {got / 1e6:.0f} MB/s of {rate / 1e6:.0f}, {lost:.2%} lost"
                    )
            print(f"  TCP: {tcp(lab) / 1e6:.0f} MB/s")
            late = lateness(lab, delay)
            shown = [late[0], statistics.median(late), late[math.ceil(0.99 * PINGS) - 1], late[-1]]
            words = " / ".join(f"{1000 * each:.2f}" for each in shown)
            print(f"  late by (least / median / p99 / most): {words} ms")
    return 0
