"""Digests taken in passing are those of the chunks, whatever the bursts; gaps are left out."""

from collections.abc import Callable
from random import Random
from typing import Any

from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from securecp.sending import SendSession
from securecp.transfer import entries
from securecp.transfer.effects import DigestChunks, RestartSource
from securecp.transfer.manifest import Chunk, Manifest
from securecp.transfer.passing import KEPT, PassingDigests
from securecp.transfer.sender import State
from securecp.transport.connection import Connection
from tests.sim.peer import RIGHT, agreed_keys, parameters
from tests.transfer.pair import file, small_chunks

CHUNK = 100


def manifest_of(sizes: list[int]) -> Manifest:
    return Manifest([file(f"f{number:03}", size) for number, size in enumerate(sizes)])


def whole(manifest: Manifest, content: bytes) -> dict[int, bytes]:
    chunks = [manifest.chunk(number) for number in range(manifest.chunk_count)]
    return {
        chunk.number: blake3(content[chunk.offset : chunk.offset + chunk.length]).digest()
        for chunk in chunks
    }


def taken(manifest: Manifest, passing: PassingDigests) -> dict[int, bytes]:
    found = {number: passing.take(number) for number in range(manifest.chunk_count)}
    return {number: digest for number, digest in found.items() if digest is not None}


def slots(rng: Random, data: bytes) -> list[memoryview]:
    """The bytes of one burst, in one slot or several."""
    size = rng.choice([len(data), 7, 64])
    return [memoryview(data)[at : at + size] for at in range(0, len(data), max(size, 1))]


SIZES = st.lists(st.integers(0, 350), min_size=1, max_size=12)


@settings(max_examples=150)
@given(SIZES, st.integers(0, 1 << 32))
def test_what_passes_in_order_is_digested_whole(sizes: list[int], seed: int) -> None:
    rng = Random(seed)
    with small_chunks(CHUNK):
        manifest = manifest_of(sizes)
        content = rng.randbytes(manifest.size)
        passing = PassingDigests(manifest)
        at = 0
        while at < len(content):
            size = rng.choice([1, 30, 99, 100, 500])
            passing.note(at, slots(rng, content[at : at + size]))
            at = min(at + size, len(content))
            if rng.random() < 0.3:  # something is sent again
                back = rng.randrange(at)
                passing.note(back, slots(rng, content[back:at]))
        assert taken(manifest, passing) == whole(manifest, content)
        assert not taken(manifest, passing), "each is given once"


@settings(max_examples=150)
@given(SIZES, st.integers(0, 1 << 32))
def test_a_chunk_with_a_gap_is_left_to_others(sizes: list[int], seed: int) -> None:
    rng = Random(seed)
    with small_chunks(CHUNK):
        manifest = manifest_of(sizes)
        content = rng.randbytes(manifest.size)
        passing = PassingDigests(manifest)
        passed = bytearray(len(content))
        at = 0
        while at < len(content):
            size = rng.choice([10, 40, 150])
            if rng.random() < 0.7:
                passing.note(at, slots(rng, content[at : at + size]))
                passed[at : at + size] = b"\x01" * len(passed[at : at + size])
            at += size
        right = whole(manifest, content)
        found = taken(manifest, passing)
        for number, digest in right.items():
            chunk = manifest.chunk(number)
            complete = all(passed[chunk.offset : chunk.offset + chunk.length])
            assert found.get(number) == (digest if complete else None)


def test_what_is_forgotten_is_not_given() -> None:
    with small_chunks(CHUNK):
        manifest = manifest_of([250, 250, 250])
        content = Random(1).randbytes(750)
        passing = PassingDigests(manifest)
        passing.note(0, [memoryview(content)[:430]])
        passing.forget(0)
        passing.forget(1)
        passing.note(430, [memoryview(content)[430:]])
        right = whole(manifest, content)
        third = manifest.chunks(2)
        assert taken(manifest, passing) == {number: right[number] for number in third}


def test_a_file_that_is_sent_anew_is_not_followed() -> None:
    """Its digests are asked for before its content has gone out again."""
    with small_chunks(CHUNK):
        manifest = manifest_of([200])
        passing = PassingDigests(manifest)
        passing.note(0, [memoryview(bytes(200))])
        passing.forget(0)
        passing.note(0, [memoryview(bytes(200))])
        assert not taken(manifest, passing)
    assert entries.CHUNK != CHUNK


def test_digests_that_nobody_takes_do_not_pile_up() -> None:
    """The newest are kept; the chunks of the others are read anew."""
    with small_chunks(1):
        manifest = manifest_of([2 * KEPT])
        passing = PassingDigests(manifest)
        passing.note(0, [memoryview(bytes(2 * KEPT))])
        assert sorted(taken(manifest, passing)) == list(range(KEPT, 2 * KEPT))


class Changing:
    """A source that is written to as soon as somebody has looked whether it is as it was."""

    def __init__(self) -> None:
        self.changed: set[int] = set()
        self.looks = 0
        self.read: list[int] = []

    def fill(self, offset: int, slots: list[memoryview]) -> None:
        raise AssertionError("nothing is sent here")

    def digest(self, chunk: Chunk) -> bytes | None:
        self.read.append(chunk.number)
        return bytes(32)

    def unchanged(self, entry: int) -> bool:
        self.looks += 1
        return not self.read

    def renew(self, entry: int) -> bool:
        return True

    def known(self, chunk: Chunk) -> bytes | None:
        return None

    def holes(self) -> tuple[range, ...]:
        return ()

    def learned(self, number: int, digest: bytes) -> None:
        """Nothing is remembered."""

    def due(self, now: float) -> bool:
        return False

    def save(self) -> None:
        """Nothing is remembered."""

    def finish(self) -> None:
        """Nothing is remembered."""

    def close(self) -> None:
        """Nothing is held."""


class Later:
    """A workshop that does its jobs when it is told to."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[[], Any], Callable[[Any], None]]] = []

    def start(self, job: Callable[[], Any], then: Callable[[Any], None]) -> None:
        self.jobs.append((job, then))

    start_aside = start

    def work(self) -> None:
        for job, then in self.jobs:
            then(job())


def test_mf07_a_file_is_looked_at_after_its_last_digest_though_its_end_passed_first() -> None:
    """The end was digested in passing, the beginning is read again, and changes before that."""
    with small_chunks(CHUNK):
        ours, _ = agreed_keys(parameters(), parameters())
        source, workshop = Changing(), Later()
        session = SendSession(
            Connection(ours, RIGHT, 0.0, Random(1).randbytes),
            workshop,
            0.0,
            manifest=manifest_of([3 * CHUNK]),
            source=source,
            ours=bytes(32),
            entropy=Random(2).randbytes,
        )
        session.party.state = State.SENDING
        session.party.content_sent(3 * CHUNK)
        (effect,) = session.party.effects()
        assert isinstance(effect, DigestChunks)
        session._passing.note(2 * CHUNK, [memoryview(bytes(CHUNK))])
        session._digest(effect)
        assert source.looks == 0
        workshop.work()
        assert (source.read, source.looks) == ([0, 1], 1)
        assert RestartSource(0) in session.party.effects()
