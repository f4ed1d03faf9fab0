"""Alice and Bob, who know each other, made once and copied for each ride."""

import shutil
from pathlib import Path

from tests.cli.program import call, keygen, meet


def make(folder: Path) -> Path:
    """Two homes below `folder`, which say nothing to the network of this machine."""
    keys = {name: keygen(folder / name) for name in ("alice", "bob")}
    meet(folder / "alice", "bob", keys["bob"])
    meet(folder / "bob", "alice", keys["alice"])
    done = call("contacts", "set", "alice", "--accept", "always", home=folder / "bob")
    assert done.returncode == 0, done.stderr
    return folder


def copy(template: Path, folder: Path) -> Path:
    """The same two, with a state of their own."""
    for name in ("alice", "bob"):
        shutil.copytree(template / name, folder / name)
    return folder
