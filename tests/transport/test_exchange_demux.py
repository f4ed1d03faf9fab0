"""Which datagrams reach which parser, and that all others are silence (DG rows)."""

import itertools
from collections.abc import Callable

from securecp.endpoint import Burst
from securecp.transport.wire import (
    COOKIE,
    DATA,
    HEADER,
    HEADER_LENGTH,
    HELLO_A,
    HELLO_B,
    REPLY,
    SMALLEST_DATAGRAM,
)
from tests.transport.handshakes import (
    ALICE,
    BOB,
    World,
    give,
    initiator,
    listener,
    pair,
    place,
    silent,
    with_new_mac1,
)


def test_dg03_unknown_kinds_versions_and_reserved_bits_are_silence() -> None:
    node = listener()
    hello_a, hello_b = initiator().hello()
    for original in (hello_a, hello_b):
        heads = [bytes([kind]) + original[1:4] for kind in range(256)]
        heads += [original[:1] + bytes([version]) + original[2:4] for version in range(256)]
        heads += [original[:2] + (1 << bit).to_bytes(2) for bit in range(16)]
        for head in heads:
            if head == original[:4]:
                continue
            edited = with_new_mac1(head + original[4:], BOB)
            assert silent(node, place(1), edited), head.hex()
    assert node.exchange.deadline() is None


def test_dg03_the_same_for_reply_and_cookie() -> None:
    world = World()
    alice, called = world.add(ALICE), world.add(BOB)
    world.call(alice, called)
    hellos = [flight.data for flight in world.sent]
    answers = [
        called.exchange._gate.make_cookie(0.0, alice.endpoint, int.from_bytes(hellos[0][4:8]), a)
        for a in hellos[:1]
    ]
    answers += itertools.chain(*(give(called, alice.endpoint, d, 0.0) for d in hellos))
    assert [answer[0] for answer in answers] == [COOKIE, REPLY]
    for original in answers:
        heads = [bytes([kind]) + original[1:4] for kind in range(256)]
        heads += [original[:1] + bytes([version]) + original[2:4] for version in range(256)]
        heads += [original[:2] + (1 << bit).to_bytes(2) for bit in range(16)]
        for head in heads:
            if head != original[:4]:
                edited = head + original[4:]
                assert silent(alice, called.endpoint, edited), head.hex()
                assert silent(alice, called.endpoint, with_new_mac1(edited, ALICE)), head.hex()
    assert not silent(alice, called.endpoint, answers[0])
    assert give(alice, called.endpoint, answers[1], 0.0), "both are taken as they were"


def test_dg02_every_length_of_every_kind_is_silence() -> None:
    node = listener()
    hello_a, hello_b = initiator().hello()
    for kind in (HELLO_A, HELLO_B, REPLY, COOKIE, DATA):
        for length in range(1, 1300):
            if (kind, length) not in {(HELLO_A, 1200), (HELLO_B, 208)}:
                assert silent(node, place(1), (bytes([kind]) + hello_a[1:] + hello_b)[:length])


def test_dg01_empty_bursts_count_and_do_nothing() -> None:
    assert silent(listener(), place(1), b"")


def test_dg17_every_first_byte_has_one_parser_or_none() -> None:
    """Exhaustive over the first byte: who was called, with STUN's 0 to 3 and all else free."""
    world, alice, node = pair()
    world.call(alice, node)
    world.run(1.0)
    called: list[str] = []

    def noting(name: str) -> Callable[..., None]:
        return lambda *_: called.append(name)

    exchange = node.exchange
    for kind in list(exchange._handlers):
        exchange._handlers[kind] = noting(f"{kind:#x}")
    exchange._on_data = noting(f"{DATA:#x}")  # type: ignore[method-assign]
    parsers: dict[int, set[str]] = {}
    for first in range(256):
        for length in (1, 52, 208, 1200, 1452):
            called.clear()
            datagram = memoryview(bytes([first]) * length)
            exchange.receive(1.0, Burst(alice.endpoint, datagram, length))
            assert len(called) <= 1
            parsers.setdefault(first, set()).update(called)
    kinds = {HELLO_A, HELLO_B, REPLY, COOKIE, DATA}
    assert {first for first, names in parsers.items() if names} == kinds
    assert all(parsers[kind] == {f"{kind:#x}"} for kind in kinds)
    assert not kinds & set(range(64)), "STUN and the rest below 0x40 share the socket"


