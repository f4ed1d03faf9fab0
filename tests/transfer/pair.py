"""A sender and a receiver with everything around them in memory: files, transport, workers.

Nothing moves by itself: a test takes steps, in any order it likes, or lets `run` take them all.
The transport behaves as the real one: content comes in any order, also twice, and is stored once.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from blake3 import blake3

from securecp.transfer import effects as fx
from securecp.transfer.entries import DIRECTORY, FILE, Entry
from securecp.transfer.holdings import Holdings
from securecp.transfer.manifest import Chunk, Manifest
from securecp.transfer.offer import Summary
from securecp.transfer.receiver import Limits, Receiver
from securecp.transfer.sender import Sender

ALICE = bytes(range(32))
BOB = bytes(range(32, 64))
TRANSFER = bytes(range(16))
NOW = 1_700_000_000


def sign_as(key: bytes, message: bytes) -> bytes:
    """A stand-in for XEdDSA that is as good among friends: 64 bytes by key and message."""
    return hmac.digest(key, message, hashlib.sha512)


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    return signature == sign_as(key, message)


@contextmanager
def small_chunks(size: int) -> Iterator[None]:
    """Chunks of a few bytes, so that tests need no megabytes."""
    with (
        mock.patch("securecp.transfer.entries.CHUNK", size),
        mock.patch("securecp.transfer.manifest.CHUNK", size),
    ):
        yield


def file(name: str | bytes, size: int, parent: int = 0, mode: int = 0o644) -> Entry:
    raw = name.encode() if isinstance(name, str) else name
    return Entry(FILE, parent, raw, size, mode, NOW * 10**9)


def folder(name: str | bytes, parent: int = 0, mode: int = 0o755) -> Entry:
    raw = name.encode() if isinstance(name, str) else name
    return Entry(DIRECTORY, parent, raw, 0, mode, NOW * 10**9)


def some_bytes(seed: object, size: int) -> bytes:
    return hashlib.shake_128(repr(seed).encode()).digest(size)


class Pair:
    """Both sides of one transfer; content is random but the same for the same manifest."""

    def __init__(
        self,
        entries: Iterable[Entry],
        *,
        limits: Limits | None = None,
        sign: Callable[[bytes], bytes] | None = None,
        holes: Iterable[int] = (),
    ) -> None:
        """`holes` are numbers of chunks that hold only zeros."""
        self.manifest = Manifest(list(entries))
        zeros = tuple(range(number, number + 1) for number in holes)
        self.sender = Sender(
            self.manifest,
            transfer_id=TRANSFER,
            ours=ALICE,
            theirs=BOB,
            verify=verify,
            holes=zeros,
        )
        self.receiver = Receiver(
            ours=BOB,
            theirs=ALICE,
            sign=sign or (lambda message: sign_as(BOB, message)),
            limits=limits or Limits(),
        )
        self.files = {
            index: some_bytes(index, entry.size)
            for index, entry in enumerate(self.manifest.entries)
            if entry.kind == FILE
        }
        """What the source holds now."""
        for numbers in zeros:
            chunk = self.manifest.chunk(numbers[0])
            data = bytearray(self.files[chunk.entry])
            data[chunk.start : chunk.start + chunk.length] = bytes(chunk.length)
            self.files[chunk.entry] = bytes(data)
        self.versions = {index: [data] for index, data in self.files.items()}
        """All that each file has ever been."""
        self.known = dict.fromkeys(self.files, 0)
        """The version that counts as unchanged."""
        self.unreadable: set[int] = set()
        self.to_send: list[tuple[int, int]] = []
        self.in_flight: list[tuple[int, bytes]] = []
        self.sent: list[int] = []
        """Every byte of content space that has been sent, as often as it was."""
        self.stored = bytearray(self.manifest.size)
        self.have = bytearray(self.manifest.size)
        self.holdings = Holdings()
        """What the receiver has before anything comes; put the bytes into `stored` as well."""
        self.known_here: dict[int, bytes] = {}
        """Digests of these that need not be read."""
        self.to_receiver = bytearray()
        self.to_sender = bytearray()
        self.to_digest: list[Chunk] = []
        self.to_verify: list[Chunk] = []
        self.ready: set[int] = set()
        self.lost: dict[int, str] = {}
        self.published: dict[int, bytes] = {}
        self.seen: list[Any] = []
        """Every effect that was carried out, but those of workers."""
        self.publishing = False
        self.skip: set[int] = set()
        self.unpublishable: set[int] = set()
        """Files to which the receiver's disk cannot give their names."""
        """Entries that the receiver leaves out when it publishes."""
        self.consent: Callable[[Summary], bool] = lambda _: True
        self.sender.start()

    def hold(
        self, numbers: Iterable[int], *, wrong: Iterable[int] = (), known: bool = True
    ) -> None:
        """Let the receiver have these chunks, some of them wrong."""
        wrong = set(wrong)
        runs: list[range] = []
        for number in sorted(set(numbers)):
            start, end = self.manifest.span(range(number, number + 1))
            piece = bytearray(self._read(start, end))
            piece[0] ^= number in wrong
            self.stored[start:end] = piece
            if known:
                self.known_here[number] = blake3(piece).digest()
            if runs and runs[-1].stop == number:
                runs[-1] = range(runs[-1].start, number + 1)
            else:
                runs.append(range(number, number + 1))
        self.holdings = self.holdings._replace(chunks=tuple(runs))

    # Steps.

    def pump(self) -> None:
        """Carry out effects and take what is to be written, until nothing follows."""
        while True:
            effects = self.sender.effects() + self.receiver.effects()
            for effect in effects:
                self._carry_out(effect)
            out = self.sender.outgoing(1 << 20)
            back = self.receiver.outgoing(1 << 20)
            self.to_receiver += out
            self.to_sender += back
            if not (effects or out or back):
                return

    def talk(self, *, towards_receiver: bool, length: int = 1 << 30) -> None:
        """Deliver up to `length` bytes of the control stream."""
        queue = self.to_receiver if towards_receiver else self.to_sender
        data = bytes(queue[:length])
        del queue[: len(data)]
        (self.receiver if towards_receiver else self.sender).control(data)
        self.pump()

    def send_piece(self, which: int = 0, length: int = 1 << 30) -> None:
        """Read a piece of what is queued, as it is at the source now, and put it into flight."""
        if self.to_send:
            start, end = self.to_send.pop(which % len(self.to_send))
            cut = min(end, start + length)
            if cut < end:
                self.to_send.append((cut, end))
            self.in_flight.append((start, self._read(start, cut)))
            self.sent += range(start, cut)
            self.sender.content_sent(cut)

    def deliver(self, which: int = 0, *, again: bool = False, damage: bool = False) -> None:
        """One piece arrives; the transport stores only what is new."""
        if not self.in_flight:
            return
        which %= len(self.in_flight)
        offset, data = self.in_flight[which]
        if not again:
            del self.in_flight[which]
        if damage:
            data = bytes([data[0] ^ 1]) + data[1:]
        assert self.of(fx.ExpectContent)
        for begin, end in self._new_runs(offset, offset + len(data)):
            self.stored[begin:end] = data[begin - offset : end - offset]
            self.have[begin:end] = b"\1" * (end - begin)
            self.receiver.stored(begin, end - begin)
        self.pump()

    def digest_one(self) -> None:
        """The sender's worker does one chunk."""
        if self.to_digest:
            chunk = self.to_digest.pop(0)
            entry = chunk.entry
            data = self.files[entry][chunk.start : chunk.start + chunk.length]
            readable = entry not in self.unreadable and len(data) == chunk.length
            latest = len(self.versions[entry]) - 1
            if self.sender.completes(chunk) and self.known[entry] != latest:
                self.sender.changed(entry)
            self.sender.digest(chunk.number, blake3(data).digest() if readable else None)
            self.pump()

    def verify_one(self) -> None:
        """The receiver's worker does one chunk."""
        if self.to_verify:
            chunk = self.to_verify.pop(0)
            data = self.stored[chunk.offset : chunk.offset + chunk.length]
            assert chunk.entry not in self.lost
            self.receiver.verified(chunk.number, blake3(data).digest())
            self.pump()

    def publish(self) -> None:
        """The receiver's disk publishes what is ready."""
        if self.publishing:
            self.publishing = False
            for entry in self.ready - self.skip - self.unpublishable:
                start = self.manifest.offset(entry)
                end = start + self.manifest.entries[entry].size
                self.published[entry] = bytes(self.stored[start:end])
            size = sum(map(len, self.published.values()))
            lost = sorted(self.ready & self.unpublishable)
            self.receiver.published(len(self.published), size, NOW, lost)
            self.pump()

    def refuse(self, entry: int) -> None:
        """The receiver's disk cannot take a file any more."""
        self.receiver.refuse(entry, "a bad sector")
        self.pump()

    def change(self, entry: int, data: bytes | None = None) -> None:
        """Someone writes to a source file."""
        old = self.files[entry]
        new = some_bytes((entry, len(self.versions[entry])), len(old)) if data is None else data
        self.files[entry] = new
        self.versions[entry].append(new)

    def work_until(self, done: Callable[[], bool], *, content: bool = False) -> None:
        """Take steps until `done`; content moves only if asked for."""
        self.pump()
        for _ in range(10_000):
            if done():
                return
            self.talk(towards_receiver=True)
            self.talk(towards_receiver=False)
            if content:
                self.send_piece()
                self.deliver()
            self.digest_one()
            self.verify_one()
        raise AssertionError("it does not come to that")

    def run(self) -> "Pair":
        """Take steps until nothing is left to do."""
        self.pump()
        while self._busy():
            self.talk(towards_receiver=True)
            self.talk(towards_receiver=False)
            self.send_piece()
            self.deliver()
            self.digest_one()
            self.verify_one()
            self.publish()
        return self

    # What became of it.

    def of(self, kind: type) -> list[Any]:
        """The effects of one kind."""
        return [effect for effect in self.seen if isinstance(effect, kind)]

    def of_delivered(self) -> fx.Delivered:
        """The one that there must be."""
        (delivered,) = self.of(fx.Delivered)
        assert isinstance(delivered, fx.Delivered)
        return delivered

    @property
    def delivered(self) -> bool:
        return bool(self.of(fx.Delivered))

    # How effects are carried out.

    def _busy(self) -> bool:
        return bool(
            self.to_send
            or self.in_flight
            or self.to_receiver
            or self.to_sender
            or self.to_digest
            or self.to_verify
            or self.publishing
        )

    def _read(self, start: int, end: int) -> bytes:
        """Content as the source has it; zeros where there is none any more."""
        data = b""
        while start < end:
            chunk = self.manifest.chunk_at(start)
            until = min(end, chunk.offset + chunk.length)
            begin = start - self.manifest.offset(chunk.entry)
            piece = b"" if chunk.entry in self.unreadable else self.files[chunk.entry]
            data += piece[begin : begin + until - start].ljust(until - start, b"\0")
            start = until
        return data

    def _new_runs(self, start: int, end: int) -> list[tuple[int, int]]:
        runs = []
        while start < end:
            begin = self.have.find(0, start, end)
            if begin < 0:
                break
            stop = self.have.find(1, begin, end)
            stop = end if stop < 0 else stop
            runs.append((begin, stop))
            start = stop
        return runs

    def _carry_out(self, effect: fx.Effect) -> None:
        match effect:
            case fx.DigestChunks(chunks):
                self.to_digest += chunks
            case fx.VerifyChunks(chunks):
                self.to_verify += chunks
            case fx.SendContent(start, end):
                self.to_send.append((start, end))
            case fx.SkipContent(start, end):
                self.to_send = [
                    piece for old in self.to_send for piece in _without(old, start, end)
                ]
            case fx.RestartSource(entry):
                self.known[entry] = len(self.versions[entry]) - 1
            case fx.Consent(summary):
                if self.consent(summary):
                    self.receiver.accept()
                else:
                    self.receiver.decline(1, "no")
            case fx.Prepare():
                self.receiver.prepared(self.holdings, self.known_here.get)
            case _:
                self._store(effect)
        if not isinstance(effect, (fx.DigestChunks, fx.VerifyChunks)):
            self.seen.append(effect)

    def _store(self, effect: fx.Effect) -> None:
        match effect:
            case fx.ExpectContent(start, end):
                assert not any(start <= chunk.offset < end for chunk in self.to_verify)
                self.have[start:end] = bytes(end - start)
            case fx.WaiveContent(start, end):
                self.have[start:end] = b"\1" * (end - start)
            case _:
                self._keep(effect)

    def _keep(self, effect: fx.Effect) -> None:
        match effect:
            case fx.ZeroChunks(chunks):
                start, end = self.manifest.span(chunks)
                self.stored[start:end] = bytes(end - start)
            case fx.ForgetContent(start, end):
                assert not any(start <= chunk.offset < end for chunk in self.to_verify)
                self.have[start:end] = bytes(end - start)
                self.stored[start:end] = bytes(end - start)
            case fx.MissedChunk(number):
                self.known_here.pop(number, None)
            case fx.GoodChunks(numbers):
                for number in numbers:
                    start, end = self.manifest.span(range(number, number + 1))
                    assert blake3(self.stored[start:end]).digest() == self.known_here[number]
            case fx.FilesReady(entries):
                assert not self.ready & set(entries)
                self.ready |= set(entries)
            case fx.FileFailed(entry, reason):
                assert not any(chunk.entry == entry for chunk in self.to_verify)
                self.ready.discard(entry)
                self.lost[entry] = reason
            case fx.Publish():
                self.publishing = True


def _without(piece: tuple[int, int], start: int, end: int) -> list[tuple[int, int]]:
    """What is left of a range when another is taken out of it."""
    low, high = piece
    return [(a, b) for a, b in ((low, min(high, start)), (max(low, end), high)) if a < b]
