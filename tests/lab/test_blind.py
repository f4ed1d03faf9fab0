"""RV-01, RV-10, RL-08: what the server has learnt when a whole transfer has gone through its relay.

Its memory, its log and every datagram on its cable are searched for what it must not know: keys,
contact names, file names, content, and the addresses inside the homes.
"""

import socket
import threading
from pathlib import Path

import pytest

from keys.bech32 import decode
from tests.cli.program import keygen, meet
from tests.lab.needs import needs_lab
from tests.lab.pairs import served
from tests.lab.programs import Program, settings_of
from tests.lab.topology import Lab
from tests.server.image import memory

ETH_P_ALL = 3
FILE = "canary-file-name-7711"
CONTENT = b"canary content 0c4a7711 "
INSIDE = ("192.168.1.10", "192.168.1.11")


@needs_lab()
def test_rv10_rl08_nothing_of_a_relayed_transfer_is_known_to_the_server(tmp_path: Path) -> None:
    with Lab() as lab:
        for name in "ab":
            lab.nat(f"n{name}", kind="hard")
            lab.host(name, f"n{name}")
        keys = {name: keygen(settings_of(lab, name), lan=True) for name in "ab"}
        meet(settings_of(lab, "a"), "canary-bob", keys["b"])
        meet(settings_of(lab, "b"), "canary-alice", keys["a"])
        source, into = tmp_path / FILE, tmp_path / "into"
        source.write_bytes(CONTENT * 50_000)
        with served(lab, "ab") as server, Capture(lab) as wire:
            receive = ("receive", "--yes", "--once", "--into", str(into))
            with Program(lab, "b", *receive) as receiver:
                receiver.until("reaching")
                with Program(lab, "a", "send", str(source), "--to", "canary-bob") as sender:
                    assert (sender.ended(), receiver.ended()) == (0, 0), sender.story()
                    done = sender.find("done")
                    assert done is not None
                    assert [seen.event["path"] for seen in sender.seen if seen.name == "connected"]
                    assert not [s for s in sender.seen if s.event.get("path") == "direct"]
            image = list(memory(server.process.pid))
            told = server.story()
        assert (into / FILE).read_bytes() == source.read_bytes()
    secrets = canaries(keys)
    assert wire.seen > 1_000_000, "the transfer has not passed the server"
    assert known({"its own address": b"scpserver1"}, image), "the search finds nothing at all"
    assert known(secrets, image) == set()
    assert known(secrets, [told.encode("latin-1", "replace")]) == set()
    assert known(secrets, wire.packets) == set()


def canaries(keys: dict[str, str]) -> dict[str, bytes]:
    """What must not be found, by what it is."""
    found = {
        "a file name": FILE.encode(),
        "content": CONTENT,
        "Alice's name": b"canary-alice",
        "Bob's name": b"canary-bob",
    }
    for name, text in keys.items():
        found[f"{name}'s key as text"] = text.encode()
        found[f"{name}'s key"] = decode(text)[1]
    for address in INSIDE:
        found[f"{address} as text"] = address.encode()
        found[f"{address} as a candidate"] = b"\xc4\x04" + socket.inet_aton(address)
    return found


def known(secrets: dict[str, bytes], parts: list[bytes]) -> set[str]:
    """Which of them stand somewhere in these."""
    whole = b"\0".join(parts)
    return {name for name, secret in secrets.items() if secret in whole}


class Capture:
    """Everything that passes the server's cable."""

    def __init__(self, lab: Lab) -> None:
        with lab.inside("srv"):
            try:
                self._socket = socket.socket(
                    socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL)
                )
            except PermissionError:
                pytest.skip("capturing needs root")
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        self._socket.settimeout(0.2)
        self.packets: list[bytes] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    @property
    def seen(self) -> int:
        """Bytes."""
        return sum(map(len, self.packets))

    def __enter__(self) -> "Capture":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._socket.close()

    def _read(self) -> None:
        while not self._over.is_set():
            try:
                self.packets.append(self._socket.recv(65_535))
            except TimeoutError:
                continue
