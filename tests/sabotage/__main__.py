"""`make sabotage`: apply each edit to a copy of the sources; the tests that it names must fail.

First the same tests must pass on the copy as it is. A test that hangs or a file that no longer
imports does not count as noticed. ARGS="word …" takes only the edits with such a word in their name
or path.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from queue import SimpleQueue

from tests.sabotage.edit import Edit, EditError, apply, edits

ROOT = Path(__file__).parent.parent.parent
SOURCES = ("docs", "keys", "securecp", "tests")
WORKERS = 2
PATIENCE = 180.0
TESTS_FAILED = 1
"""pytest's exit code; 2 and more mean that it could not run them."""

_times = count(1)


def main(words: list[str]) -> int:
    chosen = [
        e for e in edits() if not words or any(word in f"{e.name} {e.path}" for word in words)
    ]
    with tempfile.TemporaryDirectory(prefix="securecp-sabotage-") as name:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(WORKERS):
            copies.put(copy(Path(name) / str(number)))
        if fault := unspoilt(chosen, copies):
            print(fault)
            return 1
        with ThreadPoolExecutor(WORKERS) as pool:
            verdicts = list(pool.map(lambda edit: judge(edit, copies), chosen))
    killed = sum(not verdict for verdict in verdicts)
    print(f"{killed} of {len(chosen)} killed")
    return int(killed < len(chosen))


def copy(top: Path) -> Path:
    """A copy of the sources and tests, which pytest prefers to what is installed."""
    for name in SOURCES:
        shutil.copytree(ROOT / name, top / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", top)
    return top


def unspoilt(chosen: list[Edit], copies: SimpleQueue[Path]) -> str:
    """Run every named test without any edit; the reason if they do not all pass."""
    top = copies.get()
    code, output = pytest(top, sorted({test for edit in chosen for test in edit.tests}))
    copies.put(top)
    return f"red without any edit:\n{output}" if code else ""


def judge(edit: Edit, copies: SimpleQueue[Path]) -> str:
    """Why the edit survived, which is printed too; empty if the tests noticed."""
    top = copies.get()
    path = top / edit.path
    source = path.read_text()
    try:
        write(path, apply(edit, source))
        code, output = pytest(top, list(edit.tests))
        verdict = "" if code == TESTS_FAILED else explain(code, output)
    except EditError as error:
        verdict = str(error)
    finally:
        write(path, source)
        copies.put(top)
    print(f"{'SURVIVED' if verdict else 'killed  '}  {edit.path}: {edit.name}", flush=True)
    if verdict:
        print(f"          {verdict}", flush=True)
    return verdict


def write(path: Path, source: str) -> None:
    """Write with a time of its own, so that no stale bytecode is taken for it."""
    path.write_text(source)
    os.utime(path, (next(_times), next(_times)))


def explain(code: int, output: str) -> str:
    if code == 0:
        return "every test still passes"
    if code < 0:
        return "the tests never ended"
    return f"pytest ended with {code}: {output[-600:]}"


def pytest(top: Path, tests: list[str]) -> tuple[int, str]:
    """Run these tests of the copy; its exit code (-1: given up) and what it said."""
    command = [sys.executable, "-m", "pytest", "-x", "--tb=line", *tests]
    environment = dict(os.environ, PYTHONPATH=str(top))
    try:
        done = subprocess.run(
            command,
            cwd=top,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return -1, ""
    return done.returncode, done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
