"""The rivals' virtual environment: never our own, made when it is first needed."""

import functools
import subprocess
import sys
from pathlib import Path

from tests.lab.usernet import ROOT

PACKAGES = {"aioice": "0.13.0", "iroh": "1.2.0"}
FOLDER = ROOT / ".bench" / "rivals"
PATIENCE = 300.0


@functools.cache
def python() -> tuple[Path | None, str]:
    """The interpreter that can import them all; else why there is none."""
    found = FOLDER / "bin" / "python"
    wanted = [f"{name}=={version}" for name, version in PACKAGES.items()]
    if _has(found):
        return found, ""
    steps = [sys.executable, "-m", "venv", str(FOLDER)], [str(found), "-m", "pip", "-q", "install"]
    for step in (steps[0], [*steps[1], *wanted]):
        try:
            done = subprocess.run(
                step, capture_output=True, text=True, timeout=PATIENCE, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return None, str(error)
        if done.returncode:
            return None, (done.stderr.strip().splitlines() or ["no word"])[-1]
    return (found, "") if _has(found) else (None, "installed, but cannot be imported")


def _has(interpreter: Path) -> bool:
    check = (
        "from importlib.metadata import version; import aioice, iroh; "
        f"raise SystemExit(any(version(k) != v for k, v in {PACKAGES!r}.items()))"
    )
    try:
        done = subprocess.run([str(interpreter), "-c", check], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0
