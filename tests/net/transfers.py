"""Whole transfers between two identities in one process, over real sockets on loopback."""

import importlib
import threading
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from keys.identity import Identity
from securecp.events import Done, Event
from securecp.net import attend, dial
from securecp.net.attend import ReceiveOptions
from securecp.net.dial import SendOptions
from securecp.net.pace import Pace
from securecp.net.udp import UdpSocket
from securecp.session import Decision

PATIENCE = 30.0

# What a program imports when it needs it; here two threads would do so at once, and stumble.
for name in ("disk.source", "disk.store", "receiving", "sending"):
    importlib.import_module(f"securecp.{name}")


@dataclass
class Outcome:
    """What became of it."""

    done: Done
    arrived: bytes


def transfer(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    sender: UdpSocket,
    receiver: UdpSocket,
    *,
    size: int = 3_000_000,
    pace: Pace | None = None,
    limit: int | None = None,
) -> Outcome:
    """Send `size` bytes from one socket to the other, and check that they arrive unchanged."""
    ours, theirs = Identity.generate(Random(1).randbytes), Identity.generate(Random(2).randbytes)
    source, into = folder / "content", folder / "into"
    content = Random("content").randbytes(size)
    source.write_bytes(content)
    into.mkdir()
    failures: list[BaseException] = []

    def receive() -> None:
        options = ReceiveOptions(
            identity=theirs,
            allowed=lambda _: True,
            policy=lambda _: Decision.ACCEPT,
            into=lambda _: into,
            sockets=[receiver],
            once=True,
            limit=limit,
        )
        try:
            attend.receive(options, _ignore, lambda _: True)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=receive, daemon=True)
    thread.start()
    send = SendOptions(
        identity=ours,
        peer=bytes(theirs.public),
        endpoints=[receiver.endpoint],
        paths=[source],
        timeout=PATIENCE,
        pace=pace or Pace(),
        sockets=[sender],
    )
    done = dial.send(send, _ignore)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert not failures
    arrived = (into / "content").read_bytes()
    assert arrived == content
    return Outcome(done, arrived)


def _ignore(_: Event) -> None:
    """Nobody looks at events here."""
