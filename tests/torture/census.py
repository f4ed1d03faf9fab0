"""Every moment of a transfer before a call that changes something, found by counting them once."""

from collections.abc import Iterable, Iterator

from tests.torture import straces
from tests.torture.base import Base
from tests.torture.plan import Plan

SCENES = ("few/new/rename", "few/old/overwrite", "few/old/skip")
"""Trees, destinations, policies; small, since each call there is costs a ride."""


def census(base: Base, scenes: Iterable[Plan]) -> Iterator[Plan]:
    """A plan for each such call of either side, and for two beyond the last."""
    for scene in scenes:
        ride = base.open(scene)
        try:
            ride.count_calls()
        finally:
            ride.destroy()
        for side in ride.sides:
            found = straces.counts(ride.notes / f"{side.role}.strace")
            yield from straces.every_call(side.role, scene, found)
