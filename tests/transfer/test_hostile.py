"""A contact with a valid key and no manners, on either side, against a whole session of ours.

Whatever comes in whatever order: the session ends by a `SecurecpError` or goes on, nothing else is
raised, no file is published that is not what was told, and none is said to have arrived that has
not (MF-01, MF-05, MF-11, MF-14).
"""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from securecp.errors import FullError, SecurecpError, StorageError
from securecp.events import Done
from securecp.sending import SendSession
from securecp.transfer import messages as m
from securecp.transfer.chunks import Digests
from securecp.transfer.entries import FILE, LINK, STREAM, Entry
from securecp.transfer.holdings import Holdings
from securecp.transfer.manifest import Chunk, Manifest
from securecp.transfer.receipt import Receipt
from securecp.transfer.streaming import StreamDigest
from securecp.transport.connection import Connection
from tests.transfer.meeting import KEYS, Files, Meeting, Reading, Report, Shop
from tests.transfer.pair import file, folder, small_chunks, some_bytes

CHUNK = 8
ALICE, BOB = (bytes(one.public) for one in KEYS)
SOME = st.integers(0, 2**32)


def offered(rng: Random) -> Manifest:
    """A few files of a few chunks, between what has none."""
    entries = [folder("d"), Entry(LINK, 0, b"link", 0, 0o777, 1, b"d")]
    for number in range(rng.randrange(1, 5)):
        entries.append(file(f"{number}", rng.choice((0, 1, 7, 8, 9, 16, 40)), rng.randrange(2)))
    return Manifest(entries)


def framed(message: m.Message) -> bytes:
    raw = m.encode(message)
    return len(raw).to_bytes(4, "big") + raw


class Peer:
    """Stands where a session would; says what the rest of the test has it say."""

    over = False

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.heard = bytearray()

    def advance(self, _: float) -> None:
        for event in self.connection.events():
            self.heard += getattr(event, "data", b"")

    def events(self) -> list[Any]:
        return []

    def say(self, *said: m.Message) -> None:
        if not self.connection.closed:
            self.connection.write(b"".join(map(framed, said)))

    def messages(self) -> Iterator[m.Message]:
        at = 0
        while at < len(self.heard):
            length = int.from_bytes(self.heard[at : at + 4], "big")
            yield m.parse(bytes(self.heard[at + 4 : at + 4 + length]))
            at += 4 + length


class Strict(Files):
    """A store that complains of whatever no store should be asked, and fails now and then."""

    def __init__(self, manifest: Manifest, content: bytes, rng: Random) -> None:
        held = tuple(
            range(number, number + 1)
            for number in range(manifest.chunk_count)
            if rng.random() < 0.3
        )
        super().__init__(manifest, content, held)
        self._rng = rng
        self.holds = {numbers[0] for numbers in held}
        self.drops = tuple(
            entry
            for entry, kind in enumerate(manifest.columns.kinds)
            if kind in (FILE, LINK) and rng.random() < 0.1
        )
        for number in self.holds:
            if rng.random() < 0.3:
                self.data[manifest.chunk(number).offset] ^= 1
        self.settled: set[int] = set()
        self.published: dict[int, bytes] | None = None
        self.over = False

    def prepare(self, manifest: Manifest) -> Holdings:
        return Holdings(self.held, self.drops)

    def store(self, offset: int, slices: list[memoryview]) -> None:
        assert not self.over and self.published is None
        end = offset + sum(map(len, slices))
        while offset < end:
            chunk = self.manifest.chunk_at(offset)
            assert chunk.entry not in self.settled, "bytes of a file that is settled"
            assert chunk.number not in self.holds, "bytes of a chunk that is here"
            taken = min(end, chunk.offset + chunk.length) - offset
            data = b"".join(slices)
            self.data[offset : offset + taken] = data[:taken]
            slices = [memoryview(data[taken:])]
            offset += taken
        self.unsaved += 1

    def known(self, number: Any) -> bytes | None:
        return self.digest(self.manifest.chunk(number)) if self._rng.random() < 0.3 else None

    def digest(self, chunk: Chunk) -> bytes:
        if self._rng.random() < 0.03:
            raise StorageError("a bad sector")
        return super().digest(chunk)

    def zeros(self, chunks: range) -> None:
        start, end = self.manifest.span(chunks)
        self.data[start:end] = bytes(end - start)
        assert not self.holds.intersection(chunks)
        self.holds.update(chunks)

    def missed(self, number: int) -> None:
        self.holds.remove(number)

    def forget(self, entry: int) -> None:
        assert entry not in self.settled
        self.holds.difference_update(self.manifest.chunks(entry))

    def ready(self, entry: int) -> None:
        assert entry not in self.settled
        self.settled.add(entry)
        super().ready(entry)

    def failed(self, entry: int) -> None:
        self.settled.add(entry)
        self.told = [told for told in self.told if told != ("ready", entry)]
        super().failed(entry)

    def publish(self) -> Report:
        starts = self.manifest.columns.starts
        ready = {entry for what, entry in self.told if what == "ready"}
        lost = {entry for entry in ready if self._rng.random() < 0.1}
        self.published = {
            entry: bytes(self.data[starts[entry] : starts[entry + 1]]) for entry in ready - lost
        }
        report = Report(len(self.published), sum(map(len, self.published.values())))
        report.failed = tuple((entry, "no name for it") for entry in sorted(lost))
        return report

    def suspend(self) -> None:
        assert not self.over
        self.over = True


