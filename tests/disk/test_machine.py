"""The journal against a model: any row of sessions, kills, edits and restarts ends with the files.

What the model holds of an earlier session is what a checkpoint saved and nobody touched since; the
store must offer that again (F-01, I5), and whatever it offers and calls known must be right (I1).
"""

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from securecp.disk.journal import Journals
from securecp.transfer.entries import CHUNK, FILE
from securecp.transfer.manifest import Manifest
from tests.disk.session import KEY, Session
from tests.disk.support import content, expected, file, folder, parts, tree

MANIFEST = Manifest(
    [
        folder(b"t"),
        file(b"a", 2 * CHUNK + 9, 1),
        file(b"zeros", 2 * CHUNK + 5, 1),
        folder(b"s", 1),
        file(b"b", 300, 4),
        file(b"empty", 0, 4),
        file(b"top", CHUNK + 1),
        file(b"small", 77),
    ]
)
ZERO = set(MANIFEST.chunks(2)) - {MANIFEST.chunks(2)[1]}
CHUNK_NUMBERS = st.integers(0, MANIFEST.chunk_count - 1)
FILES = [entry for entry, row in enumerate(MANIFEST.entries) if row.kind == FILE]


def offered() -> bytes:
    data = bytearray(content(MANIFEST, 8))
    for number in ZERO:
        chunk = MANIFEST.chunk(number)
        data[chunk.offset : chunk.offset + chunk.length] = bytes(chunk.length)
    return bytes(data)


DATA = offered()


class Receiving(RuleBasedStateMachine):
    """One transfer in as many sessions as it takes."""

    def __init__(self) -> None:
        super().__init__()
        memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # each step flushes
        self.place = Path(tempfile.mkdtemp(prefix="securecp-machine-", dir=memory))
        self.into = self.place / "into"
        self.into.mkdir()
        (self.into / "mine").write_bytes(b"mine")
        self.journals = Journals(self.place / "state", KEY)
        self.session: Session | None = None
        self.saved: set[int] = set()
        """What the next session must hold."""
        self.published = False

    @initialize()
    def start(self) -> None:
        self.open()

    def open(self) -> None:
        self.session = Session(self.into, MANIFEST, DATA, self.journals)
        self.session.prepare()
        assert self.session.held >= self.saved, (self.session.held, self.saved)
        for number in self.session.held:
            known = self.session.store.known(number)
            assert known is None or known == self.session.told(number)

    @precondition(lambda self: self.session is not None)
    @rule(number=CHUNK_NUMBERS)
    def come(self, number: int) -> None:
        """A chunk comes, or is compared, or is a hole."""
        session = self.live
        if number in session.good or number in session.compared_bad:
            if number in session.good:
                return
        elif number in session.held:
            if session.compare(number):
                return
            session.compared_bad.add(number)
            return
        elif number in ZERO:
            session.store.zeros(range(number, number + 1))
            assert session.compare(number)
            return
        assert session.send(number)

    @precondition(lambda self: self.session is not None)
    @rule(number=CHUNK_NUMBERS)
    def half(self, number: int) -> None:
        """Half of a chunk comes, and is not good."""
        session = self.live
        fresh = number not in session.good and number not in session.held and number not in ZERO
        if fresh:
            session.half(number)

    @precondition(lambda self: self.session is not None)
    @rule()
    def save(self) -> None:
        self.live.store.checkpoint()
        assert not self.live.store.broken()
        self.saved |= self.live.good

    @precondition(lambda self: self.session is not None)
    @rule(entry=st.sampled_from(FILES))
    def restart(self, entry: int) -> None:
        session = self.live
        chunks = set(MANIFEST.chunks(entry))
        if not chunks or self.published:  # it would get a name of its own
            return
        session.restart(entry)
        session.good -= chunks
        session.compared_bad |= chunks  # they come, whatever they are
        self.saved -= chunks

    @precondition(lambda self: self.session is not None)
    @rule(state=st.sampled_from(["suspend", "kill"]))
    def stop(self, state: str) -> None:
        session = self.live
        if state == "suspend":
            session.store.suspend()
            self.saved |= session.good
        else:
            session.store._release()
        self.session = None

    @precondition(lambda self: self.session is None)
    @rule()
    def go_on(self) -> None:
        self.open()

    @precondition(lambda self: self.session is None)
    @rule(
        which=st.integers(0, 5),
        place=st.integers(0, 3 * CHUNK),
        edit=st.sampled_from(["flip", "cut", "grow", "delete", "copy"]),
    )
    def meddle(self, which: int, place: int, edit: str) -> None:
        """Somebody does something to a part, which its times show."""
        found = [path for path in parts(self.into) if path.is_file()]
        if not found:
            return
        found.sort(key=lambda path: path.stat().st_size)
        path = found[which % len(found)]
        size = path.stat().st_size
        with path.open("r+b") as stream:
            match edit:
                case "flip" if size:
                    stream.seek(place % size)
                    byte = stream.read(1)[0]
                    stream.seek(place % size)
                    stream.write(bytes([byte ^ 1]))
                case "cut":
                    stream.truncate(size // 2)
                case "grow":
                    stream.seek(0, 2)
                    stream.write(b"more")
        if edit == "delete":
            path.unlink()
        elif edit == "copy":
            path.with_name("copy").write_bytes(path.read_bytes())
            path.with_name("copy").replace(path)
        self.saved.clear()  # of this part; the model does not know which it is

    @precondition(lambda self: self.session is None)
    @rule()
    def lose_the_journal(self) -> None:
        for path in (self.place / "state").glob("*.journal"):
            path.unlink()
        self.saved.clear()

    @precondition(lambda self: self.session is not None)
    @rule(killed=st.booleans())
    def finish(self, killed: bool) -> None:
        """The rest comes; everything is there once, whatever happened before."""
        session = self.live
        for number in range(MANIFEST.chunk_count):
            if number not in session.good:
                self.come(number)
            if number not in session.good:
                self.come(number)
        report = session.store.publish()
        assert not report.failed
        assert report.published == MANIFEST.files
        self.session = None
        if killed:
            session.store.suspend()
            self.published = True
        else:
            session.store.finished()
        self.check()
        self.saved = set(range(MANIFEST.chunk_count)) if killed else set()
        if not killed:
            self.published = False
            for path in self.into.iterdir():
                if path.name != "mine":
                    shutil.rmtree(path) if path.is_dir() else path.unlink()

    def check(self) -> None:
        found = {path: data for path, data in tree(self.into).items() if ".securecp" not in path}
        want: dict[str, bytes | None] = {**expected(MANIFEST, DATA), "mine": b"mine"}
        assert sorted(found) == sorted(want)
        wrong = [path for path, data in want.items() if found[path] != data]
        assert not wrong

    @property
    def live(self) -> Session:
        assert self.session is not None
        return self.session

    @invariant()
    def nothing_of_mine_is_touched(self) -> None:
        assert (self.into / "mine").read_bytes() == b"mine"

    def teardown(self) -> None:
        if self.session is not None:
            self.session.store.abandon()
        else:
            for each in self.journals.unfinished():
                self.journals.discard(each.id)
        self.journals.close()
        shutil.rmtree(self.place)


TestReceiving = Receiving.TestCase
TestReceiving.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
