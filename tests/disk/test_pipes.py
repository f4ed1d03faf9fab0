"""Streams and pipes: read with bounded memory, written in order, ended at once, by real threads."""

import contextlib
import os
import random
import select
import socket
import stat
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from securecp.disk import pipestore, streamstore
from securecp.disk.pipe import GONE, PipeSink
from securecp.disk.pipestore import PipeStore, PipeStream
from securecp.disk.stdin import WINDOW, SharedStream, StreamSource
from securecp.disk.streamstore import NamedStore, StreamStore, output_place
from securecp.errors import FullError, SourceError, StorageError
from securecp.transfer.entries import STREAM
from securecp.transfer.holdings import Holdings, zero_digest
from securecp.transfer.manifest import CHUNK, Entry, Manifest
from tests.disk.support import content, deliver, descriptors, file, folder, parts, slices, tree

PATIENCE = 20.0


class Bell:
    """What a loop does between its turns: wait until it is told that something has changed."""

    def __init__(self) -> None:
        self._rung = threading.Event()
        self.rings = 0

    def ring(self) -> None:
        self.rings += 1
        self._rung.set()

    def until(self, true: Callable[[], bool]) -> None:
        while not true():
            assert self._rung.wait(PATIENCE)
            self._rung.clear()


_sinks: list[PipeSink] = []


@pytest.fixture(autouse=True)
def _no_sink_stays() -> Iterator[None]:
    yield
    while _sinks:
        _sinks.pop().close()


def sink_of(descriptor: int) -> PipeSink:
    """One that is closed after the test, whatever becomes of it."""
    _sinks.append(PipeSink(descriptor))
    return _sinks[-1]


def open_stream(
    descriptor: int, notify: Callable[[], None], *, window: int = WINDOW
) -> StreamSource:
    """A stream for one recipient; closing it ends the thread."""
    return SharedStream(descriptor, window=window).reader(notify)


