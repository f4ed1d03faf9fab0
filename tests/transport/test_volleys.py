"""Volleys of a whole connection: how long datagrams become, and what is counted of them."""

import tracemalloc
from random import Random

import pytest

from securecp.endpoint import Burst
from securecp.transport.connection import Connection
from securecp.transport.fragments import whole_length
from securecp.transport.seal import Sealer
from securecp.transport.wire import DATA, HEADER, HEADER_LENGTH, per_call
from tests.sim.peer import LEFT, agreed_keys, parameters
from tests.transport.rig import Pair, Way

SIZE = 12 << 20


class Wholes:
    """A judge that looks at headers: how long each datagram is once its fragments are joined."""

    def __init__(self, pair: Pair, seed: int = 1, loss: float = 0.0) -> None:
        self.lengths: dict[int, int] = {}
        self.lasts: set[int] = set()
        self._rng = Random(seed)
        self._loss = loss
        pair.forth.judge = self._judge

    def _judge(self, _way: Way, datagram: bytes) -> bool:
        counter = int.from_bytes(datagram[8:16])
        piece = len(datagram) - HEADER_LENGTH
        self.lengths[counter] = self.lengths.get(counter, HEADER_LENGTH) + piece
        self.lasts.add(datagram[3])
        return self._rng.random() >= self._loss


def fast(*, largest: int) -> Pair:
    """A path on which bursts are as long as they get."""
    pair = Pair(largest=largest)
    pair.forth.rate, pair.forth.carries = 1e10, 1_472
    pair.forth.delay = pair.back.delay = 0.0005
    return pair


@pytest.mark.parametrize("largest", [1_200, 1_472, 9_000, whole_length(1_472) - 1])
def test_no_whole_is_longer_than_the_peer_takes(largest: int) -> None:
    """It declared so in the handshake, and may have no room for more."""
    pair = fast(largest=largest)
    seen = Wholes(pair)
    pair.ask(SIZE)
    pair.run(60.0, lambda: pair.content.stored == SIZE)
    assert pair.content.stored == SIZE
    assert max(seen.lengths.values()) <= largest
    assert seen.lasts == {0}


def test_wholes_are_sent_where_the_peer_takes_them() -> None:
    pair = fast(largest=whole_length(1_472))
    seen = Wholes(pair)
    pair.ask(SIZE)
    pair.run(60.0, lambda: pair.content.stored == SIZE)
    assert max(seen.lengths.values()) == whole_length(1_472)
    assert seen.lasts == {0, per_call(1_472) - 1}


@pytest.mark.parametrize("loss", [0.0, 0.0002, 0.002, 0.02])
@pytest.mark.parametrize("largest", [1_472, 65_507])
def test_bytes_in_flight_and_credit_come_out_even_whatever_was_lost(
    largest: int, loss: float
) -> None:
    """Wholes, plain volleys, the short ends of both, probes, losses: all counted in and out."""
    pair = fast(largest=largest)
    Wholes(pair, loss=loss)
    pair.ask(SIZE)
    pair.run(120.0, lambda: pair.content.stored == SIZE)
    sender, receiver = pair.left.content_out, pair.right.content_in
    pair.run(pair.now + 30.0, lambda: not len(pair.left._recovery.flight))
    assert pair.content.stored == SIZE
    assert pair.left.in_flight == 0
    assert sender.acked == SIZE
    # What was sent less what was lost is what came, copies included.
    assert sender._counted == receiver.came


def test_a_change_of_the_path_mtu_between_volleys_costs_nothing_but_what_was_lost() -> None:
    """From 1,472 to 1,200 bytes in the middle: trains and all, it goes on."""
    pair = fast(largest=65_507)
    pair.ask(4 * SIZE)
    pair.run(60.0, lambda: pair.content.stored >= SIZE)
    assert pair.left.datagram_size == 1_472
    pair.forth.carries = 1_200
    pair.run(120.0, lambda: pair.content.stored == 4 * SIZE)
    assert pair.content.stored == 4 * SIZE
    assert pair.left.datagram_size == 1_200


def test_hs02_who_has_not_proved_anything_makes_us_keep_little() -> None:
    """A recorded call and garbage in the form of trains: the buffers of a transfer come later."""
    both = parameters(largest=65_507)
    _, theirs = agreed_keys(both, both)
    head = HEADER.pack(DATA, 0, 43, theirs.our_index, 5)
    garbage = [head[:2] + bytes([number]) + head[3:] + bytes(1_456) for number in range(44)]
    burst = Burst(LEFT, memoryview(bytearray(b"".join(garbage))), 1_472)
    tracemalloc.start()
    try:
        connection = Connection(theirs, LEFT, 0.0, Random(1).randbytes)
        assert tracemalloc.get_traced_memory()[0] < 100_000
        for _ in range(9):
            connection.receive(0.0, burst, burst, burst, burst)
        assert not connection.established
        assert tracemalloc.get_traced_memory()[0] < 200_000
    finally:
        tracemalloc.stop()


def test_dg07_forged_bytes_are_not_counted_beside_genuine_ones() -> None:
    """A limit would make the peer wait for what a stranger has sent."""
    both = parameters(largest=65_507)
    ours, theirs = agreed_keys(both, both)
    sealer = Sealer(ours, 0.0)
    connection = Connection(theirs, LEFT, 0.0, Random(1).randbytes)
    forged = memoryview(bytearray(HEADER.pack(DATA, 0, 0, theirs.our_index, 99) + bytes(1_000)))
    came = 0
    for _ in range(3):
        genuine = memoryview(bytearray(sealer.frames(0.0, b"\x91\x05")))
        bursts = [Burst(LEFT, data, len(data)) for data in (forged, genuine, forged, forged)]
        connection.receive(0.0, *bursts)
        came += len(genuine)
        assert connection.bytes_received == came