class HostileSender(Peer):
    """Makes a true offer, then says and sends whatever there is to say and to send."""

    def __init__(self, connection: Connection, manifest: Manifest, rng: Random) -> None:
        super().__init__(connection)
        self._manifest = manifest
        self._rng = rng
        self._content = some_bytes("hostile", manifest.size)
        self._digests = Digests(manifest)
        connection.source = self
        self.moves: list[Callable[[], None]] = [
            self.digests, self.digests, self.digests, self.content, self.content, self.content,
            self.zeros, self.restart, self.fail, self.finish, self.nonsense, self.all_there_is,
        ]  # fmt: skip

    def offer(self) -> None:
        manifest = self._manifest
        self.say(
            m.Offer(
                bytes(16), len(manifest.entries), manifest.files, manifest.size,
                manifest.page_count, manifest.digest,
            ),
            *map(m.Page, manifest.pages()),
        )  # fmt: skip

    def fill(self, offset: int, slots: list[memoryview]) -> None:
        for slot in slots:
            slot[:] = self._content[offset : offset + len(slot)]
            if self._rng.random() < 0.1:
                slot[0] ^= 1
            offset += len(slot)

    def _run(self) -> range:
        count = self._manifest.chunk_count
        first = self._rng.randrange(count + 1)
        return range(first, min(count, first + self._rng.choice((1, 1, 2, 5))) or 1)

    def digests(self) -> None:
        numbers = self._run()
        if not numbers:
            return
        told = b""
        for number in numbers:
            start, end = self._span(number)
            piece = self._content[start:end] if self._rng.random() < 0.95 else b"another"
            told += blake3(piece).digest()
        if numbers.stop <= self._manifest.chunk_count:
            self._digests.put(numbers.start, told)
        self.say(m.Digests(numbers.start, told))

    def _span(self, number: int) -> tuple[int, int]:
        if number < self._manifest.chunk_count:
            return self._manifest.span(range(number, number + 1))
        return 0, 0

    def content(self) -> None:
        size = self._manifest.size
        start = self._rng.randrange(size + 1)
        end = min(size, start + self._rng.choice((1, 5, CHUNK, 40)))
        if start < end and not self.connection.closed:
            self.connection.send_content(start, end)

    def zeros(self) -> None:
        self.say(m.Zeros((self._run() or range(1),)))

    def restart(self) -> None:
        self.say(m.Restart(self._entry()))

    def fail(self) -> None:
        self.say(m.Failed(self._entry(), "gone"))

    def _entry(self) -> int:
        return self._rng.randrange(len(self._manifest.entries) + 1)

    def finish(self) -> None:
        for said in self._said:
            if isinstance(said, m.Failed) and said.entry < len(self._manifest.entries):
                self._digests.fail(said.entry)
        self.say(m.Finished(self._digests.content()))

    def nonsense(self) -> None:
        self.say(
            self._rng.choice(
                (m.Accept(), m.Have((range(1),)), m.Want((0,)), m.Drop((0,), 1), m.Again(0),
                 m.Piece(0, 1, bytes(32)), m.Retry((0,)), m.Abort(4, "bye"), m.Decline(1, ""))
            )
        )  # fmt: skip

    def all_there_is(self) -> None:
        """What an honest sender would say, all at once: some of it has been said."""
        for number in range(self._manifest.chunk_count):
            start, end = self._span(number)
            told = blake3(self._content[start:end]).digest()
            self._digests.put(number, told)
            self.say(m.Digests(number, told))
        if self._manifest.size and not self.connection.closed:
            self.connection.send_content(0, self._manifest.size)
        self.finish()

    _said: list[m.Message]

    def say(self, *said: m.Message) -> None:
        self._said = [*getattr(self, "_said", []), *said]
        super().say(*said)