@contextlib.contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends; whoever closes one sets nothing else free."""
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            with contextlib.suppress(OSError):
                os.close(end)


def writer(descriptor: int, data: bytes, cuts: list[int] | None = None) -> threading.Thread:
    """A program that writes into a pipe, and then ends."""

    def write() -> None:
        rest = memoryview(data)
        sizes = iter(cuts or [])
        with contextlib.suppress(BrokenPipeError):
            while rest:
                rest = rest[os.write(descriptor, rest[: next(sizes, 65_536)]) :]
        os.close(descriptor)

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def reader(descriptor: int, into: bytearray) -> threading.Thread:
    """A program that reads a pipe until its end."""

    def read() -> None:
        while data := os.read(descriptor, 65_536):
            into.extend(data)

    thread = threading.Thread(target=read)
    thread.start()
    return thread


def stream(name: bytes = b"backup.tar", mode: int = 0o644) -> Manifest:
    return Manifest([Entry(STREAM, 0, name, 0, mode, 0)])


def random_bytes(size: int, seed: int = 1) -> bytes:
    return blake3(seed.to_bytes(2, "big")).digest(length=size)


def drain(source: StreamSource, bell: Bell, step: int = 300_000) -> bytes:
    """Take the whole stream as a session would: look, fill, release."""
    got = bytearray()
    while True:
        done = len(got)
        bell.until(partial(_has_news, source, done))
        if source.error:
            raise source.error
        count = min(source.available - len(got), step)
        if not count:
            return bytes(got)
        slot = bytearray(count)
        source.fill(len(got), slices_of(slot))
        got += slot
        source.release(len(got))


def _has_news(source: StreamSource, done: int) -> bool:
    return source.available > done or source.ended or source.error is not None


def _has_more(source: StreamSource, wanted: int) -> bool:
    return source.available >= wanted or source.ended


def slices_of(slot: bytearray, size: int = 1_400) -> list[memoryview]:
    view = memoryview(slot)
    return [view[start : start + size] for start in range(0, len(view), size)]


# reading a stream


def test_a_stream_comes_whole_and_in_order(tmp_path: Path) -> None:
    data = random_bytes(5 * CHUNK + 77)
    before = descriptors()
    with pipe() as (out, into):
        bell = Bell()
        source = open_stream(out, bell.ring, window=2 * CHUNK)
        thread = writer(into, data)
        assert drain(source, bell) == data
        assert source.ended
        assert source.idle_since is None
        assert source.available == len(data)
        source.close()
        thread.join()
    assert descriptors() == before


@settings(max_examples=25, deadline=None)
@given(
    size=st.integers(0, 3 * CHUNK),
    cuts=st.lists(st.integers(1, 200_000), max_size=20),
    window=st.integers(1, 2 * CHUNK),
    step=st.integers(1_000, CHUNK),
)
def test_any_cut_and_window_bring_the_same_bytes(
    size: int, cuts: list[int], window: int, step: int
) -> None:
    data = random_bytes(size)
    window = max(window, size // 40 + 1)  # not byte by byte
    with pipe() as (out, into):
        bell = Bell()
        source = open_stream(out, bell.ring, window=window)
        thread = writer(into, data, cuts)
        assert drain(source, bell, max(step, size // 40 + 1)) == data
        source.close()
        thread.join()


def test_a_file_is_a_stream_too(tmp_path: Path) -> None:
    data = random_bytes(2 * CHUNK + 1)
    (tmp_path / "a").write_bytes(data)
    with (tmp_path / "a").open("rb") as opened:
        bell = Bell()
        source = open_stream(opened.fileno(), bell.ring)
        assert drain(source, bell) == data
        source.close()


def test_a_socket_is_a_stream_too() -> None:
    ours, theirs = socket.socketpair()
    bell = Bell()
    source = open_stream(ours.fileno(), bell.ring)
    with ours, theirs:
        theirs.sendall(b"hello")
        theirs.shutdown(socket.SHUT_WR)
        assert drain(source, bell) == b"hello"
    source.close()


def test_reading_stops_when_the_window_is_full_and_goes_on_after_release() -> None:
    with pipe() as (out, into):
        bell = Bell()
        source = open_stream(out, bell.ring, window=100_000)
        data = random_bytes(400_000)
        thread = writer(into, data)
        bell.until(lambda: source.available == 100_000)
        assert source.peek(0, 100_000) == data[:100_000]
        assert source.available == 100_000  # and no more, for as long as nothing is released
        source.release(40_000)
        bell.until(lambda: source.available == 140_000)
        assert source.peek(40_000, 100_000) == data[40_000:140_000]
        source.close()
        os.close(out)  # the writer hears that nobody reads
        thread.join()


def test_what_was_not_released_can_be_read_again_and_what_was_cannot() -> None:
    data = random_bytes(3 * CHUNK)
    with pipe() as (out, into):
        bell = Bell()
        source = open_stream(out, bell.ring)
        thread = writer(into, data)
        bell.until(lambda: source.ended)
        for _ in range(2):
            slot = bytearray(2 * CHUNK)
            source.fill(CHUNK // 2, slices_of(slot))
            assert slot == data[CHUNK // 2 : CHUNK // 2 + 2 * CHUNK]
        source.release(2 * CHUNK)
        source.release(CHUNK)  # never backwards
        assert source.released == 2 * CHUNK
        with pytest.raises(ValueError):
            source.peek(2 * CHUNK - 1, 1)
        with pytest.raises(ValueError):
            source.peek(3 * CHUNK, 1)
        with pytest.raises(ValueError):
            source.release(3 * CHUNK + 1)
        assert source.peek(3 * CHUNK - 1, 1) == data[-1:]
        source.close()
        thread.join()


def test_memory_stays_within_the_window_however_long_the_stream() -> None:
    size, window = 64 * CHUNK, 4 * CHUNK
    piece = bytes(CHUNK)
    with pipe() as (out, into):
        bell = Bell()

        def write() -> None:
            for _ in range(size // CHUNK):
                rest = memoryview(piece)
                while rest:
                    rest = rest[os.write(into, rest) :]
            os.close(into)

        thread = threading.Thread(target=write)
        tracemalloc.start()
        source = open_stream(out, bell.ring, window=window)
        thread.start()
        done = 0
        slot = [memoryview(bytearray(CHUNK))]
        while True:
            bell.until(partial(_has_more, source, done + CHUNK))
            if source.available < done + CHUNK:
                break
            source.fill(done, slot)
            done += CHUNK
            source.release(done)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert done == size
        assert peak < window + 4 * CHUNK
        source.close()
        thread.join()


@pytest.mark.parametrize("state", ["idle", "full"])
def test_closing_ends_the_thread_at_once_though_nothing_ever_comes(state: str) -> None:
    before = descriptors(), threading.active_count()
    with pipe() as (out, into):
        bell = Bell()
        source = open_stream(out, bell.ring, window=10)
        if state == "full":
            os.write(into, bytes(100))
            bell.until(lambda: source.available == 10)
        thread = source._stream._thread
        assert thread is not None
        source.close()
        assert not thread.is_alive()
        source.close()
    assert (descriptors(), threading.active_count()) == before


def test_a_stream_that_fails_says_so_and_never_that_it_has_ended(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    bell = Bell()
    source = open_stream(directory, bell.ring)
    bell.until(lambda: source.error is not None)
    assert isinstance(source.error, SourceError)
    assert not source.ended
    source.close()
    os.close(directory)


def test_idle_time_counts_only_while_there_is_room() -> None:
    now = 100.0
    with pipe() as (out, into):
        bell = Bell()
        shared = SharedStream(out, window=10, clock=lambda: now)
        source = shared.reader(bell.ring)
        assert source.idle_since == 100.0
        now = 150.0
        os.write(into, b"abc")
        bell.until(lambda: source.available == 3)
        assert source.idle_since == 150.0
        os.write(into, bytes(20))
        bell.until(lambda: source.available == 10)
        wait_until(lambda: source.idle_since is None)
        now = 200.0
        source.release(5)
        bell.until(lambda: source.available == 15)
        wait_until(lambda: source.idle_since is None)
        source.close()


def test_several_recipients_share_one_reading_and_the_slowest_holds_it() -> None:
    data = random_bytes(500_000)
    with pipe() as (out, into):
        shared = SharedStream(out, window=100_000)
        bells = [Bell(), Bell(), Bell()]
        fast, slow, leaving = (shared.reader(bell.ring) for bell in bells)
        thread = writer(into, data)
        bells[0].until(lambda: fast.available == 100_000)
        fast.release(100_000)
        slow.release(30_000)
        assert shared.available == 100_000
        assert bytes(leaving.peek(0, 10)) == data[:10]
        leaving.close()  # held it up until now
        with pytest.raises(ValueError):
            leaving.peek(0, 10)
        bells[1].until(lambda: slow.available == 130_000)
        with pytest.raises(ValueError):
            shared.reader(Bell().ring)
        fast.release(130_000)
        slow.release(130_000)
        fast.close()
        done = 130_000
        while done < len(data):
            bells[1].until(partial(_has_more, slow, done + 1))
            count = slow.available - done
            assert slow.peek(done, count) == data[done : done + count]
            done += count
            slow.release(done)
        bells[1].until(lambda: slow.ended)
        slow.close()
        assert shared._thread is not None
        assert not shared._thread.is_alive()
        thread.join()


def test_recipients_in_their_own_threads_get_the_same() -> None:
    data = random_bytes(6 * CHUNK + 5)
    results: list[bytes] = []
    with pipe() as (out, into):
        shared = SharedStream(out, window=CHUNK)
        bells = [Bell() for _ in range(4)]
        readers = [shared.reader(bell.ring) for bell in bells]

        def take(number: int) -> None:
            results.append(drain(readers[number], bells[number], 100_000 * (number + 1)))
            readers[number].close()

        threads = [threading.Thread(target=take, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in (*threads, writer(into, data)):
            thread.join()
    assert results == [data] * 4


# writing to a pipe


def test_what_is_appended_is_written_in_order_and_finish_waits_for_it() -> None:
    data = random_bytes(3 * CHUNK + 5)
    before = descriptors()
    got = bytearray()
    with pipe() as (out, into):
        sink = PipeSink(into)
        for start in range(0, len(data), 50_000):
            sink.append(data[start : start + 50_000])
        thread = reader(out, got)
        sink.finish()
        assert (sink.backlog, sink.written) == (0, len(data))
        sink.close()
        os.close(into)
        thread.join()
    assert got == data
    assert descriptors() == before


def test_zeros_need_no_memory() -> None:
    got = 0
    with pipe() as (out, into):
        tracemalloc.start()
        sink = PipeSink(into)
        sink.append(b"x")
        for _ in range(1_000):
            sink.append_zeros(40_000)
        sink.append(b"y")
        assert sink.backlog <= 2
        assert len(sink._queue) <= 4
        total = 40_000_002

        while got < total:
            data = os.read(out, CHUNK)
            zeros = data.count(0)
            assert zeros == len(data) - (got == 0) - (got + len(data) == total)
            got += len(data)
        sink.finish()
        sink.close()
        assert tracemalloc.get_traced_memory()[1] < 8 * CHUNK
        tracemalloc.stop()


@pytest.mark.parametrize("when", ["idle", "writing"])
def test_a_reader_that_has_ended_is_noticed_even_while_nothing_is_written(when: str) -> None:
    with pipe() as (out, into):
        bell = Bell()
        sink = PipeSink(into, bell.ring)
        if when == "writing":
            sink.append(bytes(3 * CHUNK))  # more than a pipe holds
        os.close(out)
        bell.until(lambda: sink.error is not None)
        assert sink.error is not None
        assert sink.error.message == GONE
        assert sink.backlog == 0
        for call in (partial(sink.append, b"x"), sink.finish, sink.check):
            with pytest.raises(StorageError, match="the program that reads the output has ended"):
                call()
        sink.close()


def test_a_reader_that_ends_when_it_has_all_it_wants_is_no_failure() -> None:
    """GNU tar ends where its archive ends, perhaps before the sender says that it was the end."""
    with pipe() as (out, into):
        bell = Bell()
        sink = PipeSink(into, bell.ring)
        sink.append(b"all of it")
        assert os.read(out, 100) == b"all of it"
        bell.until(lambda: sink.backlog == 0)
        os.close(out)
        wait_until(lambda: sink._gone)
        sink.check()
        with pytest.raises(StorageError, match="has ended"):
            sink.append(b"more")
            bell.until(lambda: sink.error is not None)
            sink.check()
        sink.close()


def test_closing_does_not_wait_for_a_program_that_does_not_read() -> None:
    before = descriptors(), threading.active_count()
    with pipe() as (_, into):
        bell = Bell()
        sink = PipeSink(into, bell.ring)
        sink.append(bytes(3 * CHUNK))
        bell.until(lambda: sink.written > 0)
        wait_until(lambda: pipe_is_full(into))
        sink.close()
        assert not sink._thread.is_alive()
    assert (descriptors(), threading.active_count()) == before


def test_finish_ends_when_the_sink_is_closed_meanwhile() -> None:
    with pipe() as (_, into):
        sink = PipeSink(into)
        sink.append(bytes(3 * CHUNK))
        failures: list[Exception] = []

        def finish() -> None:
            try:
                sink.finish()
            except StorageError as error:
                failures.append(error)

        thread = threading.Thread(target=finish)
        thread.start()
        sink.close()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        assert len(failures) == 1


def test_the_descriptor_keeps_its_flags() -> None:
    """`| tee` and friends share it: a non-blocking pipe would make them fail."""
    with pipe() as (out, into):
        flags = [os.get_blocking(end) for end in (out, into)]
        source = open_stream(out, lambda: None)
        sink = PipeSink(into)
        sink.append(b"abc")
        sink.finish()
        assert [os.get_blocking(end) for end in (out, into)] == flags
        sink.close()
        source.close()
        assert [os.get_blocking(end) for end in (out, into)] == flags


def test_a_full_disk_behind_the_output_is_an_error_in_words() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    sink = PipeSink(full)
    with contextlib.suppress(StorageError):
        sink.append(b"x")
    with pytest.raises(StorageError, match="full"):
        sink.finish()
    sink.close()
    os.close(full)


def test_output_into_a_file_is_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    with (tmp_path / "out").open("wb") as out:
        sink = PipeSink(out.fileno())
        sink.append(b"abc")
        sink.finish()
        sink.close()
        assert flushed == [out.fileno()]
    assert (tmp_path / "out").read_bytes() == b"abc"


# one file into a pipe


def verify(store: PipeStore, manifest: Manifest, data: bytes, numbers: list[int]) -> None:
    for number in numbers:
        chunk = manifest.chunk(number)
        digest = store.known(number) or store.digest(chunk)
        piece = data[chunk.offset : chunk.offset + chunk.length]
        assert digest == blake3(piece).digest()
        store.good(number, digest)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_bytes_in_any_order_leave_in_order_and_only_when_verified(data: st.DataObject) -> None:
    chunks = data.draw(st.integers(0, 4))
    size = max(0, chunks * CHUNK - data.draw(st.sampled_from([0, 1, CHUNK // 2])))
    manifest = Manifest([file(b"a", size)])
    zeros = data.draw(st.sets(st.integers(0, 3))) & set(range(manifest.chunk_count))
    bytes_ = bytearray(random_bytes(size))
    for number in zeros:
        chunk = manifest.chunk(number)
        bytes_[chunk.offset : chunk.offset + chunk.length] = bytes(chunk.length)
    runs = [
        (start, min(start + 300_000, chunk.offset + chunk.length))
        for number in range(manifest.chunk_count)
        if number not in zeros
        for chunk in [manifest.chunk(number)]
        for start in range(chunk.offset, chunk.offset + chunk.length, 300_000)
    ]
    runs = data.draw(st.permutations(runs))
    order = data.draw(st.permutations(range(manifest.chunk_count)))
    got = bytearray()
    with pipe() as (out, into):
        thread = reader(out, got)
        store = PipeStore(sink_of(into))
        assert store.prepare(manifest) == Holdings()
        for number in zeros:
            store.zeros(range(number, number + 1))
        for start, end in runs:
            store.store(start, slices(bytes(bytes_[start:end]), 1_400))
        assert store.unsaved <= size
        verified: set[int] = set()
        for number in order:
            verify(store, manifest, bytes(bytes_), [number])
            verified.add(number)
            first = next((n for n in range(manifest.chunk_count + 1) if n not in verified), 0)
            assert store._next == first
        store.ready(0)
        report = store.publish()
        assert report[:2] == (1, size)
        store.suspend()
        os.close(into)
        thread.join()
    assert got == bytes_


def test_runs_across_chunks_are_cut() -> None:
    manifest = Manifest([file(b"a", 3 * CHUNK)])
    data = content(manifest)
    got = bytearray()
    with pipe() as (out, into):
        thread = reader(out, got)
        store = PipeStore(sink_of(into))
        store.prepare(manifest)
        store.store(CHUNK - 100, slices(data[CHUNK - 100 : 2 * CHUNK + 100], 1_400))
        store.store(0, slices(data[: CHUNK - 100], 1_400))
        store.store(2 * CHUNK + 100, slices(data[2 * CHUNK + 100 :], 1_400))
        verify(store, manifest, data, [0, 1, 2])
        store.publish()
        store.abandon()
        os.close(into)
        thread.join()
    assert got == data


@pytest.mark.parametrize(
    "entries",
    [
        [file(b"a", 1), file(b"b", 1)],
        [folder(b"t"), file(b"a", 1, 1)],
        [folder(b"t")],
        [Entry(STREAM, 0, b"s", 0, 0o644, 0)],
        [file(b"a", pipestore.SIZE_LIMIT + 1)],
    ],
)
def test_only_one_file_of_a_bearable_size_goes_into_a_pipe(entries: list[Entry]) -> None:
    with pipe() as (_, into):
        store = PipeStore(sink_of(into))
        with pytest.raises(StorageError):
            store.prepare(Manifest(entries))
        store.suspend()


def test_memory_is_bounded_by_refusing_what_was_not_granted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody reads, and the peer sends all the same."""
    monkeypatch.setattr(pipestore, "LIMIT", 4 * CHUNK)
    manifest = Manifest([file(b"a", 100 * CHUNK)])
    with pipe() as (_, into):
        store = PipeStore(sink_of(into))
        store.prepare(manifest)
        for number in range(4):
            store.store(number * CHUNK, [memoryview(bytes(CHUNK))])
        verify(store, manifest, bytes(4 * CHUNK), [0, 1])  # verified, and not written
        with pytest.raises(StorageError, match="too slow"):
            store.store(4 * CHUNK, [memoryview(b"x")])
            store.store(5 * CHUNK, [memoryview(b"x")])
        assert store.unsaved <= 5 * CHUNK
        store.suspend()


