"""Datagrams cut into fragments: put together in any order, and believed only once verified."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from securecp.transport.fragments import WHOLES, Assembly, Cutter, whole_length
from securecp.transport.layout import CHUNK_OVERHEAD, VOLLEY
from securecp.transport.opening import Opened, Opener
from securecp.transport.seal import Sealer
from securecp.transport.wire import DATA, HEADER, HEADER_LENGTH, LARGEST_DATAGRAM, per_call
from tests.transport.test_seal import KEEP, burst_of, content_burst, flat, pair

STRIDE = 1_472
FULL = whole_length(STRIDE) - CHUNK_OVERHEAD


def train(
    sealer: Sealer, content: bytes, *, offset: int = 7, stride: int = STRIDE, now: float = 0.0
) -> list[bytes]:
    """The fragments of one datagram with this content, or of several."""
    slots = sealer.layout(whole_length(stride)).slots
    at = 0
    for slot in slots[: len(content) // len(slots[0])]:
        slot[:] = content[at : at + len(slot)]
        at += len(slot)
    assert at == len(content)
    data = sealer.trains(now, stride, offset, len(content))
    return [bytes(data[at : at + stride]) for at in range(0, len(data), stride)]


def feed(opener: Opener, datagrams: list[bytes]) -> list[Opened]:
    """Open each datagram as a burst of its own."""
    return [opener.open(0.0, burst_of(one, len(one)), KEEP) for one in datagrams]


def content_of(opened: list[Opened]) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for one in opened:
        found |= flat(one)[1]
    return found


@settings(max_examples=80)
@given(st.booleans(), st.integers(60, 9_000), st.integers(1, VOLLEY))
def test_trains_open_in_one_piece_each(aes: bool, stride: int, count: int) -> None:
    sealer, opener = pair(aes=aes)
    each = whole_length(stride) - CHUNK_OVERHEAD
    content = Random(stride).randbytes(count * each)
    pieces = train(sealer, content, offset=5, stride=stride)
    assert {len(piece) for piece in pieces} == {stride}
    assert len(pieces) == count * per_call(stride)
    opened = Opened()
    for at in range(0, len(pieces), per_call(stride)):
        data = b"".join(pieces[at : at + per_call(stride)])
        opener.open(0.0, burst_of(data, stride), KEEP, opened)
    assert opened.counters == [(0, count)]
    ((offset, slices),) = opened.content
    assert (offset, b"".join(slices)) == (5, content)
    assert (sealer.next_counter, opener.dropped) == (count, 0)


@settings(max_examples=60)
@given(st.integers(0, 1 << 32))
def test_fragments_come_in_any_order_twice_and_among_others(seed: int) -> None:
    """Two trains and plain datagrams, shuffled, some doubled, cut into bursts anywhere."""
    rng = Random(seed)
    sealer, opener = pair()
    stride = 100
    content = [rng.randbytes(whole_length(stride) - CHUNK_OVERHEAD) for _ in range(2)]
    trains = [
        train(sealer, part, offset=at << 20, stride=stride) for at, part in enumerate(content)
    ]
    plain = content_burst(sealer, stride, 5 << 20, bytes(54 * 4))
    pieces = [piece for one in trains for piece in one]
    pieces += [plain[at : at + stride] for at in range(0, len(plain), stride)]
    pieces += rng.sample(pieces, 5)
    rng.shuffle(pieces)
    found: dict[int, bytes] = {}
    counters: list[int] = []
    while pieces:
        run = [pieces.pop()]
        while pieces and len(run[-1]) == stride and rng.random() < 0.8:
            run.append(pieces.pop())
        one, two, three = flat(opener.open(0.0, burst_of(b"".join(run), len(run[0])), KEEP))
        counters += one
        found |= two
        assert not three
    assert sorted(counters) == list(range(6))
    assert found[0] == content[0] and found[1 << 20] == content[1]


def test_several_trains_are_opened_side_by_side() -> None:
    """And what is more than there are buffers for, too; they are one run of content."""
    sealer, opener = pair()
    count = VOLLEY + 2
    content = Random(5).randbytes(count * FULL)
    opened = Opened()
    for number in range(count):
        part = content[number * FULL : (number + 1) * FULL]
        data = b"".join(train(sealer, part, offset=number * FULL))
        opener.open(0.0, burst_of(data, STRIDE), KEEP, opened)
    assert opened.counters == [(0, count)]
    ((offset, slices),) = opened.content
    assert (offset, b"".join(slices)) == (0, content)


def test_a_train_counts_once_and_its_repetition_not_at_all() -> None:
    sealer, opener = pair()
    pieces = train(sealer, bytes(FULL))
    assert [one.counters for one in feed(opener, pieces)][-1] == [(0, 1)]
    assert not content_of(feed(opener, pieces))
    again = opener.open(0.0, burst_of(b"".join(pieces), STRIDE), KEEP)
    assert not again.counters


@pytest.mark.parametrize("lost", [0, 1, 20, 43])
def test_nothing_of_an_incomplete_train_is_believed(lost: int) -> None:
    sealer, opener = pair()
    pieces = train(sealer, bytes(FULL))
    del pieces[lost]
    whole = opener.open(0.0, burst_of(b"".join(pieces), STRIDE), KEEP)
    assert not whole.counters and not whole.content
    assert not any(one.counters for one in feed(opener, pieces))


@pytest.mark.parametrize("place", [0, 1, 2, 3, 5, 12, HEADER_LENGTH, STRIDE - 1])
@pytest.mark.parametrize("number", [0, 1, 43])
def test_tr10_a_train_with_one_changed_byte_leaves_no_trace(place: int, number: int) -> None:
    sealer, opener = pair()
    pieces = train(sealer, bytes(FULL))
    edited = bytearray(pieces[number])
    edited[min(place, len(edited) - 1)] ^= 0x40
    changed = [*pieces[:number], bytes(edited), *pieces[number + 1 :]]
    whole = b"".join(changed)
    if number and place < HEADER_LENGTH and place != 2:
        # Where all of a train comes in one piece, the rest of a later header says nothing.
        assert opener.open(0.0, burst_of(whole, STRIDE), KEEP).counters == [(0, 1)]
        return
    opened = [*feed(opener, changed), opener.open(0.0, burst_of(whole, STRIDE), KEEP)]
    assert not any(one.counters or one.content for one in opened)


def test_the_headers_of_later_fragments_cannot_change_what_opens() -> None:
    """Only the first one's is authenticated; the others' order is proved by the tag."""
    sealer, opener = pair()
    pieces = train(sealer, Random(1).randbytes(FULL))
    pieces[3], pieces[4] = (
        pieces[3][:HEADER_LENGTH] + pieces[4][HEADER_LENGTH:],
        pieces[4][:HEADER_LENGTH] + pieces[3][HEADER_LENGTH:],
    )
    assert not opener.open(0.0, burst_of(b"".join(pieces), STRIDE), KEEP).counters


def test_a_forged_fragment_spoils_no_more_than_its_train() -> None:
    sealer, opener = pair()
    pieces = train(sealer, bytes(FULL))
    forged = pieces[1][:HEADER_LENGTH] + bytes(len(pieces[1]) - HEADER_LENGTH)
    assert not any(one.counters for one in feed(opener, [forged, *pieces[:-1]]))
    opened = feed(opener, train(sealer, bytes(FULL)))
    assert opened[-1].counters == [(1, 2)]


def test_a_train_under_the_next_key_turns_the_key() -> None:
    sealer, opener = pair()
    feed(opener, train(sealer, bytes(FULL)))
    pieces = train(sealer, bytes(FULL), now=121.0)
    assert pieces[0][1] == 1
    opened = opener.open(121.0, burst_of(b"".join(pieces), STRIDE), KEEP)
    assert opened.counters == [(1, 2)]
    assert opener._phase == 1


def test_fragments_under_no_key_of_ours_are_not_even_kept() -> None:
    sealer, opener = pair()
    pieces = [piece[:1] + b"\x07" + piece[2:] for piece in train(sealer, bytes(FULL))]
    feed(opener, pieces[:-1])
    assert not opener._assembly._wholes
    assert opener.dropped == 43


def test_fragments_of_what_was_seen_are_not_kept() -> None:
    sealer, opener = pair()
    pieces = train(sealer, bytes(FULL))
    feed(opener, pieces)
    feed(opener, pieces[:-1])
    assert not opener._assembly._wholes
    assert opener.dropped == 43


def test_tr05_incomplete_trains_are_bounded_in_number_and_bytes() -> None:
    assembly = Assembly()
    piece = bytes(LARGEST_DATAGRAM)
    for counter in range(10 * WHOLES):
        for number in range(63):
            assembly.add(counter, bytes((80, 0, number, 63)) + bytes(12), piece[:1_400])
    assert len(assembly._wholes) <= WHOLES
    kept = sum(len(part) for whole in assembly._wholes.values() for part in whole.pieces.values())
    assert kept <= WHOLES * LARGEST_DATAGRAM


def test_the_oldest_incomplete_train_gives_way() -> None:
    sealer, opener = pair()
    first = train(sealer, bytes(FULL))
    feed(opener, first[:-1])
    for _ in range(WHOLES):
        feed(opener, train(sealer, bytes(FULL))[:1])
    assert not feed(opener, first[-1:])[0].counters


@pytest.mark.parametrize(("number", "last"), [(1, 0), (5, 4), (0, 64), (64, 64), (0, 255)])
def test_numbers_that_cannot_be_are_not_kept(number: int, last: int) -> None:
    assembly = Assembly()
    assert assembly.add(0, bytes((80, 0, number, last)) + bytes(12), bytes(100)) is None
    assert not assembly._wholes


def test_what_does_not_fit_the_first_fragment_is_not_kept() -> None:
    """Another number of fragments, or a second one with a number: the first of them counts."""
    sealer, opener = pair()
    pieces = train(sealer, bytes(FULL))
    other = pieces[1][:3] + b"\x3c" + pieces[1][4:HEADER_LENGTH] + bytes(len(pieces[1]) - 16)
    second = pieces[0][:HEADER_LENGTH] + bytes(len(pieces[0]) - HEADER_LENGTH)
    opened = feed(opener, [pieces[0], other, second, *pieces[1:]])
    assert opened[-1].counters == [(0, 1)]


def test_a_train_may_come_again_after_it_did_not_verify() -> None:
    """A forged fragment has spoilt it; nothing of it is left that could spoil it once more."""
    sealer, opener = pair()
    pieces = train(sealer, bytes(FULL))
    forged = pieces[1][:HEADER_LENGTH] + bytes(len(pieces[1]) - HEADER_LENGTH)
    assert not any(one.counters for one in feed(opener, [forged, pieces[0], *pieces[2:]]))
    assert not opener._assembly._wholes
    assert feed(opener, pieces)[-1].counters == [(0, 1)]


def test_dg03_a_number_where_nothing_is_cut_is_refused_under_a_new_key_too() -> None:
    """The careful way, for what is not like all the rest: authentic, and yet not ours to guess."""
    sealer, opener = pair()
    sealer.frames(121.0, b"")
    for counter in range(3):
        header = HEADER.pack(DATA, 1, 0x100, sealer._index, counter)
        datagram = header + sealer._aead.encrypt(header[4:], b"\x91\x05", header)
        assert not opener.open(121.0, burst_of(datagram, len(datagram)), KEEP).counters
    assert opener._phase == 0


def test_a_whole_shorter_than_a_tag_is_nothing() -> None:
    assembly = Assembly()
    header = bytes((80, 0, 0, 1)) + bytes(12)
    assert assembly.add(0, header, b"a") is None
    assert assembly.add(0, header[:2] + b"\x01" + header[3:], b"b") is None


def test_a_train_as_long_as_the_largest_datagram_and_no_longer() -> None:
    """What would not fit the buffers of the receiver is dropped unread."""
    _, opener = pair()
    longer = [bytes((80, 0, number, 8)) + bytes(11) + b"\x09" + bytes(8_000) for number in range(9)]
    assert not opener.open(0.0, burst_of(b"".join(longer), len(longer[0])), KEEP).counters
    assert not any(one.counters for one in feed(opener, longer))


@pytest.mark.parametrize("stride", [33, 1_200, 1_472, 8_972, 32_000, 65_507])
def test_a_whole_is_cut_without_rest(stride: int) -> None:
    length = whole_length(stride)
    buffer = memoryview(bytearray(Random(stride).randbytes(2 * length + 5)))
    cut = Cutter(buffer, stride).cut(2)
    assert len(cut) == 2 * per_call(stride) * stride
    pieces = [cut[at : at + stride] for at in range(0, len(cut), stride)]
    for number, whole in enumerate((buffer[:length], buffer[length : 2 * length])):
        mine = pieces[number * per_call(stride) : (number + 1) * per_call(stride)]
        assert b"".join(piece[HEADER_LENGTH:] for piece in mine) == whole[HEADER_LENGTH:]
        assert [piece[2] for piece in mine] == list(range(per_call(stride)))
        assert {(piece[:2], piece[3:HEADER_LENGTH]) for piece in mine} == {
            (bytes(whole[:2]), bytes(whole[3:HEADER_LENGTH]))
        }
