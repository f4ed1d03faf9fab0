"""Kill a receiver before its n-th call that changes the disk, for every n, and go on until done.

    python -m tests.disk.killing FOLDER POLICY FIRST STEP     prints what was seen as JSON

Each try is a process of its own that dies as by kill -9: nothing of it runs afterwards. The call
that appends to the journal is also cut in the middle.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from securecp.disk import at, flush, log
from securecp.disk import store as store_module
from securecp.disk.journal import Journals
from securecp.transfer.entries import CHUNK, Entry
from securecp.transfer.manifest import Manifest
from tests.disk.session import KEY, Session
from tests.disk.support import content, expected, file, folder, parts, tree

TREE: list[Entry] = [
    folder(b"t"),
    *(file(b"small%d" % number, 700 + number, 1) for number in range(3)),
    folder(b"sub", 1),
    file(b"large", 3 * CHUNK + 5, 5),
    file(b"empty", 0, 5),
    file(b"top", 5_000),
    file(b"mine", CHUNK + 1),
]
MANIFEST = Manifest(TREE)
DATA = content(MANIFEST, 14)
MINE = b"mine" * 1_000

CALLS = [
    *((at, name) for name in ("create", "make_directory", "link", "replace", "rename_directory")),
    *((at, name) for name in ("remove", "remove_directory")),
    *((flush, name) for name in ("sync_data", "sync_file", "sync_directory", "sync_all")),
    (store_module, "write_span"),
    (log, "_write"),
]


class Fuse:
    """Dies when as many calls have been made as it was set to."""

    def __init__(self, left: int) -> None:
        self.left = left

    def arm(self) -> None:
        for module, name in CALLS:
            setattr(module, name, self._counted(getattr(module, name), torn=name == "_write"))

    def _counted(self, call: Callable[..., Any], *, torn: bool) -> Callable[..., Any]:
        def counted(*given: Any, **named: Any) -> Any:
            self.left -= 1
            if not self.left:
                if torn:
                    descriptor, data, position = given
                    call(descriptor, data[: len(data) // 2], position)
                os._exit(9)
            return call(*given, **named)

        return counted


def receive(place: Path, policy: str, told: int) -> None:
    """One try; tells through `told` what was held, and what each checkpoint had saved."""

    def tell(**what: Any) -> None:
        os.write(told, json.dumps(what).encode() + b"\n")

    journals = Journals(place / "state", KEY)
    session = Session(place / "into", MANIFEST, DATA, journals, conflict=policy)
    holdings = session.prepare()
    tell(held=sorted(session.held), drops=holdings.drops)

    def each(number: int) -> None:
        if number % 3 == 2:
            session.store.checkpoint()
            tell(saved=sorted(session.good))

    session.run(each=each)
    report = session.store.publish()
    tell(published=report.published, came=session.came, failed=report.failed)
    session.store.finished()
    session.store.suspend()


def attempt(place: Path, policy: str, left: int) -> tuple[int, list[dict[str, Any]]]:
    """One try in a process that may be killed: its exit code and what it told."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        if left:
            Fuse(left).arm()
        code = 1
        try:
            receive(place, policy, writer)
            code = 0
        except BaseException:  # the parent wants to see it
            import traceback

            os.write(writer, json.dumps({"error": traceback.format_exc()}).encode() + b"\n")
        os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as stream:
        told = [json.loads(line) for line in stream]
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), told


def check(place: Path, policy: str) -> None:
    """Everything is there once, what was there before is still there, and nothing is left over."""
    want: dict[str, bytes | None] = dict(expected(MANIFEST, DATA))
    if policy == "rename":
        want["mine (1)"], want["mine"] = want["mine"], MINE
    elif policy == "skip":
        want["mine"] = MINE
    found = tree(place / "into")
    assert found == want, (sorted(found), sorted(want))
    assert not parts(place / "into")
    assert not list((place / "state").glob("*"))


def prepare(place: Path) -> None:
    (place / "into").mkdir(parents=True)
    (place / "into" / "mine").write_bytes(MINE)


def wanted(told: list[dict[str, Any]]) -> set[int]:
    """Chunks that must not come again."""
    return {number for what in told for number in what.get("saved", ())}


def main(folder_name: str, policy: str, first: int, step: int) -> int:
    killed = 0
    for moment in range(first, 100_000, step):
        place = Path(folder_name) / f"{policy}{moment}"
        prepare(place)
        code, told = attempt(place, policy, moment)
        assert code in (0, 9), told
        if not code:  # it came to its end before that many calls
            check(place, policy)
            break
        killed += 1
        again, second = attempt(place, policy, 1 + moment * 7 % 40)
        assert again in (0, 9), second
        if second and told and "published" not in told[-1]:
            missing = wanted(told) - set(second[0]["held"])
            assert not missing, (moment, missing)
        if again:
            code, last = attempt(place, policy, 0)
            assert not code, last
        check(place, policy)
    print(json.dumps({"killed": killed}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
