"""Streams of unknown length, over real sockets: into a folder, into a pipe, to several people."""

import contextlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from securecp.disk.pipe import GONE, PipeSink
from securecp.disk.pipestore import PipeStore, PipeStream
from securecp.errors import (
    DeclinedError,
    InterruptedTransferError,
    SecurecpError,
    StorageError,
)
from securecp.events import Connected, Failed, Offered, Progress
from securecp.net.running import Running
from securecp.net.sources import Stream
from securecp.net.stores import Output
from tests.net.test_resuming import lose_all
from tests.net.waiting import Receiver, Sender, started, write

SIZE = 3_000_000


class Pipe:
    """A pipe that somebody writes into, as far as they are let."""

    def __init__(self, content: bytes, *, closes: bool = True) -> None:
        self.reading, self.writing = os.pipe()
        self._content = content
        self._closes = closes
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def _write(self) -> None:
        written = 0
        with contextlib.suppress(BrokenPipeError):  # nobody wants it
            while written < len(self._content):
                written += os.write(self.writing, self._content[written : written + 65_536])
        if self._closes:
            self.end()

    def end(self) -> None:
        os.close(self.writing)

    def close(self) -> None:
        os.close(self.reading)


@contextmanager
def streaming(content: bytes, *, closes: bool = True) -> Iterator[tuple[Stream, Pipe]]:
    pipe = Pipe(content, closes=closes)
    yield Stream(pipe.reading, b"backup.tar"), pipe
    pipe.close()


def some(size: int = SIZE) -> bytes:
    return Random(size).randbytes(size)


def test_a_stream_becomes_a_file_of_its_name(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path / "in", once=True)
    with streaming(some()) as (stream, _):
        sender = Sender(receiver, sources=stream)
        with started(receiver, sender):
            (outcome,) = sender.ended()
            assert outcome.done is not None and outcome.done.size == SIZE
            assert receiver.ended() == 0
    offered = next(event for event in receiver.events if isinstance(event, Offered))
    assert offered.stream and offered.names == (b"backup.tar",)
    assert {event.size for event in sender.events if isinstance(event, Progress)} <= {0, SIZE}
    assert (tmp_path / "in" / "backup.tar").read_bytes() == some()


def test_a_stream_of_nothing(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path / "in", once=True)
    with streaming(b"") as (stream, _):
        sender = Sender(receiver, sources=stream)
        with started(receiver, sender):
            (outcome,) = sender.ended()
            assert outcome.done is not None
    assert (tmp_path / "in" / "backup.tar").read_bytes() == b""


def test_a_stream_goes_to_several_at_the_pace_of_the_slowest(tmp_path: Path) -> None:
    receivers = [Receiver(tmp_path / name, name=name, once=True) for name in ("bob", "carol")]
    with streaming(some()) as (stream, _):
        sender = Sender(*receivers, sources=stream)
        with started(*receivers, sender):
            outcomes = sender.ended()
            assert [one.ended() for one in receivers] == [0, 0]
    assert len({outcome.done.digest for outcome in outcomes}) == 1
    for receiver in receivers:
        assert (receiver.into / "backup.tar").read_bytes() == some()


def test_one_who_is_not_there_does_not_hold_the_stream_up(tmp_path: Path) -> None:
    there = Receiver(tmp_path / "in", name="bob", once=True)
    away = Receiver(tmp_path / "out", name="carol")
    away.udp.close()
    with streaming(some()) as (stream, _):
        sender = Sender(there, away, sources=stream, timeout=0.5)
        with started(there, sender):
            first, second = sender.ended()
    assert first.done is not None and isinstance(second.error, SecurecpError)


def test_a_stream_that_was_cut_off_says_that_it_cannot_go_on(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path / "in", once=True)
    with streaming(some(), closes=False) as (stream, pipe):
        sender = Sender(receiver, sources=stream, wait=60.0)
        with started(receiver, sender):
            sender.until(Progress)
            receiver.running.stop()
            with pytest.raises(InterruptedTransferError):
                receiver.ended()
            (outcome,) = sender.ended()
            assert isinstance(outcome.error, InterruptedTransferError)
        pipe.end()
    assert os.listdir(tmp_path / "in") == []
    assert len([event for event in sender.events if isinstance(event, Connected)]) == 1


