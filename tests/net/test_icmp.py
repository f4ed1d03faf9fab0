"""Forged ICMP by raw sockets, in a network namespace that the test makes for itself (DG-16)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def namespace() -> list[str]:
    """The command that runs another in a namespace of its own."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        pytest.skip("forged ICMP is not tested: there is no unshare or no ip")
    for command in (["unshare", "-n"], ["unshare", "-rn"]):
        probe = [*command, "ip", "link", "set", "lo", "up"]
        if not subprocess.run(probe, capture_output=True, check=False).returncode:
            return command
    pytest.skip("forged ICMP is not tested: no right to make a network namespace")


def test_dg16_forged_icmp_disturbs_nothing() -> None:
    child = subprocess.run(
        [*namespace(), sys.executable, "-m", "tests.net.icmp_child"],
        cwd=ROOT,
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (child.stdout, child.stderr) == ("ok\n", "")
