"""The beacon by which contacts find each other in one network, without any server.

    QUERY    0x62 | zero 3 | nonce 16 | tag 16 | zeros to 128         to the groups, port 4401
    ANSWER   0x63 | zero 3 | nonce 16 | port u16 | port u16 | mac 16         40, to its source
    HERE     0x64 | zero 3 | random 16                                20, to the groups

    tag      HMAC-SHA256(pair, "securecp lan 1" | day u32 | caller 32 | called 32 | nonce)[:16]
    mac      HMAC-SHA256(pair, "securecp lan answer 1" | caller 32 | called 32 | ANSWER so far)[:16]

A QUERY names nobody: only the contact that is meant can tell that it is, by trying its contacts one
by one on yesterday, today and tomorrow. Who asks, and who answers, bystanders cannot see. The ports
are those of the answerer's sockets for IPv4 and IPv6, which its next datagram shows anyhow. An
ANSWER is shorter than its QUERY; a nonce is answered once, and its ANSWER taken once: what is sent
again, or from a forged source, is worth nothing. HERE says that somebody has just begun to wait,
and proves nothing (SPEC §11.5).

There is no AEAD in the answer: two machines may hold one identity and answer one nonce, and so
would use a nonce of a cipher twice; a MAC bears that.

Measured on one core on which X25519 alone takes 65 µs: a QUERY that is for none of 100 contacts
costs 1.5 to 2 ms, hence `TAGS_A_SECOND`.
"""

import hmac
from collections import deque
from collections.abc import Collection, Iterable
from struct import Struct
from typing import NamedTuple

from securecp.errors import ProtocolError
from securecp.nat.tags import PairKeys, day_bytes, days_around
from securecp.noise.keypairs import Entropy

PORT = 4401
GROUP_V4 = "239.255.83.67"
GROUP_V6 = "ff02::5365:6375"

QUERY = 0x62
ANSWER = 0x63
HERE = 0x64
QUERY_LENGTH = 128
ANSWER_LENGTH = 40
HERE_LENGTH = 20

TAGS_A_SECOND = 10_000
"""That we compute because of queries, whoever sends them: what comes beyond is dropped."""
NONCES_KEPT = 4_096
OPEN_QUERIES = 16
"""Of ours, to which an answer is still taken."""
SHORTEST_PAUSE = 0.25
"""Seconds between two queries that HERE calls forth."""

_QUERY = Struct(">B3x16s16s92x")
_ANSWER = Struct(">B3x16sHH")
_MAC_LENGTH = 16


class Ports(NamedTuple):
    """Where the peer listens, at the address from which its answer came; 0: not at all."""

    v4: int
    v6: int


class Asking:
    """A caller that looks for one contact."""

    def __init__(self, pair: PairKeys, entropy: Entropy) -> None:
        self._pair = pair
        self._entropy = entropy
        self._nonces: deque[bytes] = deque(maxlen=OPEN_QUERIES)
        self._asked_at: float | None = None

    def query(self, now: float, day: int) -> bytes:
        """A new QUERY, to be sent to all groups; no two are alike."""
        nonce = self._entropy(16)
        self._nonces.append(nonce)
        self._asked_at = now
        tag = _tag(self._pair, day, self._pair.our_public, self._pair.peer, nonce)
        return _QUERY.pack(QUERY, nonce, tag)

    def heard(self, now: float, datagram: bytes) -> bool:
        """Whether this HERE is a reason to ask again at once; a flood of them is not."""
        check_here(datagram)
        return self._asked_at is None or now - self._asked_at >= SHORTEST_PAUSE

    def open(self, datagram: bytes) -> Ports:
        """Read the contact's ANSWER to a query of ours, once; or raise ProtocolError."""
        if len(datagram) != ANSWER_LENGTH or datagram[0] != ANSWER or any(datagram[1:4]):
            raise ProtocolError("this is not an ANSWER")
        datagram = bytes(datagram)
        body, mac = datagram[:-_MAC_LENGTH], datagram[-_MAC_LENGTH:]
        _, nonce, v4, v6 = _ANSWER.unpack(body)
        right = _mac(self._pair, self._pair.our_public, self._pair.peer, body)
        if nonce not in self._nonces or not hmac.compare_digest(right, mac):
            raise ProtocolError("an ANSWER is to no query of ours")
        self._nonces.remove(nonce)  # who plays it back from elsewhere gains nothing
        return Ports(v4, v6)