@contextmanager
def reader() -> Iterator[tuple[Output, list[bytes]]]:
    """An output that leads into a pipe; what is read at its end."""
    reading, writing = os.pipe()
    found: list[bytes] = []

    def read() -> None:
        while data := os.read(reading, 1 << 20):
            found.append(data)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    sink = PipeSink(writing)
    yield _output(sink), found
    sink.close()
    os.close(writing)
    thread.join(10)
    os.close(reading)


def _output(sink: PipeSink) -> Output:
    return Output(
        lambda _: PipeStore(sink),
        lambda _peer, _offered: PipeStream(sink),
        trouble=lambda: sink.error,
    )


@pytest.mark.parametrize("what", ["stream", "file"])
def test_an_output_takes_a_stream_or_a_file(tmp_path: Path, what: str) -> None:
    with reader() as (output, found):
        receiver = Receiver(tmp_path / "in", once=True, output=output)
        with streaming(some()) as (stream, _):
            given = {"sources": stream} if what == "stream" else {"paths": [_file(tmp_path)]}
            sender = Sender(receiver, **given)
            with started(receiver, sender):
                (outcome,) = sender.ended()
                assert outcome.done is not None, outcome
                assert receiver.ended() == 0
    assert b"".join(found) == some()
    assert os.listdir(tmp_path / "in") == []


def test_an_output_takes_no_folder_and_waits_for_what_it_takes(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    write(tmp_path / "folder" / "file", 10)
    with reader() as (output, found):
        receiver = Receiver(tmp_path / "in", once=True, output=output, wait=60.0)
        unsuitable = Sender(receiver, name="carol", paths=[tmp_path / "folder"])
        sender = Sender(receiver, paths=[_file(tmp_path)])
        with started(receiver, unsuitable):
            (outcome,) = unsuitable.ended()
            assert isinstance(outcome.error, DeclinedError)
            assert receiver.until(Failed).code == DeclinedError.exit_code
            with started(sender):
                (outcome,) = sender.ended()
                assert outcome.done is not None
                assert receiver.ended() == 0
    assert b"".join(found) == some()


def test_an_output_in_use_is_not_taken_away_by_the_next_who_wants_it(tmp_path: Path) -> None:
    with reader() as (output, found), streaming(some(), closes=False) as (stream, pipe):
        receiver = Receiver(tmp_path / "in", once=True, output=output, wait=60.0)
        sender = Sender(receiver, sources=stream)
        late = Sender(receiver, name="carol", paths=[_file(tmp_path)])
        with started(receiver, sender):
            receiver.until(Progress)
            with started(late):
                (outcome,) = late.ended()
                assert isinstance(outcome.error, DeclinedError)
            pipe.end()
            (outcome,) = sender.ended()
            assert outcome.done is not None
            assert receiver.ended() == 0
    assert b"".join(found) == some()


def test_nobody_waits_for_a_stream_that_was_cut_off(tmp_path: Path) -> None:
    """It cannot go on; what reads the output had better hear that there is no more."""
    with reader() as (output, _), streaming(some(), closes=False) as (stream, _):
        receiver = Receiver(tmp_path / "in", once=True, output=output, wait=60.0)
        sender = Sender(receiver, sources=stream)
        with started(receiver, sender):
            receiver.until(Progress)
            receiver.running.call(lambda: lose_all(receiver))
            with pytest.raises(InterruptedTransferError):
                receiver.ended(5.0)


def test_a_reader_that_has_gone_ends_who_waits_for_something_to_give_it(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    running = Running()
    sink = PipeSink(writing, lambda: running.call(lambda: None))
    receiver = Receiver(tmp_path / "in", once=True, output=_output(sink), running=running)
    with started(receiver):
        os.close(reading)
        with pytest.raises(StorageError, match=GONE):
            receiver.ended(5.0)
    sink.close()
    os.close(writing)


def _file(folder: Path) -> Path:
    path = folder / "file"
    path.write_bytes(some())
    return path
