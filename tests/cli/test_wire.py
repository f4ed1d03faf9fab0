"""What who sits on the wire sees of real programs: everything passes through a recorder."""

import contextlib
import select
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from keys.identity import PublicKey
from securecp.cli import sample
from tests.cli.program import Background, keygen, meet, receiving

CANARY = "canary-on-the-wire"
Address = tuple[str, int]


class Recorder:
    """A relay between one caller and `target` that keeps a copy of every datagram."""

    def __init__(self, target: str) -> None:
        host, port = target.rsplit(":", 1)
        self._target: Address = (host, int(port))
        self._near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for end in (self._near, self._far):
            end.bind(("127.0.0.1", 0))
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.to_target: list[bytes] = []
        self.to_caller: list[bytes] = []
        self.endpoint = "{}:{}".format(*self._near.getsockname())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._thread.join()
        self._near.close()
        self._far.close()

    def _run(self) -> None:
        caller: Address | None = None
        while not self._stopped.is_set():
            ready, _, _ = select.select([self._near, self._far], [], [], 0.05)
            # What is closed or full loses a datagram, as a network would.
            with contextlib.suppress(OSError):
                if self._near in ready:
                    data, caller = self._near.recvfrom(65_536)
                    self.to_target.append(data)
                    self._far.sendto(data, self._target)
                if self._far in ready:
                    data = self._far.recv(65_536)
                    self.to_caller.append(data)
                    if caller is not None:
                        self._near.sendto(data, caller)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Names and content that cannot be missed."""
    root = tmp_path / "out" / f"{CANARY}-folder"
    root.mkdir(parents=True)
    (root / f"{CANARY}-name.txt").write_text(f"{CANARY}-content " * 40_000)
    for number in range(50):
        (root / f"small-{CANARY}-{number}").write_text(CANARY)
    return root


def test_neither_names_nor_content_nor_keys_can_be_read_on_the_wire(
    tmp_path: Path, tree: Path
) -> None:
    alice, bob, into = tmp_path / "alice", tmp_path / "bob", tmp_path / "in"
    keys = {"alice": keygen(alice), "bob": keygen(bob)}
    meet(alice, "bob", keys["bob"])
    meet(bob, "alice", keys["alice"])
    with (
        receiving(bob, into, "--yes", "--once") as receiver,
        Recorder(receiver.until("listening")["endpoint"]) as wire,
    ):
        arguments = ("send", str(tree), "--to", "bob", "--at", wire.endpoint)
        with Background(*arguments, home=alice) as sender:
            assert sender.ended() == (0, "")
        assert receiver.ended() == (0, "")
    assert list(sample.differences(tree.parent, into)) == []
    seen = b"".join(wire.to_target) + b"".join(wire.to_caller)
    assert len(seen) > (tree / f"{CANARY}-name.txt").stat().st_size, "it did pass through here"
    for secret in (b"canary", b"small-", b"age1"):
        assert secret not in seen
    for text in keys.values():
        assert bytes(PublicKey.parse(text)) not in seen


def test_hs07_a_stranger_gets_no_datagram_at_all(tmp_path: Path, tree: Path) -> None:
    bob, mallory = tmp_path / "bob", tmp_path / "mallory"
    keygen(mallory)
    meet(mallory, "bob", keygen(bob))
    with (
        receiving(bob, tmp_path / "in", "--yes", "--once") as receiver,
        Recorder(receiver.until("listening")["endpoint"]) as wire,
    ):
        arguments = ("send", str(tree), "--to", "bob", "--at", wire.endpoint, "--timeout", "1")
        with Background(*arguments, home=mallory) as sender:
            assert sender.ended()[0] == 4
    assert wire.to_target
    assert wire.to_caller == []
    assert b"canary" not in b"".join(wire.to_target), "nor is a name shown to whoever is there"