def test_scattered_bytes_count_by_the_memory_they_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipestore, "LIMIT", 4 * CHUNK)
    with pipe() as (_, into):
        store = PipeStore(sink_of(into))
        store.prepare(Manifest([file(b"a", 100 * CHUNK)]))
        with pytest.raises(StorageError):
            for number in range(100):
                store.store(number * CHUNK, [memoryview(b"x")])
        assert len(store._blocks) <= 4
        store.suspend()


def test_a_broken_pipe_reaches_a_session_that_receives_nothing() -> None:
    with pipe() as (out, into):
        bell = Bell()
        sink = PipeSink(into, bell.ring)
        stores: list[PipeStore | PipeStream] = [PipeStore(sink), PipeStream(sink)]
        stores[0].prepare(Manifest([file(b"a", 10)]))
        assert not any(store.due(0.0) for store in stores)
        os.close(out)
        bell.until(lambda: sink.error is not None)
        for store in stores:
            assert store.due(0.0)
            assert store.error is sink.error
            for call in (store.checkpoint, store.publish):
                with pytest.raises(StorageError, match=GONE):
                    call()
            store.suspend()


def test_mf07_a_restarted_file_goes_on_only_if_what_was_passed_on_is_the_same() -> None:
    manifest = Manifest([file(b"a", 3 * CHUNK)])
    data = content(manifest)
    got = bytearray()
    with pipe() as (out, into):
        thread = reader(out, got)
        store = PipeStore(sink_of(into))
        store.prepare(manifest)
        store.store(0, slices(data[: 2 * CHUNK], 1_400))
        verify(store, manifest, data, [0])
        store.forget(0)
        assert store.unsaved <= CHUNK
        store.store(0, slices(data, 1_400))
        verify(store, manifest, data, [2, 0, 1])
        store.publish()
        assert store.error is None
        store.abandon()
        os.close(into)
        thread.join()
    assert got == data


