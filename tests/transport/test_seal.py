"""Sealing and opening whole bursts, against opening the same datagrams one by one."""

from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from securecp.endpoint import Burst
from securecp.transport import opening
from securecp.transport.frames import COUNTER_LIMIT
from securecp.transport.layout import CHUNK_OVERHEAD, VOLLEY
from securecp.transport.opening import (
    EARLIEST_PHASE_DATAGRAMS,
    EARLIEST_PHASE_SECONDS,
    Opened,
    Opener,
)
from securecp.transport.ratchet import Ratchet
from securecp.transport.seal import PHASE_DATAGRAMS, PHASE_SECONDS, Sealer
from securecp.transport.wire import (
    DATA,
    HEADER,
    HEADER_LENGTH,
    LARGEST_DATAGRAM,
    MOST_DATAGRAMS,
    OVERHEAD,
    TAG_LENGTH,
    per_call,
)
from tests.sim.peer import RIGHT, agreed_keys, parameters

PING = b"\x91\x05"
KEEP = 1.0
"""Seconds for which an old key is kept."""


def pair(*, aes: bool = True, largest: int = LARGEST_DATAGRAM) -> tuple[Sealer, Opener]:
    """One direction of an agreed session."""
    left = parameters(aes=aes, largest=largest)
    ours, theirs = agreed_keys(left, parameters(largest=largest))
    return Sealer(ours, 0.0), Opener(theirs, 0.0)


def burst_of(data: bytes, stride: int) -> Burst:
    return Burst(RIGHT, memoryview(bytearray(data)), stride)


def content_burst(
    sealer: Sealer, stride: int, offset: int, content: bytes, now: float = 0
) -> bytes:
    layout = sealer.layout(stride)
    at = 0
    for slot in layout.slots:
        part = content[at : at + len(slot)]
        slot[: len(part)] = part
        at += len(part)
    assert at == len(content)
    return bytes(sealer.content(now, stride, offset, len(content)))


def flat(opened: Opened) -> tuple[list[int], dict[int, bytes], list[tuple[int, bytes]]]:
    """Counters in order, content by offset of each slice, frames."""
    counters = [counter for start, end in opened.counters for counter in range(start, end)]
    content = {}
    for offset, slices in opened.content:
        at = offset
        for part in slices:
            content[at] = bytes(part)
            at += len(part)
    return counters, content, [(counter, bytes(plain)) for counter, plain in opened.frames]


# bursts


