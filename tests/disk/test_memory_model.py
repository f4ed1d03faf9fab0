"""The memory against a model: whatever happens, no digest is believed but that of the file now."""

import os
import shutil
import tempfile
from array import array
from pathlib import Path
from unittest import mock

from blake3 import blake3
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from securecp.disk.found import Scan
from securecp.disk.memory import Memories, Memory
from securecp.disk.stamps import Stamp, offered
from securecp.transfer.manifest import CHUNK, FILE, Entry, Manifest

SIZES = (2 * CHUNK + 1, 5)
KEY = bytes(32)

entries = st.integers(0, len(SIZES) - 1)


class Remembering(RuleBasedStateMachine):
    """Files change, two recipients tell digests, and every now and then the program dies."""

    def __init__(self) -> None:
        super().__init__()
        self.manifest = Manifest(
            [Entry(FILE, 0, b"%d" % number, size, 0o644, 0) for number, size in enumerate(SIZES)]
        )
        self.versions = [1] * len(SIZES)
        self.folder = Path(tempfile.mkdtemp())
        self.fsync = mock.patch.object(os, "fsync")
        self.fsync.start()

    @initialize()
    def begin(self) -> None:
        self.start()

    def start(self) -> None:
        """Another run: everything is looked at anew."""
        self.scan = Scan(
            *(self.manifest, (), {}, {}),
            inodes=array("Q", range(len(SIZES))),
            devices=array("Q", [1] * len(SIZES)),
            changed_at=array("q", self.versions),
            at=0,
        )
        self.memory: Memory = Memories(self.folder / "sent", KEY).open(self.scan)
        self.memory.attach(b"x")
        self.views = [list(self.versions) for _ in range(2)]
        """The state of each file that each recipient's source sends."""

    def stamp(self, entry: int, version: int) -> Stamp:
        return offered(self.scan, entry)._replace(changed_at=version)

    def digest(self, number: int, version: int) -> bytes:
        return blake3(b"%d %d" % (number, version)).digest()

    @rule(entry=entries, seen=st.sampled_from([(), (0,), (1,), (0, 1)]))
    def change(self, entry: int, seen: tuple[int, ...]) -> None:
        """Somebody writes to a file; these sources notice, and take it as it is now."""
        self.versions[entry] += 1
        for who in seen:
            self.views[who][entry] = self.versions[entry]

    @rule(who=st.integers(0, 1), entry=entries, first=st.booleans())
    def tell(self, who: int, entry: int, *, first: bool) -> None:
        """A source reads the first chunk of a file, or the others, as the file is now, and goes by
        the state that it knows of."""
        chunks = self.manifest.chunks(entry)
        for number in chunks[:1] if first else chunks[1:]:
            digest = self.digest(number, self.versions[entry])
            stamp = self.stamp(entry, self.views[who][entry])
            self.memory.learn(self.manifest.chunk(number), digest, stamp)

    @rule(how=st.sampled_from(["saved", "killed", "torn"]), cut=st.integers(1, 120))
    def run_again(self, how: str, cut: int) -> None:
        """After an end, or after a kill, or when the end of the file was lost."""
        if how != "killed":
            self.memory.detach()
        self.memory._close()
        if how == "torn":
            for file in (self.folder / "sent").glob("*"):
                os.truncate(file, max(0, file.stat().st_size - cut))
        self.start()

    @invariant()
    def only_what_is_true_is_believed(self) -> None:
        for number in range(self.manifest.chunk_count if hasattr(self, "memory") else 0):
            entry = self.manifest.chunk(number).entry
            version = self.versions[entry]
            if self.memory.remembers(entry, self.stamp(entry, version)):
                assert self.memory.known(number) in (None, self.digest(number, version))

    def teardown(self) -> None:
        self.memory._close()
        self.fsync.stop()
        shutil.rmtree(self.folder)


TestRemembering = Remembering.TestCase
TestRemembering.settings = settings(max_examples=100, stateful_step_count=30)