def test_mf07_a_restarted_file_that_differs_is_never_a_mixture() -> None:
    manifest = Manifest([file(b"a", 2 * CHUNK)])
    old, new = content(manifest, 1), content(manifest, 2)
    got = bytearray()
    with pipe() as (out, into):
        thread = reader(out, got)
        store = PipeStore(sink_of(into))
        store.prepare(manifest)
        store.store(0, slices(old, 1_400))
        verify(store, manifest, old, [0])
        store.forget(0)
        store.store(0, slices(new, 1_400))
        verify(store, manifest, new, [1])
        assert store._next == 1  # not before the first has proved the same
        verify(store, manifest, new, [0])
        assert store._next == 1
        assert store.due(0.0)
        for call in (store.checkpoint, store.publish, partial(store.store, 0, [])):
            with pytest.raises(StorageError, match="changed while it was sent"):
                call()
        store.abandon()
        os.close(into)
        thread.join()
    assert old.startswith(got)


def test_a_file_that_will_not_come_ends_without_a_report_of_it() -> None:
    with pipe() as (_, into):
        store = PipeStore(sink_of(into))
        store.prepare(Manifest([file(b"a", 2 * CHUNK)]))
        store.store(0, [memoryview(bytes(CHUNK))])
        store.failed(0)
        store.store(CHUNK, [memoryview(bytes(CHUNK))])  # late
        assert store.unsaved == 0
        assert store.publish()[:2] == (0, 0)
        store.abandon()