class Scene(Meeting):
    """Turns go on for a random while, so that everything meets everything."""

    def some_turns(self, rng: Random) -> None:
        left = rng.randrange(6)

        def enough() -> bool:
            nonlocal left
            left -= 1
            return left < 0

        self.turn(enough)


@settings(max_examples=60, deadline=None)
@given(seed=SOME)
def test_mf01_mf05_mf11_a_sender_without_manners(seed: int) -> None:
    rng = Random(seed)
    with small_chunks(CHUNK):
        manifest = offered(rng)
        store = Strict(manifest, some_bytes("hostile", manifest.size), rng)
        met = Scene(lambda connection, _, __: HostileSender(connection, manifest, rng), store)  # type: ignore[arg-type,return-value]
        peer: Any = met.sender
        peer.offer()
        if rng.random() < 0.9:
            met.turn()
        for _ in range(rng.randrange(30)):
            rng.choice(peer.moves)()
            if rng.random() < 0.1:
                harm(met, store, rng)
            met.some_turns(rng)
        met.turn()
        met.wait(15.0, lambda: met.receiver.over)
        assert met.receiver.failure is None or isinstance(met.receiver.failure, SecurecpError)
        if store.published is not None:
            for entry, data in store.published.items():
                for number in manifest.chunks(entry):
                    chunk = manifest.chunk(number)
                    piece = data[chunk.start : chunk.start + chunk.length]
                    assert blake3(piece).digest() == met.receiver.party.digest_of(number)


