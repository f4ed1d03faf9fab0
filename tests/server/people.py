"""Whom the tests of the server let visit it, and shorthands for what they say."""

import random
from collections.abc import Callable

from securecp.endpoint import Burst, Endpoint
from securecp.nat import relay
from securecp.nat.rendezvous import FromClient, FromServer
from securecp.nat.tags import tag_of
from securecp.server.circuits import Effect, Pass, Tell
from securecp.server.desk import Caps, Desk, Visitor
from securecp.server.tally import Event, Tally
from securecp.server.udpgate import UdpGate

STUN_REQUEST = bytes.fromhex("000100002112a442") + bytes(range(12))


def entropy(seed: int = 1) -> Callable[[int], bytes]:
    """Repeatable chance."""
    return random.Random(seed).randbytes


class House:
    """A desk and a gate, and what they did, without any socket."""

    def __init__(self, caps: Caps = Caps()) -> None:  # noqa: B008
        self.tally = Tally()
        self.desk = Desk(caps, entropy(), self.tally)
        self.gate: UdpGate[Visitor] = UdpGate(self.desk.circuits, entropy(2), self.tally)
        self.now = 100.0

    def visit(self, where: str = "192.0.2.1") -> Visitor:
        visitor = self.desk.arrive(self.now, where)
        assert isinstance(visitor, Visitor), visitor
        return visitor

    def turned_away(self, where: str) -> Event:
        outcome = self.desk.arrive(self.now, where)
        assert isinstance(outcome, Event)
        return outcome

    def say(self, visitor: Visitor, message: FromClient) -> list[tuple[Visitor, FromServer]]:
        return told(self.desk.receive(self.now, visitor, message.encode()))

    def leave(self, visitor: Visitor) -> list[tuple[Visitor, FromServer]]:
        return told(self.desk.depart(visitor))

    def sweep(self) -> list[tuple[Visitor, FromServer]]:
        return told(self.desk.sweep(self.now))

    def udp(self, source: Endpoint, data: bytes, stride: int = 0) -> Pass[Visitor] | list[Burst]:
        burst = Burst(source, memoryview(data), stride or len(data) or 1)
        return self.gate.receive(self.now, burst)

    def answer(self, source: Endpoint, data: bytes) -> bytes:
        """The one answer to one datagram, or nothing."""
        answers = self.udp(source, data)
        assert isinstance(answers, list) and len(answers) <= 1
        assert all(one.endpoint == source for one in answers)
        return bytes(answers[0].data) if answers else b""

    def attach(self, source: Endpoint, attach: bytes, ticket: bytes) -> bool:
        cookie = relay.parse_cookie(self.answer(source, relay.encode_cookie_request()))
        answer = self.answer(source, relay.encode_attach(attach, cookie, ticket))
        return answer == relay.encode_attached(attach)


def told(effects: list[Effect[Visitor]]) -> list[tuple[Visitor, FromServer]]:
    """Who is told what; anything else among the effects is passed over."""
    return [(effect.owner, effect.message) for effect in effects if isinstance(effect, Tell)]


def same(got: list[tuple[Visitor, FromServer]], *expected: tuple[Visitor, FromServer]) -> bool:
    """Whether exactly this was told; as tuples, OPEN and LEFT of the same leg are equal."""
    return got == list(expected) and [type(one) for _, one in got] == [
        type(one) for _, one in expected
    ]


def claim(number: int) -> bytes:
    return number.to_bytes(16)


def tag(number: int) -> bytes:
    return tag_of(claim(number))