def test_zeros_of_any_number_take_no_memory() -> None:
    size = 1 << 34
    manifest = Manifest([file(b"a", size)])
    with pipe() as (_, into):
        tracemalloc.start()
        store = PipeStore(sink_of(into))
        store.prepare(manifest)
        store.zeros(range(manifest.chunk_count))
        digest = zero_digest(CHUNK)
        for number in range(manifest.chunk_count):
            store.good(number, digest)
        assert store.unsaved == 0
        assert tracemalloc.get_traced_memory()[0] < 4 * CHUNK
        tracemalloc.stop()
        store.abandon()


# one output, several who want it


@pytest.mark.parametrize("kind", [PipeStore, PipeStream])
def test_an_output_is_never_shared(kind: type[PipeStore] | type[PipeStream]) -> None:
    manifest = Manifest([file(b"a", 3)]) if kind is PipeStore else stream()
    with pipe() as (out, into):
        sink = sink_of(into)
        refused, first, second = kind(sink), kind(sink), kind(sink)
        with pytest.raises(StorageError):
            refused.prepare(Manifest([folder(b"t")]))
        refused.suspend()  # whoever offers what cannot be taken spoils it for nobody
        first.prepare(manifest)
        with pytest.raises(StorageError, match="belongs to another"):
            second.prepare(manifest)
        second.suspend()
        first.suspend()
        first.suspend()
        third = kind(sink)  # nothing was written: the output is as good as new
        third.prepare(manifest)
        if isinstance(third, PipeStore):
            third.store(0, [memoryview(b"abc")])
            third.good(0, third.digest(manifest.chunk(0)))
        else:
            third.append(memoryview(b"abc"))
        third.publish()
        assert os.read(out, 10) == b"abc"
        third.suspend()
        with pytest.raises(StorageError, match="already"):
            kind(sink).prepare(manifest)