def test_dg17_a_burst_of_mixed_kinds_gives_each_datagram_to_its_parser() -> None:
    """A HELLO-A and a DATA of 1,200 bytes that the kernel joined."""
    world, alice, node = pair()
    world.call(alice, node)
    world.run(1.0)
    data = bytes(alice.channels[0].seal(b"x" * 1168).data)
    hello_a, hello_b = initiator(seed="again", index=3).hello()
    opened = node.channels[0].opened
    joined = memoryview(data + hello_a + data + hello_b)
    node.exchange.receive(1.0, Burst(alice.endpoint, joined, 1200))
    assert node.channels[0].opened == opened + 2
    burst = node.exchange.transmit(1.0)
    assert burst is not None
    assert burst.data[0] == REPLY


def test_dg02_a_short_datagram_under_a_live_index_spoils_no_burst_beside_it() -> None:
    """Whoever sees the wire may slip it in: what was read with it counts all the same."""
    world, alice, node = pair()
    world.call(alice, node)
    world.run(1.0)
    opened = node.channels[0].opened
    for length in range(1, SMALLEST_DATAGRAM):
        genuine = [alice.channels[0].seal(b"x" * 100) for _ in range(3)]
        short = bytes(genuine[0].data[:length])
        bursts = [Burst(alice.endpoint, memoryview(short), length), *genuine]
        node.exchange.receive(1.0, *bursts)
        opened += 3
        assert node.channels[0].opened == opened, length


def test_dg17_forged_fragments_around_a_burst_lead_it_to_nobody_else() -> None:
    """The kernel joins what comes from one place: first and last datagram speak for no other."""
    world, alice, node = pair()
    world.call(alice, node)
    world.run(1.0)
    genuine = [bytes(alice.channels[0].seal(b"x" * 100).data) for _ in range(4)]
    size = len(genuine[0])
    for number in range(6):
        first = HEADER.pack(DATA, 0, 5, 0xDEAD, 9) + bytes(size - HEADER_LENGTH)
        last = HEADER.pack(DATA, 0, number << 8 | 5, 0xDEAD, 9) + bytes(size - HEADER_LENGTH)
        genuine = [bytes(alice.channels[0].seal(b"x" * 100).data) for _ in range(4)]
        opened = node.channels[0].opened
        joined = memoryview(b"".join([first, *genuine, last]))
        node.exchange.receive(1.0, Burst(alice.endpoint, joined, size))
        assert node.channels[0].opened == opened + 4


def test_dg01_whatever_a_kernel_joins_of_a_byte_or_two_is_silence() -> None:
    node = listener()
    for length in range(1, 80):
        for stride in range(1, 12):
            for byte in (DATA, 1):
                data = (bytes([DATA, byte]) * 40)[:length]
                dropped = node.exchange.dropped
                node.exchange.receive(0.0, Burst(place(1), memoryview(data), stride))
                assert node.exchange.dropped > dropped
    assert node.exchange.transmit(0.0) is None


def test_dg17_a_train_with_the_end_of_another_is_looked_at_one_by_one() -> None:
    """Two sessions with one peer, both sending trains: a joined burst may hold parts of both."""
    asked: list[int] = []
    world, alice, node = pair()
    world.call(alice, node)
    world.run(1.0)
    ours = node.channels[0]
    receive = ours.receive

    def note(now: float, *bursts: Burst) -> None:
        asked.append(len(bursts[0].data) // bursts[0].stride)
        receive(now, *bursts)

    ours.receive = note  # type: ignore[method-assign]
    for last in (ours.index, ours.index ^ 1):
        heads = [HEADER.pack(DATA, 0, at << 8 | 3, ours.index, 9) for at in range(3)]
        heads.append(HEADER.pack(DATA, 0, 3 << 8 | 3, last, 9))
        joined = memoryview(b"".join(head + bytes(50) for head in heads))
        node.exchange.receive(1.0, Burst(alice.endpoint, joined, 66))
    assert asked == [4, 1, 1, 1]
