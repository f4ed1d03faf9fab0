"""A place to work that need not survive."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.__main__ import memory as where


@pytest.fixture
def memory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=where()) as place:
        yield Path(place)