class HostileReceiver(Peer):
    """Reads the offer, then says whatever a receiver could say."""

    def __init__(self, manifest: Manifest, rng: Random) -> None:
        self._manifest = manifest
        self._rng = rng
        self.heard = bytearray()
        self.moves: list[Callable[[], None]] = [
            self.want, self.want, self.retry, self.drop, self.again, self.receipt, self.receipt,
            self.nonsense, self.answer_restarts,
        ]  # fmt: skip

    def store(self, offset: int, slices: list[memoryview]) -> None:
        """Whatever comes."""

    def begin(self) -> None:
        rng, count = self._rng, self._manifest.chunk_count
        held = [range(number, number + 1) for number in range(count) if rng.random() < 0.4]
        if held:
            self.say(m.Have(tuple(held)))
        if rng.random() < 0.3:
            self.drop()
        self.say(m.Accept())
        if not self.connection.closed and self._manifest.size:
            self.connection.expect_content(0, self._manifest.size)

    def _some(self, count: int) -> tuple[int, ...]:
        numbers = range(count + (self._rng.random() < 0.05))
        return tuple(self._rng.sample(numbers, min(len(numbers), self._rng.choice((1, 2, 5)))))

    def want(self) -> None:
        """Mostly what was told and is held, as an honest one would."""
        if numbers := self._some(self._manifest.chunk_count):
            self.say(m.Want(numbers))

    def retry(self) -> None:
        if numbers := self._some(self._manifest.chunk_count):
            self.say(m.Retry(numbers))

    def drop(self) -> None:
        kinds = self._manifest.columns.kinds
        entries = [entry for entry, kind in enumerate(kinds) if kind in (FILE, LINK)]
        self.say(m.Drop((self._rng.choice(entries),), self._rng.randrange(2)))

    def again(self) -> None:
        self.say(m.Again(self._rng.randrange(len(self._manifest.entries))))

    def answer_restarts(self) -> None:
        for said in list(self.messages()):
            if isinstance(said, m.Restart):
                self.say(m.Again(said.entry))

    def receipt(self) -> None:
        """For one of the content digests that were told, or none; the figures may lie."""
        told = [said.digest for said in self.messages() if isinstance(said, m.Finished)]
        manifest, rng = self._manifest, self._rng
        digest = rng.choice(told) if told else bytes(32)
        files = manifest.files - rng.choice((0, 0, 0, 1, 2))
        size = manifest.size - rng.choice((0, 0, 0, 1, 8))
        if files < 0 or size < 0:
            return
        skipped = manifest.files - files + (rng.random() < 0.1)
        receipt = Receipt(
            ALICE, BOB, bytes(16), manifest.digest, digest, files, skipped, size, 1_700_000_000
        ).signed(lambda message: KEYS[1].sign(message, bytes))
        self.say(
            m.Received(
                files, skipped, size, 1_700_000_000, manifest.digest, digest, receipt.signature
            )
        )

    def nonsense(self) -> None:
        self.say(
            self._rng.choice(
                (m.Accept(), m.Have((range(1),)), m.Zeros((range(1),)), m.Digests(0, bytes(32)),
                 m.Restart(0), m.Failed(0, ""), m.Finished(bytes(32)), m.Piece(0, 1, bytes(32)),
                 m.Abort(7, "5 bytes are needed"), m.Decline(1, "no"))
            )
        )  # fmt: skip


class Moody(Reading):
    """A source whose files change, vanish, and cannot be read, now and then."""

    def __init__(self, manifest: Manifest, content: bytes, rng: Random) -> None:
        super().__init__(manifest, content)
        self._rng = rng
        self.closed = False

    def digest(self, chunk: Chunk) -> bytes:
        return None if self._rng.random() < 0.03 else super().digest(chunk)  # type: ignore[return-value]

    def known(self, chunk: Any) -> bytes | None:
        return super().digest(chunk) if self._rng.random() < 0.3 else None

    def holes(self) -> tuple[range, ...]:
        return ()

    def unchanged(self, entry: int) -> bool:
        return self._rng.random() < 0.9

    def renew(self, entry: int) -> bool:
        return self._rng.random() < 0.9

    def close(self) -> None:
        assert not self.closed
        self.closed = True


@settings(max_examples=60, deadline=None)
@given(seed=SOME)
def test_mf11_mf14_a_receiver_without_manners(seed: int) -> None:
    rng = Random(seed)
    with small_chunks(CHUNK):
        manifest = offered(rng)
        source = Moody(manifest, some_bytes("hostile", manifest.size), rng)

        def offer(connection: Connection, shop: Shop, ours: bytes) -> SendSession:
            return SendSession(
                connection, shop, 1.0, manifest=manifest, source=source, ours=ours, entropy=bytes
            )

        met = Scene(offer)
        peer: Any = HostileReceiver(manifest, rng)
        peer.connection, met.right.sink = met.right, peer
        met.receiver = peer
        met.events[peer] = []
        if rng.random() < 0.95:
            met.turn()
        peer.begin()
        for _ in range(rng.randrange(30)):
            rng.choice(peer.moves)()
            if rng.random() < 0.05:
                met.shops[0].idle = not met.shops[0].idle
            met.some_turns(rng)
        met.shops[0].idle = False
        met.turn()
        assert met.sender.failure is None or isinstance(met.sender.failure, SecurecpError)
        for done in met.told(met.sender, Done):
            assert done.files + done.skipped <= manifest.files
            named = {name for name, _ in done.failed}
            assert len(named) == len(done.failed)
        met.sender.cancel("enough")
        assert met.sender.over and source.closed


