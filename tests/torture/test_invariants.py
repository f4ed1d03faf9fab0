"""Each invariant is broken on purpose: the check must see it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.torture.invariants import Broken, Destination, Outside, check_sent_again
from tests.torture.trees import make, prepare

PART = ".securecp-0123456789abcdef.part"


class Scene:
    """An offer that has arrived in full."""

    def __init__(self, folder: Path, conflict: str) -> None:
        self.top = make("few", folder / "tree")
        self.before, self.into = folder / "before", folder / "into"
        prepare(self.top, self.before)
        prepare(self.top, self.into)
        self.destination = Destination(self.into, self.before, self.top, conflict)
        self.outside = Outside(folder / "tree", self.before)
        copy(self.top, self.into / "offer (1)")


def copy(top: Path, to: Path) -> None:
    for path in sorted([top, *top.rglob("*")]):
        place = to / path.relative_to(top)
        if path.is_dir():
            place.mkdir()
        else:
            place.write_bytes(path.read_bytes())
            os.utime(place, ns=(1, path.stat().st_mtime_ns))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path, "rename")


def test_a_whole_copy_passes(scene: Scene) -> None:
    scene.destination.check_complete(single=True)
    scene.destination.check_clean()
    scene.outside.check()


BREAKS: dict[str, Callable[[Scene], object]] = {
    "I1 one bit": lambda s: flip(s.into / "offer (1)" / "big"),
    "I1 half a file": lambda s: os.truncate(s.into / "offer (1)" / "big", 1_000),
    "I1 a mixture": lambda s: (s.into / "offer (1)" / "sub" / "1").write_bytes(
        (s.top / "sub" / "2").read_bytes()
    ),
    "I1 never offered": lambda s: (s.into / "offer (1)" / "stranger").write_bytes(b""),
    "I1 another time": lambda s: os.utime(s.into / "offer (1)" / "big", ns=(1, 2)),
    "I1 a link": lambda s: linked(s.into / "offer (1)" / "big", s.top / "big"),
    "I2 the source": lambda s: (s.top / "big").touch(),
    "I2 something new": lambda s: (s.top.parent / "new").mkdir(),
    "I3 gone": lambda s: (s.into / "mine").unlink(),
    "I3 altered": lambda s: (s.into / "mine").write_bytes(b"yours alone"),
    "I3 replaced": lambda s: (s.into / "offer" / "big").write_bytes(
        (s.top / "big").read_bytes()
    ),
    "I4 missing": lambda s: (s.into / "offer (1)" / "sub" / "1").unlink(),
    "I4 a folder missing": lambda s: (s.into / "offer (1)" / "nothing").rmdir(),
    "I8 two copies": lambda s: copy(s.top, s.into / "offer (2)"),
    "I8 a part": lambda s: (s.into / "offer" / PART).write_bytes(b""),
}  # fmt: skip


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    was = path.stat().st_mtime_ns
    path.write_bytes(data)
    os.utime(path, ns=(was, was))


def linked(path: Path, to: Path) -> None:
    path.unlink()
    path.symlink_to(to)


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_broken_is_seen(scene: Scene, name: str) -> None:
    BREAKS[name](scene)
    with pytest.raises(Broken, match=rf"^{name[:2]} "):
        scene.destination.check_complete(single=True)
        scene.destination.check_clean()
        scene.outside.check()


def test_overwritten_files_may_be_the_offered_ones_and_nothing_else(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "overwrite")
    (scene.into / "offer" / "big").write_bytes((scene.top / "big").read_bytes())
    assert "offer/big" in scene.destination.check()
    (scene.into / "offer" / "big").write_bytes(b"something else")
    with pytest.raises(Broken, match=r"^I3"):
        scene.destination.check()


def test_parts_are_no_published_files(scene: Scene) -> None:
    (scene.into / PART).mkdir()
    (scene.into / PART / "half").write_bytes(b"half")
    scene.destination.check()


def test_what_is_sent_again_has_a_bound() -> None:
    check_sent_again(10, 10)
    with pytest.raises(Broken, match=r"^I5"):
        check_sent_again(11, 10)
