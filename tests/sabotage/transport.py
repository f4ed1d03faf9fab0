"""Edits to what the transport believes of an authenticated peer, and of anybody else."""

from tests.sabotage.edit import Edit

REPLAY = "tests/transport/test_replay.py"

EDITS = (
    Edit(
        "a counter below the replay window counts as new",
        "securecp/transport/replay.py",
        "return counter < self._next - self._size or self._ring",
        "return self._ring",
        (REPLAY,),
    ),
    Edit(
        "a run below the replay window counts as new",
        "securecp/transport/replay.py",
        "if first < self._next - self._size:\n            return False",
        "if first < self._next - self._size:\n            return True",
        (REPLAY,),
    ),
    Edit(
        "a run in which a counter was seen counts as new",
        "securecp/transport/replay.py",
        "if self._ring.find(1, begin, end) >= 0:",
        "if self._ring.find(1, begin, begin + 1) >= 0:",
        (REPLAY,),
    ),
    Edit(
        "a run that wraps round the replay ring counts as new",
        "securecp/transport/replay.py",
        "return end <= self._size or self._ring.find(1, 0, end - self._size) < 0",
        "return True",
        (REPLAY,),
    ),
    Edit(
        "a range set has no cap",
        "securecp/transport/ranges.py",
        "if self.cap is not None and len(self._starts) >= self.cap:",
        "if self.cap is not None and len(self._starts) < 0:",
        ("tests/transport/test_ranges.py",),
    ),
)