@settings(max_examples=150)
@given(
    st.booleans(),
    st.integers(1, MOST_DATAGRAMS),
    st.integers(CHUNK_OVERHEAD + 1, 3_000),
    st.integers(0, 1 << 62),
    st.data(),
)
def test_a_burst_opens_as_one_run(
    aes: bool, count: int, stride: int, offset: int, data: st.DataObject
) -> None:
    sealer, opener = pair(aes=aes)
    count = min(count, LARGEST_DATAGRAM // stride)
    slot = stride - CHUNK_OVERHEAD
    length = count * slot - data.draw(st.integers(0, slot - 1))
    content = Random(length).randbytes(length)
    sealed = content_burst(sealer, stride, offset, content)
    assert len(sealed) == length + count * CHUNK_OVERHEAD
    opened = opener.open(0.0, burst_of(sealed, stride), KEEP)
    assert opened.counters == [(0, count)]
    ((where, slices),) = opened.content
    assert where == offset
    assert b"".join(slices) == content
    assert (opened.frames, opener.dropped) == ([], 0)
    assert sealer.next_counter == count


@pytest.mark.parametrize("aes", [True, False])
def test_every_stride_works(aes: bool) -> None:
    """Three datagrams, the last as short as can be; and the longest there are."""
    sealer, opener = pair(aes=aes)
    for stride in [*range(CHUNK_OVERHEAD + 1, 1_600), 8_972, 32_000, 32_753, 65_506, 65_507]:
        count = min(3, LARGEST_DATAGRAM // stride)
        slot = stride - CHUNK_OVERHEAD
        content = bytes(number % 251 for number in range((count - 1) * slot + 1))
        sealed = content_burst(sealer, stride, stride, content)
        opened = opener.open(0.0, burst_of(sealed, stride), KEEP)
        assert b"".join(opened.content[0][1]) == content
    assert opener.dropped == 0


@pytest.mark.parametrize("count", range(1, MOST_DATAGRAMS + 1))
def test_every_count_works(count: int) -> None:
    sealer, opener = pair()
    content = Random(count).randbytes(count * 100)
    opened = opener.open(
        0.0, burst_of(content_burst(sealer, 100 + CHUNK_OVERHEAD, 7, content), 146), KEEP
    )
    assert flat(opened)[0] == list(range(count))
    assert b"".join(opened.content[0][1]) == content


def test_a_volley_is_four_bursts_of_what_the_kernel_takes() -> None:
    sealer, _ = pair()
    for stride in (CHUNK_OVERHEAD + 1, 1_000, 1_200, 1_472, 8_972, 40_000, 65_507):
        layout = sealer.layout(stride)
        assert 1 <= per_call(stride) <= MOST_DATAGRAMS
        assert per_call(stride) * stride <= LARGEST_DATAGRAM
        assert len(layout.views) == VOLLEY * per_call(stride)


def test_frames_and_content_share_the_counters_and_the_buffer() -> None:
    sealer, opener = pair()
    for number in range(30):
        if number % 3:
            sealed, stride = content_burst(sealer, 100, number, bytes(54 + number)), 100
        else:
            sealed = bytes(sealer.frames(0.0, PING))
            stride = len(sealed)
        opened = opener.open(0.0, burst_of(sealed, stride), KEEP)
        assert bool(opened.frames) == (number % 3 == 0)
    assert opener.dropped == 0


def test_many_strides_do_not_pile_up() -> None:
    sealer, opener = pair()
    for stride in range(100, 400):
        sealed = content_burst(sealer, stride, 0, b"x")
        opener.open(0.0, burst_of(sealed, len(sealed)), KEEP)
        assert len(sealer._layouts) <= 4
        assert len(opener._layouts) <= opening._LAYOUTS_KEPT


def test_slices_are_made_once_for_the_views_of_a_socket() -> None:
    sealer, opener = pair()
    buffer = memoryview(bytearray(10 * 100))
    for _ in range(3):
        buffer[:] = content_burst(sealer, 100, 0, bytes(540))
        opener.open(0.0, Burst(RIGHT, buffer, 100), KEEP)
    assert len(opener._layouts) == 1
    assert opener.dropped == 0


@pytest.mark.parametrize("stride", [0, 1, OVERHEAD - 1])
@pytest.mark.parametrize("length", [0, 1, 31, 32, 200])
def test_dg02_a_stride_too_short_for_any_datagram_is_dropped(stride: int, length: int) -> None:
    _, opener = pair()
    opened = opener.open(0.0, burst_of(bytes(length), stride), KEEP)
    assert (opened.counters, opened.frames, opened.content) == ([], [], [])
    assert opener.dropped == 1


@pytest.mark.parametrize("tail", range(1, OVERHEAD))
def test_dg02_a_last_datagram_that_is_too_short_spoils_no_other(tail: int) -> None:
    sealer, opener = pair()
    sealed = content_burst(sealer, 100, 0, bytes(108))
    opened = opener.open(0.0, burst_of(sealed + bytes(tail), 100), KEEP)
    assert opened.counters == [(0, 2)]
    assert opener.dropped == 1


def test_a_datagram_with_an_empty_plaintext_is_a_frame_for_the_parser_to_refuse() -> None:
    sealer, opener = pair()
    opened = opener.open(0.0, burst_of(bytes(sealer.frames(0.0, b"")), OVERHEAD), KEEP)
    assert flat(opened) == ([0], {}, [(0, b"")])


@pytest.mark.parametrize("length", range(1, 40))
def test_short_plaintexts_are_never_taken_for_chunks(length: int) -> None:
    """Less than a CHUNK head, with its first bytes or without: it is for the parser."""
    sealer, opener = pair()
    for plain in (bytes(length), (b"\x93\x02\xcf" + bytes(8) + b"\xc5" + bytes(40))[:length]):
        sealed = bytes(sealer.frames(0.0, plain))
        opened = opener.open(0.0, burst_of(sealed, len(sealed)), KEEP)
        assert opened.content == []
        assert opened.frames[0][1] == plain


# what a network makes of bursts, against a model that opens one by one


class Piece(NamedTuple):
    """A datagram as it arrives, and whether it is as it was sent."""

    data: bytes
    genuine: bool


STRIDE = 96


def sent(rng: Random, sealer: Sealer, offset: int = 0) -> list[bytes]:
    """Datagrams of one length: CHUNKs in runs, and frames between."""
    out: list[bytes] = []
    while len(out) < 40:
        if rng.random() < 0.2:
            out.append(bytes(sealer.frames(0.0, PING + b"\x92\x00\xc4" + bytes([58]) + bytes(58))))
            continue
        count = rng.randrange(1, 9)
        sealed = content_burst(sealer, STRIDE, offset, rng.randbytes(50 * count))
        out += [sealed[at : at + STRIDE] for at in range(0, len(sealed), STRIDE)]
        offset += 50 * count + rng.choice([0, 0, 50])
        if rng.random() < 0.1:
            sealer.skip()
    assert all(len(datagram) == STRIDE for datagram in out)
    return out


def mangle(rng: Random, datagrams: list[bytes]) -> list[Piece]:
    """Drop, repeat, swap and corrupt."""
    pieces: list[Piece] = []
    for datagram in datagrams:
        luck = rng.random()
        if luck < 0.1:
            continue
        pieces += [Piece(datagram, genuine=True)] * (1 + (luck < 0.25))
        if luck > 0.85:
            edited = bytearray(datagram)
            edited[rng.choice([0, 1, 2, 4, 8, 15, 16, 40, 95])] ^= 1 << rng.randrange(8)
            pieces.append(Piece(bytes(edited), genuine=False))
    for _ in range(rng.choice([0, 0, 1, 5, 40])):
        at, to = rng.randrange(len(pieces)), rng.randrange(len(pieces))
        pieces.insert(to, pieces.pop(at))
    return pieces


def check_like_one_by_one(pieces: list[Piece], cuts: list[int], aes: bool, now: float) -> None:
    """Bursts of any cut give what single datagrams give, and what a set of counters says."""
    (_, whole), (_, single) = pair(aes=aes), pair(aes=aes)
    expected: list[int] = []
    for piece in pieces:
        counter = int.from_bytes(piece.data[8:16])
        if piece.genuine and counter not in expected:
            expected.append(counter)
    results = []
    for opener, ends in ((whole, cuts), (single, list(range(1, len(pieces) + 1)))):
        counters: list[int] = []
        content: dict[int, bytes] = {}
        frames: list[tuple[int, bytes]] = []
        begin = 0
        for end in ends:
            data = b"".join(piece.data for piece in pieces[begin:end])
            one, two, three = flat(opener.open(now, burst_of(data, STRIDE), KEEP))
            counters += one
            assert not content.keys() & two.keys()
            content |= two
            frames += three
            begin = end
        results.append((counters, content, frames, opener.dropped))
    assert results[0] == results[1]
    assert results[0][0] == expected
    assert results[0][3] == len(pieces) - len(expected)


@settings(max_examples=120)
@given(st.integers(0, 1 << 32), st.booleans())
def test_tr10_a_burst_opens_like_its_datagrams_one_by_one(seed: int, aes: bool) -> None:
    rng = Random(seed)
    sealer, _ = pair(aes=aes)
    pieces = mangle(rng, sent(rng, sealer))
    cuts = sorted({*(rng.randrange(1, len(pieces)) for _ in range(rng.randrange(4))), len(pieces)})
    check_like_one_by_one(pieces, cuts, aes, 0.0)


@settings(max_examples=60)
@given(st.integers(0, 1 << 32))
def test_tr18_bursts_across_a_change_of_key_open_like_one_by_one(seed: int) -> None:
    """Old and new phase mixed within one burst, repeated and corrupted."""
    rng = Random(seed)
    sealer, _ = pair()
    before = sent(rng, sealer)
    sealer._phase_since = -PHASE_SECONDS
    after = sent(rng, sealer, 1 << 20)
    assert {datagram[1] for datagram in before} == {0}
    assert {datagram[1] for datagram in after} == {1}
    pieces = mangle(rng, before + after)
    check_like_one_by_one(pieces, [rng.randrange(1, len(pieces)), len(pieces)], True, 61.0)


def test_content_before_and_after_a_gap_makes_two_runs() -> None:
    """A datagram missing in the middle of a burst: what follows is a run of its own."""
    sealer, opener = pair()
    sealed = content_burst(sealer, 100, 0, bytes(54 * 10))
    holed = sealed[:300] + sealed[400:]
    opened = opener.open(0.0, burst_of(holed, 100), KEEP)
    assert opened.counters == [(0, 3), (4, 10)]
    assert [(offset, len(slices)) for offset, slices in opened.content] == [(0, 3), (216, 6)]


def test_content_of_two_bursts_that_touch_is_one_run_even_after_a_gap() -> None:
    sealer, opener = pair()
    first = content_burst(sealer, 100, 0, bytes(54 * 2))
    sealer.skip()
    second = content_burst(sealer, 100, 108, bytes(54 * 3))
    opened = opener.open(0.0, burst_of(first + second, 100), KEEP)
    assert flat(opened)[0] == [0, 1, 3, 4, 5]
    assert sum(len(slices) for _, slices in opened.content) == 5
    assert opened.content[0][0] == 0


# exhaustive damage


def shapes(sealer: Sealer) -> list[bytes]:
    return [
        bytes(sealer.frames(0.0, b"")),
        bytes(sealer.frames(0.0, PING)),
        content_burst(sealer, 60, 5, b"content here!!"),
    ]


def state(opener: Opener) -> tuple[object, ...]:
    """All that an opener is, but for the count of what it dropped and slices that it keeps."""
    replay = opener._replay
    return (
        opener._phase,
        opener._phase_counter,
        opener._phase_since,
        opener._previous_until,
        id(opener._aead),
        id(opener._following),
        id(opener._previous),
        opener._ratchet._chain,
        replay.next,
        bytes(replay._ring),
    )


@pytest.mark.parametrize("aes", [True, False])
def test_dg02_every_value_of_every_byte_but_the_true_one_is_dropped(aes: bool) -> None:
    sealer, opener = pair(aes=aes)
    before = state(opener)
    for datagram in shapes(sealer):
        for position in range(len(datagram)):
            edited = bytearray(datagram)
            for value in range(256):
                if value != datagram[position]:
                    edited[position] = value
                    opened = opener.open(0.0, burst_of(bytes(edited), len(edited)), KEEP)
                    assert not opened.counters
    assert state(opener) == before


@pytest.mark.parametrize("aes", [True, False])
def test_dg02_every_prefix_and_some_extensions_are_dropped(aes: bool) -> None:
    sealer, opener = pair(aes=aes)
    before = state(opener)
    for datagram in shapes(sealer):
        for end in range(len(datagram)):
            assert not opener.open(0.0, burst_of(datagram[:end], max(end, 1)), KEEP).counters
        for tail in (b"\0", b"\xff", bytes(16), datagram):
            longer = datagram + tail
            assert not opener.open(0.0, burst_of(longer, len(longer)), KEEP).counters
    assert state(opener) == before


def test_dg03_reserved_bytes_are_refused_even_when_they_are_authentic() -> None:
    """Whatever a later version means by them, we do not guess."""
    for reserved in (0x100, 0x200, 0xFF00):  # the number of a fragment, where nothing is cut
        sealer, opener = pair()
        for number in range(3):
            header = HEADER.pack(DATA, 0, reserved, sealer._index, number)
            datagram = header + sealer._aead.encrypt(header[4:], PING, header)
            assert not opener.open(0.0, burst_of(datagram, len(datagram)), KEEP).counters
        assert opener.dropped == 3


def test_hs14_what_does_not_verify_advances_nothing() -> None:
    """Neither the replay window, nor the key, nor its age: in each phase that could be meant."""
    sealer, opener = pair()
    good = bytes(sealer.frames(0.0, PING))
    before = state(opener)
    for phase in (0, 1, 2, 255):
        for counter in (0, 1, 1 << 20, 1 << 61, (1 << 64) - 1):
            header = HEADER.pack(DATA, phase, 0, sealer._index, counter)
            opener.open(1_000.0, burst_of(header + bytes(30), 46), KEEP)
    assert state(opener) == before
    assert opener.open(1_000.0, burst_of(good, len(good)), KEEP).counters == [(0, 1)]


# keys and counters


def preset(sealer: Sealer, opener: Opener, counter: int) -> None:
    """As if `counter` datagrams had gone over."""
    sealer.next_counter = counter
    opener._replay.mark(counter - 1, 1)


def test_tr18_the_key_turns_after_its_datagrams() -> None:
    sealer, opener = pair()
    preset(sealer, opener, PHASE_DATAGRAMS - 3)
    phases = []
    for _ in range(4):
        sealed = content_burst(sealer, 100, 0, bytes(54 * 2))
        phases.append(sealed[1])
        assert len(flat(opener.open(0.0, burst_of(sealed, 100), KEEP))[0]) == 2
    assert phases == [0, 0, 1, 1]
    assert (sealer._phase, opener._phase) == (1, 1)
    assert sealer._phase_counter == opener._phase_counter == PHASE_DATAGRAMS + 1


def test_no_burst_has_datagrams_of_two_keys() -> None:
    sealer, opener = pair()
    preset(sealer, opener, PHASE_DATAGRAMS - 1)
    sealed = content_burst(sealer, 100, 0, bytes(54 * 64))
    assert {sealed[at] for at in range(1, len(sealed), 100)} == {0}
    assert bytes(sealer.frames(0.0, PING))[1] == 1


def test_tr18_the_key_turns_after_its_time() -> None:
    sealer, opener = pair()
    for now, phase in (
        (0.0, 0),
        (PHASE_SECONDS - 0.1, 0),
        (PHASE_SECONDS, 1),
        (130.0, 1),
        (240.0, 2),
    ):
        sealed = bytes(sealer.frames(now, PING))
        assert sealed[1] == phase
        assert opener.open(now, burst_of(sealed, len(sealed)), KEEP).counters
    assert opener.dropped == 0


def test_the_phase_byte_goes_round() -> None:
    sealer, opener = pair(aes=False)
    for turn in range(600):
        now = turn * PHASE_SECONDS
        sealed = bytes(sealer.frames(now, PING))
        assert sealed[1] == turn % 256
        assert opener.open(now, burst_of(sealed, len(sealed)), KEEP).counters
    assert opener.dropped == 0


def test_tr18_an_old_key_opens_what_is_late_until_its_time_is_over_and_is_then_gone() -> None:
    sealer, opener = pair()
    late = [bytes(sealer.frames(0.0, PING)) for _ in range(3)]
    turned = bytes(sealer.frames(PHASE_SECONDS, PING))
    now = PHASE_SECONDS
    assert opener.open(now, burst_of(turned, len(turned)), KEEP).counters
    assert opener.open(now + 0.9, burst_of(late[0], len(turned)), KEEP).counters
    assert opener._previous is not None
    assert not opener.open(now + KEEP, burst_of(late[1], len(turned)), KEEP).counters
    assert opener._previous is None
    assert not opener.open(now + 0.5, burst_of(late[2], len(turned)), KEEP).counters


def test_tr18_only_one_old_key_is_kept() -> None:
    sealer, opener = pair()
    old = bytes(sealer.frames(0.0, PING))
    for turn in (1, 2):
        sealed = bytes(sealer.frames(turn * PHASE_SECONDS, PING))
        assert opener.open(turn * PHASE_SECONDS, burst_of(sealed, len(sealed)), 1e9).counters
    assert not opener.open(2 * PHASE_SECONDS, burst_of(old, len(old)), 1e9).counters


@pytest.mark.parametrize(
    ("seconds", "datagrams", "taken"),
    [
        (0.0, 1, False),
        (EARLIEST_PHASE_SECONDS - 0.1, EARLIEST_PHASE_DATAGRAMS - 1, False),
        (EARLIEST_PHASE_SECONDS, 1, True),
        (0.0, EARLIEST_PHASE_DATAGRAMS, True),
    ],
)
def test_tr18_a_key_that_changes_too_early_is_refused(
    seconds: float, datagrams: int, taken: bool
) -> None:
    ours, _ = agreed_keys(parameters(), parameters())
    _, opener = pair()
    ratchet = Ratchet(ours.send_root, aes=True)
    ratchet.draw()
    header = HEADER.pack(DATA, 1, 0, ours.their_index, datagrams)
    datagram = header + ratchet.draw().encrypt(header[4:], PING, header)
    before = state(opener)
    opened = opener.open(seconds, burst_of(datagram, len(datagram)), KEEP)
    assert bool(opened.counters) is taken
    assert (state(opener) != before) is taken


def test_tr18_an_early_key_costs_no_decryption() -> None:
    """A forger who sets the phase byte has us compute nothing more than in any other phase."""

    class Never:
        def decrypt_into(self, *_: object) -> int:
            raise AssertionError("computed")

    _, opener = pair()
    opener._following = opener._previous = Never()  # type: ignore[assignment]
    for phase in (1, 2, 255):
        header = HEADER.pack(DATA, phase, 0, 0, 5)
        opener.open(0.0, burst_of(header + bytes(40), 56), KEEP)
    assert opener.dropped == 3


def test_hs14_counters_end_before_they_repeat() -> None:
    sealer, _ = pair()
    sealer.next_counter = COUNTER_LIMIT - 3
    sealer.frames(0.0, PING)
    with pytest.raises(OverflowError):
        content_burst(sealer, 100, 0, bytes(54 * 2))
    assert sealer.next_counter == COUNTER_LIMIT - 2
    sealer.frames(0.0, PING)
    for _ in range(3):
        with pytest.raises(OverflowError):
            sealer.frames(0.0, PING)
    assert sealer.next_counter == COUNTER_LIMIT - 1


def test_every_datagram_has_a_nonce_of_its_own() -> None:
    """Across bursts, frames, counters left out and changes of key."""
    sealer, _ = pair()
    rng = Random(1)
    nonces = set()
    total = 0
    for turn in range(200):
        now = turn * 10.0
        datagrams = [bytes(sealer.frames(now, PING))]
        if turn % 7 == 0:
            sealer.skip()
        count = rng.randrange(1, 20)
        sealed = content_burst(sealer, 100, 0, bytes(54 * count), now)
        datagrams += [sealed[at : at + 100] for at in range(0, len(sealed), 100)]
        total += len(datagrams)
        nonces |= {datagram[4:HEADER_LENGTH] for datagram in datagrams}
    assert len(nonces) == total


def test_both_sides_must_have_fast_aes() -> None:
    cases = ((True, True), (True, False), (False, True), (False, False))
    for ours_fast, theirs_fast in cases:
        ours, _ = agreed_keys(parameters(aes=ours_fast), parameters(aes=theirs_fast))
        name = type(Sealer(ours, 0.0)._aead).__name__
        assert name == ("AESGCM" if ours_fast and theirs_fast else "ChaCha20Poly1305")
        assert name == type(Opener(ours, 0.0)._aead).__name__


def test_the_two_directions_have_different_keys() -> None:
    """A datagram that is sent back to its sender opens nothing."""
    ours, _ = agreed_keys(parameters(), parameters())
    sealed = bytes(Sealer(ours, 0.0).frames(0.0, PING))
    assert not Opener(ours, 0.0).open(0.0, burst_of(sealed, len(sealed)), KEEP).counters
    assert len(sealed) == HEADER_LENGTH + len(PING) + TAG_LENGTH