def test_an_empty_file_uses_the_output_too() -> None:
    with pipe() as (_, into):
        sink = sink_of(into)
        for _ in range(2):
            store = PipeStore(sink)
            with contextlib.nullcontext() if not sink.used else pytest.raises(StorageError):
                store.prepare(Manifest([file(b"a", 0)]))
                assert store.publish()[:2] == (1, 0)
            store.suspend()
        assert not sink._thread.is_alive()


# a stream into a pipe, a stream into a file


def test_a_stream_into_a_pipe_is_passed_on() -> None:
    data = random_bytes(4 * CHUNK + 3)
    got = bytearray()
    with pipe() as (out, into):
        thread = reader(out, got)
        store = PipeStream(sink_of(into))
        assert store.prepare(stream()) == Holdings()
        assert not store.resumable
        buffer = bytearray(100_000)
        for start in range(0, len(data), 100_000):
            piece = data[start : start + 100_000]
            buffer[: len(piece)] = piece  # the transport's buffer is used again
            store.append(memoryview(buffer)[: len(piece)])
        assert store.publish()[:2] == (1, len(data))
        store.suspend()
        os.close(into)
        thread.join()
    assert got == data


def test_a_stream_appears_whole_and_under_its_name(tmp_path: Path) -> None:
    data = random_bytes(2 * CHUNK + 3)
    before = descriptors()
    store = StreamStore(tmp_path, reserve=0, umask=0o022)
    assert store.prepare(stream()) == Holdings()
    for start in range(0, len(data), 70_000):
        store.append(memoryview(data)[start : start + 70_000])
        assert [path.name for path in tmp_path.iterdir()] == [p.name for p in parts(tmp_path)]
    assert parts(tmp_path)[0].stat().st_mode & 0o777 == 0o600
    report = store.publish()
    assert report == (1, len(data), (), (), (), *report[5:])
    assert tree(tmp_path) == {"backup.tar": data}
    assert (tmp_path / "backup.tar").stat().st_mode & 0o7777 == 0o644
    assert (tmp_path / "backup.tar").stat().st_mtime > 1_600_000_000
    store.suspend()
    assert descriptors() == before
    assert tree(tmp_path) == {"backup.tar": data}