class LanQuery(NamedTuple):
    """A contact's query for us."""

    pair: PairKeys
    nonce: bytes

    def answer(self, ports: Ports) -> bytes:
        """The ANSWER, for the source of the query and nobody else."""
        body = _ANSWER.pack(ANSWER, self.nonce, ports.v4, ports.v6)
        return body + _mac(self.pair, self.pair.peer, self.pair.our_public, body)

    @staticmethod
    def match(datagram: bytes, pairs: Iterable[PairKeys], day: int) -> "LanQuery | None":
        """Whose QUERY this is; None if of no contact, ProtocolError if it is no QUERY."""
        nonce, tag = _parse_query(datagram)
        for pair in pairs:
            for one in days_around(day):
                if hmac.compare_digest(_tag(pair, one, pair.peer, pair.our_public, nonce), tag):
                    return LanQuery(pair, nonce)
        return None


class Waiting:
    """Who waits for calls in this network: a nonce is answered once, and a flood mostly not read.

    Only a contact's nonces are kept, so that no stranger can push them out.
    """

    def __init__(self) -> None:
        self._answered: dict[bytes, None] = {}
        self._budget = float(TAGS_A_SECOND)
        self._counted_at: float | None = None

    def match(
        self, now: float, datagram: bytes, pairs: Collection[PairKeys], day: int
    ) -> LanQuery | None:
        """A contact's query that is to be answered now; ProtocolError if it is no query."""
        nonce, _ = _parse_query(datagram)
        if nonce in self._answered or not self._affordable(now):
            return None
        self._budget -= 3 * len(pairs)
        query = LanQuery.match(datagram, pairs, day)
        if query is None:
            return None
        if len(self._answered) >= NONCES_KEPT:
            del self._answered[next(iter(self._answered))]
        self._answered[nonce] = None
        return query

    def _affordable(self, now: float) -> bool:
        passed = 0.0 if self._counted_at is None else now - self._counted_at
        self._counted_at = now
        self._budget = min(TAGS_A_SECOND, self._budget + passed * TAGS_A_SECOND)
        return self._budget > 0


def here(entropy: Entropy) -> bytes:
    """A HERE, to be sent to all groups when we begin to wait."""
    return bytes((HERE, 0, 0, 0)) + entropy(16)


def check_here(datagram: bytes) -> None:
    """Raise ProtocolError unless this is a HERE; it proves nothing about who sent it."""
    if len(datagram) != HERE_LENGTH or datagram[0] != HERE or any(datagram[1:4]):
        raise ProtocolError("this is not a HERE")


def _parse_query(datagram: bytes) -> tuple[bytes, bytes]:
    """Nonce and tag."""
    if len(datagram) != QUERY_LENGTH or datagram[0] != QUERY:
        raise ProtocolError("this is not a QUERY")
    _, nonce, tag = _QUERY.unpack(datagram)
    if datagram != _QUERY.pack(QUERY, nonce, tag):
        raise ProtocolError("a QUERY holds something where zeros stand")
    return nonce, tag


def _tag(pair: PairKeys, day: int, caller: bytes, called: bytes, nonce: bytes) -> bytes:
    return pair.mac(b"securecp lan 1" + day_bytes(day) + caller + called + nonce)


def _mac(pair: PairKeys, caller: bytes, called: bytes, body: bytes) -> bytes:
    return pair.mac(b"securecp lan answer 1" + caller + called + body)
