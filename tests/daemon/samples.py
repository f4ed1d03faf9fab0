"""Events, records and people for the tests of the daemon."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from keys.policy import Contact
from securecp.daemon.household import Household
from securecp.daemon.record import Record
from securecp.events import Connected, Done, Failed, Offered
from securecp.session import Decision
from tests.keys.samples import contact, identity

ALICE = bytes(identity("alice").public)
BOB = bytes(identity("bob").public)
NAMES = {ALICE: "alice", BOB: "bob"}
ESCAPES = 'evil\n\x1b[2J\x9b\u202e\u2028 peer="bob" \\'.encode() + b"\xff\r"
"""A name with all that a line must not hold."""


def name_of(peer: bytes) -> str:
    return NAMES.get(peer, "somebody")


def text_of(peer: bytes) -> str:
    return f"age1{peer.hex()[:12]}"


def offered(number: int = 1, peer: bytes = ALICE, size: int = 100, **more: Any) -> Offered:
    fields: dict[str, Any] = {
        "names": (b"a.txt",),
        "transfer": number,
        "transfer_id": number.to_bytes(16, "big"),
        "manifest_digest": number.to_bytes(32, "big"),
        **more,
    }
    return Offered(peer, 1, size, **fields)


def connected(number: int = 1, peer: bytes = ALICE) -> Connected:
    return Connected(peer, "lan", "192.0.2.1:4400", transfer=number)


def done(number: int = 1, peer: bytes = ALICE, size: int = 100, **more: Any) -> Done:
    return Done(size, size, 1.5, 1, b"\5" * 32, peer=peer, transfer=number, **more)


def failed(number: int = 1, peer: bytes = ALICE, code: int = 1, why: str = "broken") -> Failed:
    return Failed(code, why, peer=peer, transfer=number)


def record(number: int = 1, **more: Any) -> Record:
    fields: dict[str, Any] = {
        "id": f"{number:016x}",
        "time": 1_790_000_000.0 + number,
        "direction": "received",
        "key": text_of(ALICE),
        "name": "alice",
        "result": "done",
        "bytes": 100,
        "manifest": f"{number:064x}",
    }
    return Record(**{**fields, **more})


class Time:
    """A clock that stands until it is moved."""

    def __init__(self, now: float = 1_790_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Loop:
    """What a control socket sees of a running program."""

    def __init__(self, *rows: Any) -> None:
        self.rows = list(rows)
        self.cancelled: list[tuple[int, str]] = []
        self.watched: dict[int, Callable[[], None]] = {}

    def transfers(self) -> list[Any]:
        return self.rows

    def cancel(self, number: int, reason: str = "") -> bool:
        known = any(row.number == number for row in self.rows)
        if known:
            self.cancelled.append((number, reason))
        return known

    def call(self, job: Callable[[], None]) -> None:
        job()

    def watch(self, file: int, callback: Callable[[], None]) -> None:
        self.watched[file] = callback

    def unwatch(self, file: int) -> None:
        del self.watched[file]

    def turn(self) -> None:
        for callback in list(self.watched.values()):
            callback()


def household(
    state: Path,
    *,
    time: Time,
    decision: Decision = Decision.ACCEPT,
    told: list[str] | None = None,
    people: dict[bytes, Contact] | None = None,
    **more: Any,
) -> Household:
    people = people if people is not None else {ALICE: contact("alice"), BOB: contact("bob")}
    return Household(
        contact=people.get,
        name_of=name_of,
        text_of=text_of,
        state=state,
        otherwise=lambda _: decision,
        folder_of=lambda _: state / "in",
        tell=(told if told is not None else []).append,
        wall=time,
        clock=time,
        **more,
    )


def lines(path: Path) -> Iterator[str]:
    yield from path.read_text("utf-8").splitlines()
