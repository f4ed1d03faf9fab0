"""F-35: every pair of homes connects, and directly wherever that can be; once each, with real NATs.

`make lab` does the same twenty times and prints what it took.
"""

import pytest

from tests.lab.matrix import CELLS, Cell
from tests.lab.namespaces import requirements
from tests.lab.needs import needs_lab
from tests.lab.pairs import Options, attempt


@needs_lab()
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_f35_these_two_homes_meet(cell: Cell) -> None:
    if lacking := requirements(*cell.tools):
        pytest.skip(f"*** no laboratory for this cell: {lacking} ***")
    outcome = attempt(cell, Options())
    assert outcome.good, f"{outcome.how}\n{outcome.story}"