class Slow:
    """A stream's output that takes a piece now and then."""

    unsaved = 0

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.taken: list[bytes] = []
        self.backlog = 0
        self.published = self.over = False

    def prepare(self, _: Manifest) -> object:
        return None

    def append(self, data: memoryview) -> None:
        assert not self.published and not self.over
        self.taken.append(bytes(data))
        self.backlog += len(data)

    def due(self, _: float) -> bool:
        self.backlog = int(self.backlog * self._rng.random())
        return False

    def checkpoint(self) -> None: ...

    def publish(self) -> Report:
        self.published = True
        return Report(1, sum(map(len, self.taken)))

    def suspend(self) -> None:
        assert not self.over
        self.over = True


class HostileStream(HostileSender):
    """Offers a stream, and tells pieces that it sends in any order, or not at all."""

    def __init__(self, connection: Connection, manifest: Manifest, rng: Random) -> None:
        super().__init__(connection, manifest, rng)
        self._content = some_bytes("stream", 3_000)
        self._told = 0
        self._digest = StreamDigest()
        self.moves = [self.piece] * 6 + [self.content] * 6 + [self.finish, self.everything]
        self.moves += [self.nonsense] if rng.random() < 0.3 else []

    def piece(self) -> None:
        rng = self._rng
        length = min(rng.choice((1, 9, 400)), len(self._content) - self._told)
        if length:
            piece = self._content[self._told : self._told + length]
            digest = blake3(piece).digest() if rng.random() < 0.99 else bytes(32)
            self.say(m.Piece(self._told + (rng.random() < 0.01), length, digest))
            self._digest.add(digest)
            self._told += length

    def content(self) -> None:
        start = self._rng.randrange(len(self._content))
        end = min(len(self._content), start + self._rng.choice((1, 100, 3_000)))
        if not self.connection.closed:
            self.connection.send_content(start, end)

    def everything(self) -> None:
        while self._told < len(self._content):
            self.piece()
        if not self.connection.closed:
            self.connection.send_content(0, len(self._content))
        self.finish()

    def finish(self) -> None:
        self.say(m.Finished(self._digest.digest()))


@settings(max_examples=60, deadline=None)
@given(seed=SOME)
def test_mf01_mf05_a_stream_without_manners(seed: int) -> None:
    rng = Random(seed)
    manifest = Manifest([Entry(STREAM, 0, b"s", 0, 0o644, 1)])
    sink = Slow(rng)
    met = Scene(
        lambda connection, _, __: HostileStream(connection, manifest, rng),  # type: ignore[arg-type,return-value]
        window=1_000,
        open_stream=lambda _, __: sink,
    )
    peer: Any = met.sender
    peer.offer()
    if rng.random() < 0.95:
        met.turn()
    for _ in range(rng.randrange(30)):
        rng.choice(peer.moves)()
        met.some_turns(rng)
    met.turn()
    met.wait(5.0, lambda: met.receiver.over)
    assert met.receiver.failure is None or isinstance(met.receiver.failure, SecurecpError)
    taken = b"".join(sink.taken)
    at = 0
    for piece in [said for said in peer._said if isinstance(said, m.Piece)]:
        if at == len(taken):
            break
        assert blake3(taken[at : at + piece.length]).digest() == piece.digest
        at += piece.length
    assert at == len(taken)


def harm(met: Meeting, store: Strict, rng: Random) -> None:
    """Something happens on our own side."""
    files = [entry for entry, kind in enumerate(store.manifest.columns.kinds) if kind == FILE]
    match rng.randrange(5):
        case 0 if store.published is None:
            entry = rng.choice(files)
            store.bad.append((entry, "a bad sector"))
        case 1:
            store.is_due = True
        case 2 if rng.random() < 0.3:
            store.wrong = FullError("full", needed=5)
        case 3 if rng.random() < 0.3:
            met.receiver.supersede()
        case 4:
            met.shops[1].idle = not met.shops[1].idle
