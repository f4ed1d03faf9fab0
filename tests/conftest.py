"""What all tests share: repeatable examples, and a home that is nobody's.

`make test` runs the same Hypothesis examples every time; SECURECP_THOROUGH=1 draws new ones,
and more of them.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "repeatable",
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "thorough", settings.get_profile("repeatable"), derandomize=False, max_examples=5_000
)
settings.load_profile("thorough" if os.environ.get("SECURECP_THOROUGH") else "repeatable")


@pytest.fixture(scope="session", autouse=True)
def nobodys_home() -> Iterator[Path]:
    """Neither the tests nor the programs they start see the keys of the person who runs them."""
    patch = pytest.MonkeyPatch()
    with tempfile.TemporaryDirectory(prefix="securecp-home-") as home:
        for name in list(os.environ):
            if name.startswith(("XDG_", "SECURECP_")) and name != "SECURECP_THOROUGH":
                patch.delenv(name)
        patch.setenv("HOME", home)
        patch.setenv("COLUMNS", "100")
        patch.setenv("TERM", "dumb")
        yield Path(home)
    patch.undo()
