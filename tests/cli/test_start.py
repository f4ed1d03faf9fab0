"""In which order a command imports: what others wait for comes first, what nobody needs not at all.

A receiver has its port before it reads its key, a caller's HELLOs leave before it looks at files.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.program import COMMAND, PATIENCE, keygen, meet

NOT_FOR_TRANSFERS = {"rich", "tomlkit", "platformdirs", "asyncio", "ssl", "difflib", "traceback"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    keygen(mine)
    meet(mine, "bob", keygen(theirs))
    return mine


def imported(home: Path, *arguments: str) -> list[str]:
    """The modules that a command imports, in the order in which they are ready."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", COMMAND, "--home", str(home), *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    lines = done.stderr.splitlines()
    return [line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")]


def test_a_caller_has_called_before_it_looks_at_files(home: Path) -> None:
    silent = ("--at", "127.0.0.1:9", "--timeout", "0.1")
    modules = imported(home, "send", str(home / "contacts.toml"), "--to", "bob", *silent)
    called = modules.index("securecp.net.driver")
    for later in ("securecp.disk.tree", "securecp.sending", "securecp.transfer.manifest", "blake3"):
        assert modules.index(later) > called, later
    assert NOT_FOR_TRANSFERS.isdisjoint(modules)


def test_a_receiver_has_its_port_before_it_reads_its_key(home: Path) -> None:
    modules = imported(home, "receive", "--listen", "127.0.0.1:0", "--from", "nobody")
    bound = modules.index("securecp.net.bind")
    for later in ("keys.identity", "keys.contacts", "cryptography.exceptions"):
        assert modules.index(later) > bound, later