def test_an_empty_stream_is_an_empty_file(tmp_path: Path) -> None:
    store = StreamStore(tmp_path, reserve=0)
    store.prepare(stream())
    assert store.publish()[:2] == (1, 0)
    assert tree(tmp_path) == {"backup.tar": b""}


@pytest.mark.parametrize("end", ["suspend", "abandon"])
def test_a_stream_that_breaks_off_leaves_nothing(tmp_path: Path, end: str) -> None:
    before = descriptors()
    store = StreamStore(tmp_path, reserve=0)
    store.prepare(stream())
    store.append(b"abc")
    assert not store.resumable
    getattr(store, end)()
    assert not list(tmp_path.iterdir())
    assert descriptors() == before
    with pytest.raises(ValueError):
        store.append(b"more")


def test_fs17_another_file_under_the_part_s_name_is_not_removed_or_published(
    tmp_path: Path,
) -> None:
    for end in ("abandon", "publish"):
        store = StreamStore(tmp_path, reserve=0)
        store.prepare(stream())
        store.append(b"abc")
        part = parts(tmp_path)[0]
        part.rename(tmp_path / "moved")
        part.write_bytes(b"not ours")
        if end == "publish":
            with pytest.raises(StorageError):
                store.publish()
        else:
            store.abandon()
        assert part.read_bytes() == b"not ours"
        part.unlink()
        assert not (tmp_path / "backup.tar").exists()


@pytest.mark.parametrize(
    ("conflict", "expected"),
    [
        ("rename", {"backup.tar": b"mine", "backup (1).tar": b"new"}),
        ("overwrite", {"backup.tar": b"new"}),
    ],
)
def test_fs09_a_taken_name_is_dealt_with_by_the_policy(
    tmp_path: Path, conflict: str, expected: dict[str, bytes]
) -> None:
    (tmp_path / "backup.tar").write_bytes(b"mine")
    store = StreamStore(tmp_path, reserve=0, conflict=conflict)  # type: ignore[arg-type]
    store.prepare(stream())
    store.append(b"new")
    report = store.publish()
    assert report.renamed == (((0, b"backup (1).tar"),) if conflict == "rename" else ())
    assert tree(tmp_path) == dict(sorted(expected.items()))


def test_fs09_skip_refuses_before_a_byte_and_still_at_the_end(tmp_path: Path) -> None:
    store = StreamStore(tmp_path, reserve=0, conflict="skip")
    store.prepare(stream())
    store.append(b"new")
    (tmp_path / "backup.tar").write_bytes(b"mine")
    assert store.publish().skipped == (0,)
    late = StreamStore(tmp_path, reserve=0, conflict="skip")
    with pytest.raises(StorageError, match="something already"):
        late.prepare(stream())
    late.suspend()
    assert tree(tmp_path) == {"backup.tar": b"mine"}


def test_a_stream_is_flushed_on_its_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamstore, "_FLUSH_EVERY", 1_000)
    store = StreamStore(tmp_path, reserve=0)
    store.prepare(stream())
    store.append(bytes(999))
    assert not store.due(0.0)
    store.append(b"x")
    assert store.due(0.0)
    store.checkpoint()
    assert store.unsaved == 0
    assert not store.due(0.0)
    store.abandon()


