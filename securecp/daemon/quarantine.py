"""Offers that fail again and again for the same reason rest for an hour (MB-07).

A contact's program that tries for ever what cannot work would keep our disk and log busy. Pure;
failures that time can mend (a broken connection, a full disk) do not count.
"""

from collections import OrderedDict
from typing import NamedTuple

TRIES = 3
REST = 3_600.0
MOST = 1_024
"""Offers that are remembered; the oldest are forgotten."""


class _Trouble(NamedTuple):
    reason: str
    times: int
    at: float


class Resting(NamedTuple):
    """An offer that is declined for now."""

    peer: bytes
    manifest: bytes
    reason: str
    left: float


class Quarantine:
    """Offers by peer and manifest digest."""

    def __init__(self) -> None:
        self._troubles: OrderedDict[tuple[bytes, bytes], _Trouble] = OrderedDict()

    def failed(self, peer: bytes, manifest: bytes, reason: str, now: float) -> bool:
        """It failed; True if it rests from now on."""
        before = self._troubles.pop((peer, manifest), None)
        same = before is not None and before.reason == reason and now - before.at < REST
        times = before.times + 1 if same and before is not None else 1
        self._troubles[peer, manifest] = _Trouble(reason, times, now)
        if len(self._troubles) > MOST:
            self._troubles.popitem(last=False)
        return times >= TRIES

    def succeeded(self, peer: bytes, manifest: bytes) -> None:
        """It has worked."""
        self._troubles.pop((peer, manifest), None)

    def resting(self, peer: bytes, manifest: bytes, now: float) -> Resting | None:
        """Whether this offer is declined now; after the rest it has all its tries again."""
        trouble = self._troubles.get((peer, manifest))
        if trouble is None or trouble.times < TRIES:
            return None
        left = trouble.at + REST - now
        if left <= 0:
            del self._troubles[peer, manifest]
            return None
        return Resting(peer, manifest, trouble.reason, left)

    def all_resting(self, now: float) -> list[Resting]:
        """Every offer that is declined now."""
        found = (self.resting(peer, manifest, now) for peer, manifest in list(self._troubles))
        return [one for one in found if one is not None]
