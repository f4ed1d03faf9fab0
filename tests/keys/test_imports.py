"""What a command pays for: nothing slow is imported before it is needed."""

import subprocess
import sys

import pytest

SLOW = {"tomlkit", "nacl", "keys.passphrase", "difflib", "tomllib", "socket", "ssl", "asyncio"}


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("keys", set()),
        ("keys.identity", set()),
        ("keys.keyfile", set()),
        ("keys.contacts", {"tomllib"}),
        ("keys.contactsfile", {"tomllib"}),
    ],
)
def test_light_parts_stay_light(module: str, allowed: set[str]) -> None:
    script = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    ).stdout.split()
    assert module in loaded
    assert (SLOW & set(loaded)) <= allowed


def test_the_package_itself_loads_its_errors_and_nothing_else() -> None:
    script = "import sys, keys; print(*[name for name in sys.modules if name.startswith('keys')])"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    ).stdout.split()
    assert sorted(loaded) == ["keys", "keys.errors"]
