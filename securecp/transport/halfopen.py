"""Handshakes that a caller began and has not confirmed: a small table with caps and an expiry.

    HELLO-A -> opened -> HELLO-B -> answered -> first DATA verifies -> taken out by `exchange.py`
                  └────────────────────┴── 5 s after HELLO-A: forgotten, in silence

A half-open handshake is the only thing a HELLO makes. `credit` is how many bytes we may still send
to its endpoint: never more than came from there (DG-05).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Generic, TypeVar

from securecp.endpoint import Endpoint
from securecp.transport.handshake import Responder
from securecp.transport.wire import Channel, SessionKeys

C = TypeVar("C", bound=Channel)

# SPEC §4.8
HALF_OPEN = 256
HALF_OPEN_PER_NETWORK = 8
HALF_OPEN_LIFE = 5.0
REPLY_LIFE = 4.0
"""Seconds within which a REPLY is sent again: what it opens must live long enough to be used."""
BUSY = 64
BUSY_NETWORK = 4
"""From this many half-open handshakes on, newcomers must show a cookie."""


@dataclass(slots=True, eq=False)
class HalfOpen(Generic[C]):
    """One caller that has not proved itself yet."""

    endpoint: Endpoint
    their_index: int
    where: str
    """The network that caps count."""
    peer: bytes
    hello_a: bytes
    """Without the macs: the same again is a retransmission."""
    responder: Responder | None
    """Dropped, with its ephemeral keys, as soon as there is a REPLY."""
    opened_at: float
    credit: int
    hello_b: bytes = b""
    reply: bytes = b""
    keys: SessionKeys | None = None
    channel: C | None = None


class HalfOpenTable(Generic[C]):
    """At most 256, at most 8 of a network, each at most 5 s."""

    def __init__(self) -> None:
        # Insertion order is order of age: all live equally long.
        self._callers: dict[tuple[Endpoint, int], HalfOpen[C]] = {}
        self._by_index: dict[int, HalfOpen[C]] = {}
        self._networks: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._callers)

    def __iter__(self) -> Iterator[HalfOpen[C]]:
        return iter(self._callers.values())

    def find(self, endpoint: Endpoint, their_index: int) -> HalfOpen[C] | None:
        return self._callers.get((endpoint, their_index))

    def at(self, index: int) -> HalfOpen[C] | None:
        """The answered one that has our `index`."""
        return self._by_index.get(index)

    def full(self, where: str) -> bool:
        return len(self) >= HALF_OPEN or self._networks[where] >= HALF_OPEN_PER_NETWORK

    def busy(self, where: str) -> bool:
        return len(self) >= BUSY or self._networks[where] >= BUSY_NETWORK

    def add(self, half: HalfOpen[C]) -> None:
        self._callers[half.endpoint, half.their_index] = half
        self._networks[half.where] += 1

    def answer(self, half: HalfOpen[C], hello_b: bytes, reply: bytes, keys: SessionKeys) -> None:
        """Its REPLY is written: datagrams to our index now lead here."""
        half.hello_b, half.reply, half.keys, half.responder = hello_b, reply, keys, None
        self._by_index[keys.our_index] = half

    def remove(self, half: HalfOpen[C]) -> None:
        del self._callers[half.endpoint, half.their_index]
        self._networks[half.where] -= 1
        if not self._networks[half.where]:
            del self._networks[half.where]
        if half.keys is not None:
            del self._by_index[half.keys.our_index]

    def remove_peer(self, peer: bytes) -> None:
        for half in [half for half in self if half.peer == peer]:
            self.remove(half)

    def answered(self, peer: bytes) -> bool:
        """Whether a call by `peer` has had a REPLY and may yet be confirmed."""
        return any(half.peer == peer and half.keys is not None for half in self)

    def expire(self, now: float) -> None:
        old = takewhile(lambda half: now >= half.opened_at + HALF_OPEN_LIFE, self)
        for half in list(old):
            self.remove(half)

    def deadline(self) -> float | None:
        return next((half.opened_at + HALF_OPEN_LIFE for half in self), None)
