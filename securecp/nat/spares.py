"""Doors that one meeting opens besides the main ones, and closes when they lead nowhere (§12.7).

fresh    one of each family, for a round in which the main ones are spoiled
fan      256 small ones, behind a hard NAT
"""

from collections.abc import Collection

from securecp.nat.actions import OpenDoors
from securecp.nat.guessing import FAN
from securecp.nat.situation import Doors
from securecp.nat.surroundings import Surroundings


class Spares:
    """Those of one meeting."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.fresh: Doors | None = None
        self.fan: tuple[int, ...] = ()
        self._surroundings = surroundings
        self._vias: set[int] = set()

    def __len__(self) -> int:
        return len(self._vias)

    def renew(self, now: float) -> None:
        """Open fresh doors."""
        self.fresh = self._surroundings.fresh(now)
        self._vias.update(self.fresh.values())

    def spread(self) -> tuple[int, ...]:
        """Open a fan."""
        self.fan = self._surroundings.draw(FAN)
        self._vias.update(self.fan)
        self._surroundings.actions.append(OpenDoors(self.fan, ipv6=False, small=True))
        return self.fan

    def trim(self, used: Collection[int] = (), *, fresh: bool = False) -> None:
        """Close the fan and, but for `fresh`, fresh doors too; those that are used stay open."""
        kept = set(used)
        if fresh and self.fresh is not None:
            kept.update(self.fresh.values())
        if not fresh:
            self.fresh = None
        self.fan = ()
        self._surroundings.close(sorted(self._vias - kept))
        self._vias &= kept
