"""kill -9 at any moment of storing and publishing leaves nothing half under a final name."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from securecp.disk.names import is_part
from securecp.transfer.manifest import Entry, Manifest
from tests.disk.support import content, expected, file, folder, receive, tree

ENTRIES: list[Entry] = [
    folder(b"t"),
    *(file(b"small%d" % number, 700 + number, 1) for number in range(30)),
    folder(b"sub", 1),
    file(b"large", 300_000, 32),
    *(file(b"top%d" % number, 5_000) for number in range(12)),
]

RECEIVER = """
import sys
from pathlib import Path
from tests.disk.support import receive
from tests.disk.test_kill import ENTRIES
sys.stdin.readline()
receive(Path(sys.argv[1]), ENTRIES, conflict=sys.argv[2])
print("done", flush=True)
"""

FAULT = """
import os, sys
from pathlib import Path
from securecp.disk import at
from tests.disk.support import receive
from tests.disk.test_kill import ENTRIES, NAMED
left = int(sys.argv[3])
def killing(call):
    def counted(*given, **named):
        global left
        left -= 1
        if not left:
            os.kill(os.getpid(), 9)
        return call(*given, **named)
    return counted
for name in NAMED:
    setattr(at, name, killing(getattr(at, name)))
receive(Path(sys.argv[1]), ENTRIES, conflict=sys.argv[2])
"""

NAMED = ("create", "make_directory", "link", "replace", "rename_directory", "remove")
ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def check(into: Path, before: dict[str, bytes | None]) -> int:
    """Every visible file is whole and was offered; returns how many there are."""
    manifest = Manifest(ENTRIES)
    want = expected(manifest, content(manifest))
    whole = 0
    for path, data in tree(into).items():
        visible = [part for part in path.split("/") if not is_part(part.encode())]
        if len(visible) < len(path.split("/")):
            continue
        if path in before:
            assert data == before[path]
        else:
            assert data == want[path]
            whole += 1
    return whole


def test_fs14_killed_at_every_kind_of_moment(tmp_path: Path) -> None:
    """Before the n-th call that takes a name, for n through the whole life of a transfer."""
    outcomes = []
    running = []
    for number, moment in enumerate(
        [1, 2, 3, 4, 20, 40, 47, 48, 49, 50, 51, 70, 100, 132, 133, 134]
    ):
        conflict = ("rename", "skip", "overwrite")[number % 3]
        into = tmp_path / f"{number}"
        into.mkdir()
        (into / "mine").write_bytes(b"mine")
        command = [sys.executable, "-c", FAULT, str(into), conflict, str(moment)]
        running.append((into, subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT)))
        if len(running) == 4:
            for place, process in running:
                code = process.wait(60)
                assert code in (0, -signal.SIGKILL)
                outcomes.append((code, check(place, {"mine": b"mine"})))
            running.clear()
    assert {code for code, _ in outcomes} >= {-signal.SIGKILL}
    assert any(whole == 0 for code, whole in outcomes if code)
    assert any(whole > 0 for code, whole in outcomes if code)
    assert set(os.listdir(tmp_path)) == {str(number) for number in range(16)}


def test_fs14_killed_from_outside_and_received_again(tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.mkdir()
    order = random.Random(14)
    command = [sys.executable, "-c", RECEIVER, str(into), "rename"]
    for _ in range(4):
        process = subprocess.Popen(
            command, cwd=ROOT, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdin
        process.stdin.write(b"\n")
        process.stdin.flush()
        while process.poll() is None and not any(into.iterdir()):
            pass  # until it has begun
        for _ in range(order.randrange(3_000)):
            process.poll()
        process.kill()
        process.communicate()
        check_or_numbered(into)
    receive(into, ENTRIES)
    manifest = Manifest(ENTRIES)
    want = expected(manifest, content(manifest))
    files = {path: data for path, data in tree(into).items() if b".securecp" not in path.encode()}
    assert set(want.values()) <= set(files.values())


@pytest.mark.parametrize("policy", ["rename", "skip", "overwrite"])
def test_f01_f04_killed_before_any_call_twice_and_resumed(tmp_path: Path, policy: str) -> None:
    """Every file once, nothing that was saved comes again, nothing is left over."""
    first = {"rename": 1, "skip": 2, "overwrite": 3}[policy]
    command = [sys.executable, "-m", "tests.disk.killing", str(tmp_path), policy, str(first), "3"]
    run = subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=100
    )
    assert not run.returncode, run.stderr
    assert json.loads(run.stdout)["killed"] > 20


def check_or_numbered(into: Path) -> None:
    """As `check`, when some earlier try may have come to its end."""
    manifest = Manifest(ENTRIES)
    sizes = set(expected(manifest, content(manifest)).values())
    for path, data in tree(into).items():
        if not any(is_part(part.encode()) for part in path.split("/")):
            assert data in sizes