def test_f13_a_flush_that_failed_is_never_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = StreamStore(tmp_path, reserve=0)
    store.prepare(stream())
    store.append(b"abc")
    real = os.fsync

    def fail(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", real)
        raise OSError(5, "I/O error")

    monkeypatch.setattr(os, "fsync", fail)
    for call in (store.checkpoint, store.checkpoint, store.publish):
        with pytest.raises(StorageError, match="reports an error"):
            call()
    store.abandon()
    assert not list(tmp_path.iterdir())


def test_a_stream_stops_before_the_reserve_is_used_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamstore, "_LOOK_EVERY", 10)
    store = StreamStore(tmp_path, reserve=1_000)
    store.prepare(stream())
    store.append(b"abc")
    monkeypatch.setattr("securecp.disk.space.free", lambda _: (999, 10_000, 1))
    with pytest.raises(StorageError, match="nearly full") as caught:
        store.append(bytes(10))
    assert not isinstance(caught.value, FullError)  # nobody should wait for room
    store.suspend()
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_no_reason_to_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    store = StreamStore(tmp_path, reserve=0)
    store.prepare(stream())
    monkeypatch.setattr(streamstore, "write_span", full)
    with pytest.raises(StorageError, match="full") as caught:
        store.append(b"x")
    assert not isinstance(caught.value, FullError)
    with pytest.raises(StorageError):
        store.publish()
    store.suspend()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("entries", [[file(b"a", 1)], [folder(b"t")]])
def test_what_is_no_stream_is_refused(tmp_path: Path, entries: list[Entry]) -> None:
    store = StreamStore(tmp_path, reserve=0)
    with pytest.raises(StorageError):
        store.prepare(Manifest(entries))
    store.suspend()
    assert not list(tmp_path.iterdir())


def test_fs05_a_replaced_destination_gets_nothing(tmp_path: Path) -> None:
    into, outside = tmp_path / "into", tmp_path / "outside"
    into.mkdir()
    outside.mkdir()
    store = StreamStore(into, reserve=0)
    store.prepare(stream())
    into.rename(tmp_path / "moved")
    into.symlink_to(outside)
    store.append(b"abc")
    store.publish()
    assert tree(tmp_path / "moved") == {"backup.tar": b"abc"}
    assert not list(outside.iterdir())


# a name that our user chose


def test_a_stream_gets_exactly_the_chosen_name(tmp_path: Path) -> None:
    store = StreamStore(tmp_path, reserve=0, name=b"chosen")
    store.prepare(stream())
    store.append(b"abc")
    store.publish()
    assert tree(tmp_path) == {"chosen": b"abc"}


def test_one_file_gets_exactly_the_chosen_name_and_keeps_its_digest(tmp_path: Path) -> None:
    manifest = Manifest([file(b"offered", 10)])
    digest = manifest.digest
    with NamedStore(tmp_path, b"chosen", reserve=0) as store:
        store.prepare(manifest)
        assert store._manifest.digest == digest
        deliver(store, manifest, content(manifest))
        assert store.publish().renamed == ((0, b"chosen"),)
    assert tree(tmp_path) == {"chosen": content(manifest)}


@pytest.mark.parametrize("entries", [[file(b"a", 1), file(b"b", 1)], [folder(b"t")]])
def test_the_chosen_name_is_for_one_file(tmp_path: Path, entries: list[Entry]) -> None:
    with NamedStore(tmp_path, b"chosen", reserve=0) as store, pytest.raises(StorageError):
        store.prepare(Manifest(entries))
    assert not list(tmp_path.iterdir())


def test_places_of_outputs() -> None:
    assert output_place("a.tar") == (Path(), b"a.tar")
    assert output_place("some/where/a.tar") == (Path("some/where"), b"a.tar")
    assert output_place("/a") == (Path("/"), b"a")
    for bad in ("/", ".", "..", "a/", "a/..", "a/."):
        with pytest.raises(StorageError):
            output_place(bad)


# over and over


def test_memory_and_threads_stay_flat_over_many_streams() -> None:
    """What one leaves behind, two hundred would show."""
    before = descriptors(), threading.active_count()
    chance = random.Random(5)
    for _ in range(200):
        with pipe() as (out, into), pipe() as (last, mid):
            bell = Bell()
            source = open_stream(out, bell.ring, window=5_000)
            sink = PipeSink(mid)
            os.write(into, bytes(chance.randrange(10_000)))
            sink.append(bytes(chance.randrange(1, 200_000)))
            if chance.random() < 0.5:
                os.close(last)
            source.close()
            sink.close()
    assert (descriptors(), threading.active_count()) == before


def pipe_is_full(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return not poll.poll(0)


def wait_until(true: Callable[[], bool]) -> None:
    """For what nobody rings for."""
    for _ in range(int(PATIENCE * 1_000)):
        if true():
            return
        threading.Event().wait(0.001)
    raise AssertionError("it never came")


def test_a_part_is_private_from_the_start(tmp_path: Path) -> None:
    """FS-14."""
    store = StreamStore(tmp_path, reserve=0, umask=0)
    store.prepare(stream())
    found = parts(tmp_path)[0].stat()
    assert stat.S_IMODE(found.st_mode) == 0o600
    store.abandon()
