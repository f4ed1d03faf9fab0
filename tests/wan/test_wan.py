"""The emulated WAN keeps what it is asked for; needs root, a TUN device and a C compiler."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

WAN = Path(__file__).parent / "wan"
PREFIX = f"scptest{os.getpid()}"
ONE_WAY = 0.03
PACKETS = 200
"""Fewer than a stock socket buffer holds."""
LOSS = 0.1
ECHO = """
import socket
echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
echo.bind(("10.123.0.2", 4400))
print("ready", flush=True)
while True:
    data, origin = echo.recvfrom(100)
    echo.sendto(data, origin)
"""
ASK = f"""
import socket, time
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
out.connect(("10.123.0.2", 4400))
out.settimeout(1)
began = time.monotonic()
for number in range({PACKETS}):
    out.send(number.to_bytes(4, "big"))
count, first = 0, None
try:
    while True:
        out.recv(100)
        first = first or time.monotonic() - began
        count += 1
except TimeoutError:
    print(count, first)
"""


def wan(*words: str) -> str:
    environment = os.environ | {"WAN_PREFIX": PREFIX, "WAN_NET": "10.123.0"}
    done = subprocess.run(
        [str(WAN), *words], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert not done.returncode, done.stderr
    return done.stdout


@pytest.fixture
def lossy() -> Iterator[None]:
    """A link with delay and loss in the way there only."""
    lacking = [name for name in ("ip", "gcc", "sysctl", "setsid") if not shutil.which(name)]
    if os.geteuid() or not Path("/dev/net/tun").exists() or lacking:
        why = f"no {', '.join(lacking)}" if lacking else "needs root and /dev/net/tun"
        pytest.skip(f"the emulated WAN is NOT tested here: {why}")
    probe = ["ip", "netns", "add", f"{PREFIX}-a"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("the emulated WAN is NOT tested here: no right to make a network namespace")
    try:
        wan(
            "up", "--delay", str(ONE_WAY * 1000), "--seed", "5",
            "--ab", "--loss", str(LOSS * 100),
        )  # fmt: skip
        yield
    finally:
        wan("down")
        shutil.rmtree(Path(os.environ.get("TMPDIR", "/tmp")) / f"{PREFIX}.wanlink")


def asked() -> tuple[int, float]:
    """How many of the packets came back, and when the first did."""
    inside = [sys.executable, "-c"]
    echo = subprocess.Popen(
        ["ip", "netns", "exec", f"{PREFIX}-b", *inside, ECHO], stdout=subprocess.PIPE
    )
    assert echo.stdout
    with echo, echo.stdout:
        assert echo.stdout.readline() == b"ready\n"
        count, first = wan("a", *inside, ASK).split()
        echo.kill()
    return int(count), float(first)


@pytest.mark.usefixtures("lossy")
def test_an_emulated_link_delays_and_loses_as_asked() -> None:
    count, first = asked()
    assert first >= 2 * ONE_WAY  # how much later is the machine's affair
    report: dict[str, Any] = json.loads(wan("down"))
    there, back = report["directions"]["a_to_b"], report["directions"]["b_to_a"]
    assert there["in_packets"] == PACKETS
    assert there["lost_random"] == PACKETS - there["out_packets"]
    assert 0.05 * PACKETS < there["lost_random"] < 0.16 * PACKETS
    assert back["lost_random"] == 0
    assert 0 < count <= there["out_packets"]


@pytest.mark.usefixtures("lossy")
def test_taking_a_link_down_leaves_nothing() -> None:
    assert wan("a", "echo", "there") == "there\n"
    wan("down")
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    assert PREFIX not in listed.stdout
    assert not (Path(os.environ.get("TMPDIR", "/tmp")) / f"{PREFIX}.wanlink" / "pid").exists()
