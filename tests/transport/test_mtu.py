"""The search for the path's datagram size, against paths that carry only so much."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp.transport.mtu import RETRY_AFTER, SIZES, SUSPICIONS, TRIES, UNDER_WAY, MtuSearch
from securecp.transport.wire import BASE_DATAGRAM, LARGEST_DATAGRAM

PLENTY = 1 << 30


def search(mtu: MtuSearch, carries: int, now: float = 0.0, room: int = PLENTY) -> list[int]:
    """Answer every probe as a path that carries so much; the sizes tried."""
    tried: list[int] = []
    for _ in range(100):
        under_way = []
        while (size := mtu.probe(now, room)) is not None:
            under_way.append(size)
        assert len(under_way) <= UNDER_WAY
        assert sum(under_way) <= room
        if not under_way:
            return tried
        tried += under_way
        for size in under_way:
            if size <= carries:
                mtu.acked(size)
            else:
                mtu.lost(size)
    raise AssertionError("the search never ends")


@given(st.integers(BASE_DATAGRAM, LARGEST_DATAGRAM), st.integers(BASE_DATAGRAM, LARGEST_DATAGRAM))
def test_it_finds_the_longest_size_that_the_path_carries(carries: int, largest: int) -> None:
    mtu = MtuSearch(largest)
    tried = search(mtu, carries)
    fitting = [size for size in SIZES if size <= min(carries, largest)]
    assert mtu.size == max([BASE_DATAGRAM, *fitting])
    assert all(size <= largest for size in tried)
    assert len([size for size in tried if size > carries]) <= TRIES * UNDER_WAY
    assert search(mtu, carries) == []


def test_it_goes_from_small_to_large() -> None:
    mtu = MtuSearch(LARGEST_DATAGRAM)
    assert search(mtu, LARGEST_DATAGRAM) == list(SIZES)


def test_nothing_longer_than_the_peer_takes_is_tried() -> None:
    assert search(MtuSearch(BASE_DATAGRAM), LARGEST_DATAGRAM) == []


@pytest.mark.parametrize("room", [0, 1_371, 1_372, 2_823, 2_824, 10_000, 200_000])
def test_probes_keep_to_the_room_they_are_given(room: int) -> None:
    mtu = MtuSearch(LARGEST_DATAGRAM)
    search(mtu, LARGEST_DATAGRAM, room=room)
    assert mtu.size == max([BASE_DATAGRAM, *[size for size in SIZES if size <= room]])


def test_one_loss_is_no_verdict_two_are() -> None:
    mtu = MtuSearch(1_452)
    assert [mtu.probe(0.0, PLENTY), mtu.probe(0.0, PLENTY)] == [1_372, 1_452]
    mtu.lost(1_372)
    assert mtu.probe(0.0, PLENTY) == 1_372
    mtu.lost(1_452)
    mtu.acked(1_372)
    assert mtu.size == 1_372
    assert mtu.probe(0.0, PLENTY) == 1_452
    mtu.lost(1_452)
    assert mtu.probe(1e9, PLENTY) is None
    assert mtu.size == 1_372


def test_a_longer_one_that_gets_through_settles_the_shorter() -> None:
    mtu = MtuSearch(LARGEST_DATAGRAM)
    mtu.probe(0.0, PLENTY)
    mtu.probe(0.0, PLENTY)
    assert mtu.acked(1_452)
    assert mtu.size == 1_452
    assert not mtu.acked(1_372)
    mtu.lost(1_372)
    assert mtu.size == 1_452
    assert mtu.probe(0.0, PLENTY) == 1_472


def test_a_shorter_one_to_be_tried_again_is_no_more_once_a_longer_got_through() -> None:
    mtu = MtuSearch(1_452)
    assert [mtu.probe(0.0, PLENTY), mtu.probe(0.0, PLENTY)] == [1_372, 1_452]
    mtu.lost(1_372)
    mtu.acked(1_452)
    assert mtu.probe(0.0, PLENTY) is None


def test_f29_a_new_search_forgets_the_losses_and_suspicions_of_the_last() -> None:
    mtu = MtuSearch(1_372)
    assert mtu.probe(0.0, PLENTY) == 1_372
    mtu.lost(1_372)
    assert mtu.probe(0.0, PLENTY) == 1_372
    mtu.acked(1_372)
    for number in range(SUSPICIONS):
        mtu.long_lost(10.0 + number, 10.0 + number)
    mtu.black_hole(20.0)
    later = 20.0 + RETRY_AFTER
    assert mtu.probe(later, PLENTY) == 1_372
    mtu.lost(1_372)
    assert mtu.probe(later, PLENTY) == 1_372
    mtu.acked(1_372)
    assert not mtu.long_lost(later, later)


def test_f29_a_black_hole_falls_back_and_is_tried_again_later() -> None:
    mtu = MtuSearch(LARGEST_DATAGRAM)
    search(mtu, 1_472)
    assert mtu.black_hole(100.0)
    assert mtu.size == BASE_DATAGRAM
    assert not mtu.black_hole(100.0)
    assert mtu.probe(100.0 + RETRY_AFTER - 0.1, PLENTY) is None
    search(mtu, 1_372, now=100.0 + RETRY_AFTER)
    assert mtu.size == 1_372


def test_a_probe_lost_after_the_fall_back_begins_no_search() -> None:
    mtu = MtuSearch(LARGEST_DATAGRAM)
    search(mtu, 1_472, room=20_000)
    mtu = MtuSearch(LARGEST_DATAGRAM)
    mtu.probe(0.0, PLENTY)
    mtu.acked(1_372)
    size = mtu.probe(0.0, PLENTY)
    assert size is not None
    mtu.black_hole(1.0)
    mtu.lost(size)
    assert mtu.probe(2.0, PLENTY) is None


def test_at_the_base_there_is_no_black_hole() -> None:
    assert not MtuSearch(LARGEST_DATAGRAM).black_hole(0.0)


def test_f29_long_datagrams_that_vanish_round_after_round_are_a_black_hole() -> None:
    """Each suspicion counts only what was sent after the one before."""
    mtu = MtuSearch(LARGEST_DATAGRAM)
    search(mtu, 1_472)
    for number in range(1, SUSPICIONS + 1):
        now = 10.0 + number
        suspected = [mtu.long_lost(now, now - 1.0) for _ in range(20)]
        assert any(suspected) == (number == SUSPICIONS)


def test_one_long_datagram_that_gets_through_clears_the_path() -> None:
    mtu = MtuSearch(LARGEST_DATAGRAM)
    search(mtu, 1_472)
    for number in range(50):
        assert not mtu.long_lost(float(number), float(number))
        if number % (SUSPICIONS - 1) == 0:
            mtu.long_acked()
