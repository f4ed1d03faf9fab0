"""What the server does with each burst on its UDP sockets; a function of bytes, counts and time.

    first byte 0x00-0x03   STUN request       -> a response, to where it came from
               0x70        COOKIE-REQUEST     -> COOKIE, shorter
               0x72        ATTACH             -> ATTACHED, shorter, if cookie and proof are right
               0x40 up     of an attached leg -> the other leg of its circuit
    anything else, and every STUN response or error, is dropped in silence (DG-04)

Nothing here ever sends to an endpoint that did not just send to us, except through a circuit both
of whose legs have shown that they receive (RL-02). No answer is longer than its question (DG-05),
except where RFC 8489 demands it: a bare STUN request of 20 bytes gets 32 or 44. Such answers have a
small budget, for each network and in all, so that the server is of no use to a flood.
"""

from collections.abc import Iterator
from hashlib import blake2s
from hmac import compare_digest
from typing import Generic, TypeVar

from securecp.endpoint import Burst, Endpoint
from securecp.errors import ProtocolError
from securecp.nat import relay, stun
from securecp.noise.keypairs import Entropy
from securecp.server.circuits import Circuits, Pass
from securecp.server.limits import Bucket, Buckets
from securecp.server.tally import Event, Tally
from securecp.transport.load import network
from securecp.transport.rotation import Rotation

# SPEC §13.4, §13.5
COOKIE_LIFE = 60.0
BARE_STUN_PER_SECOND = 10.0
"""Answers to one network that are longer than the question."""
BARE_STUN_IN_ALL = 500.0
_STUN_LAST = 0x03

O = TypeVar("O")  # noqa: E741  an owner of legs


class UdpGate(Generic[O]):
    """The rules for datagrams; `receive` gives what is to be sent on."""

    def __init__(self, circuits: Circuits[O], entropy: Entropy, tally: Tally) -> None:
        self._circuits = circuits
        self._tally = tally
        self._rotation = Rotation(COOKIE_LIFE, entropy)
        self._bare = Buckets(BARE_STUN_PER_SECOND, 4 * BARE_STUN_PER_SECOND, most=1_024)
        self._bare_in_all = Bucket(BARE_STUN_IN_ALL, BARE_STUN_IN_ALL)

    def receive(self, now: float, burst: Burst) -> Pass[O] | list[Burst]:
        """One burst, `via` the socket it came by: what passes through a circuit, or answers."""
        if not len(burst.data):
            return []
        first = burst.data[0]
        if relay.forwarded(first):
            return self._forward(now, burst)
        return list(self._answers(now, burst))

    def sweep(self, now: float) -> None:
        """Forget whom we answered."""
        self._bare.sweep(now)

    def _forward(self, now: float, burst: Burst) -> Pass[O] | list[Burst]:
        leg = self._circuits.leg_at(burst.endpoint)
        if leg is None:
            self._tally.add(Event.GARBAGE)
            return []
        return self._circuits.from_udp(now, leg, burst.stride, burst.data) or []

    def _answers(self, now: float, burst: Burst) -> Iterator[Burst]:
        """Datagrams for ourselves, one by one: the kernel may have laid some together."""
        for at in range(0, len(burst.data), burst.stride):
            datagram = burst.data[at : at + burst.stride]
            try:
                answer = self._answer(now, burst.endpoint, datagram)
            except ProtocolError:
                answer = None
            if answer is None:
                self._tally.add(Event.GARBAGE)
            elif answer:
                yield Burst(burst.endpoint, memoryview(answer), len(answer))

    def _answer(self, now: float, endpoint: Endpoint, datagram: memoryview) -> bytes | None:
        """The answer; nothing if we keep it for ourselves, None if there is nothing to say."""
        first = datagram[0]
        if first <= _STUN_LAST:
            return self._answer_stun(now, endpoint, datagram)
        if first == relay.COOKIE_REQUEST and relay.is_cookie_request(datagram):
            self._tally.add(Event.COOKIE)
            return relay.encode_cookie(_cookie(self._rotation.valid(now)[0], endpoint))
        if first == relay.ATTACH:
            return self._attach(now, endpoint, relay.parse_attach(datagram))
        return None

    def _answer_stun(self, now: float, endpoint: Endpoint, datagram: memoryview) -> bytes | None:
        request = stun.parse(datagram)
        if not isinstance(request, stun.Request):
            return None
        if request.unknown:
            answer = stun.encode_refusal(request)
        else:
            answer = stun.encode_response(request.transaction, endpoint)
        if len(answer) > len(datagram) and not self._may_exceed(now, endpoint):
            self._tally.add(Event.STUN_LIMITED)
            return b""
        self._tally.add(Event.STUN)
        return answer

    def _may_exceed(self, now: float, endpoint: Endpoint) -> bool:
        return self._bare.of(now, network(endpoint)).take(now) and self._bare_in_all.take(now)

    def _attach(self, now: float, endpoint: Endpoint, attach: relay.Attach) -> bytes:
        received = [
            compare_digest(_cookie(secret, endpoint), attach.cookie)
            for secret in self._rotation.valid(now)
        ]
        if not any(received) or not self._circuits.attach(now, endpoint, attach):
            self._tally.add(Event.ATTACH_REFUSED)
            return b""
        self._tally.add(Event.ATTACHED)
        return relay.encode_attached(attach.attach)


def _cookie(secret: bytes, endpoint: Endpoint) -> bytes:
    where = f"{endpoint} {endpoint.via}".encode()
    return blake2s(where, key=secret, digest_size=relay.COOKIE_LENGTH).digest()
