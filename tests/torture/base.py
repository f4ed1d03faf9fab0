"""What rides share, and what they come to."""

import shutil
import threading
import time
from pathlib import Path
from typing import NamedTuple

from tests.torture import homes, trees
from tests.torture.debt import Point
from tests.torture.nursery import Nursery
from tests.torture.plan import Plan
from tests.torture.ride import Ride


class Outcome(NamedTuple):
    """What a ride came to."""

    plan: Plan
    points: list[Point]
    seconds: float
    peak: int
    failure: str
    """Which invariant is broken and how; empty if all hold."""


class Base:
    """What rides share: trees, and two people to copy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._people = homes.make(folder / "people")
        self._made: dict[str, Path] = {}
        self._lock = threading.Lock()
        self._nursery = Nursery()

    def close(self) -> None:
        """End what has been started."""
        self._nursery.close()

    def tree(self, kind: str) -> Path:
        """The top of a tree of this kind; nobody changes it."""
        with self._lock:
            if kind not in self._made:
                self._made[kind] = trees.make(kind, self.folder / "trees" / kind)
            return self._made[kind]

    def open(self, plan: Plan) -> Ride:
        """A ride with people and a folder of its own, not yet begun."""
        with self._lock:
            folder = Path(self.folder, f"ride-{time.monotonic_ns()}")
        folder.mkdir()
        people = homes.copy(self._people, folder)
        return Ride(plan, self.tree(plan.tree), people, folder, self._nursery)

    def ride(self, plan: Plan) -> Outcome:
        """Carry it out; never raises for what the programs did."""
        ride = self.open(plan)
        began = time.monotonic()
        failure = ""
        try:
            ride.run()
        except AssertionError as error:
            others = (side.story(6) for side in ride.sides if side.story() not in str(error))
            failure = "\n".join((str(error), "beside it:", *others))
        finally:
            ride.destroy()
        if not failure:
            shutil.rmtree(ride.folder)
        return Outcome(plan, ride.points, time.monotonic() - began, ride.peak, failure)
