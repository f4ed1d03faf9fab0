"""The short form of `python -m tests.soak`: some hundred transfers with faults; nothing grows."""

import subprocess
import sys
from pathlib import Path

from tests.soak.usage import Usage, growth

TRANSFERS, WARM_UP = 240, 80
ROOT = Path(__file__).parents[2]


def test_mb09_f49_memory_files_and_tasks_stay_flat() -> None:
    """In a process of its own: what pytest holds is not measured."""
    command = [sys.executable, "-m", "tests.soak", "--transfers", str(TRANSFERS),
               "--warm-up", str(WARM_UP), "--memory", "24"]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_grows_is_seen() -> None:
    flat = [Usage(100 << 20, 10, 3)] * 5
    assert growth("x", flat, flat, 1 << 20) == []
    busy = [Usage(200 << 20, 50, 9), Usage(100 << 20, 11, 3)]
    assert growth("x", flat, busy, 1 << 20) == []
    leaks = {"memory": Usage(102 << 20, 10, 3), "files": Usage(100 << 20, 13, 3),
             "tasks": Usage(100 << 20, 10, 6)}  # fmt: skip
    for what, leak in leaks.items():
        (words,) = growth("x", flat, [leak] * 3, 1 << 20)
        assert what in words
