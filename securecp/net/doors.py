"""All doors of a station by number: UDP sockets, circuits through a server, the LAN's groups.

What comes in bears the number of its door in its endpoint (`via`), what goes out leaves by the door
of its endpoint. Whoever has no other door than one socket pays nothing for it: reading tries that
socket at once. With several, those are read that are known to have something, in turn, so that a
flood at one does not shut the others.

A burst for a door that is gone is a loss. So is one for a door that stays full while there are
others: an interface that waits for a neighbour can be full for seconds.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from securecp.endpoint import Burst, Endpoint
from securecp.net.probesocket import MOST, SPARE, Buffers, ProbeSocket
from securecp.net.readiness import Readiness
from securecp.net.udp import KEPT, UdpSocket

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

FULL_LIMIT = 0.1
"""Seconds that one full door holds up the others."""


class Door(Protocol):
    """A way in and out."""

    via: int

    def send(self, burst: Burst) -> Burst | None:
        """What is left of it, to be tried again; None if it has left or is lost."""

    def receive(self) -> Burst | None:
        """What has come, or None."""

    def filenos(self) -> list[int]:
        """Files to watch for reading; none if somebody rings the bell instead."""

    def close(self) -> None:
        """It is not used any more."""


class Doors:
    """Doors 0 and 1 are the main sockets of IPv4 and IPv6; the others come and go."""

    def __init__(self, *mains: UdpSocket, clock: Callable[[], float] = time.monotonic) -> None:
        self.lost = 0
        """Bursts for doors that were gone or full for long."""
        self._clock = clock
        self._doors: dict[int, Door] = {}
        self._readiness = Readiness()
        self._ready: deque[Door] = deque()
        self._rung: list[Door] = []
        """Those without files."""
        self._watched = 0
        self._small = 0
        self._buffers = Buffers()
        self._full_since: dict[int, float] = {}
        for main in mains:
            self.add(1 if main.v6 else 0, main)

    def __contains__(self, via: int) -> bool:
        return via in self._doors

    def __len__(self) -> int:
        return len(self._doors)

    # which doors there are

    def add(self, via: int, door: Door) -> None:
        """Open a door; a number is given once."""
        if via in self._doors:
            raise ValueError(f"there is a door {via} already")
        door.via = via
        self._doors[via] = door
        crowd = isinstance(door, ProbeSocket)
        self._small += crowd
        files = door.filenos()
        for file in files:
            self._readiness.add(file, door, gathers=True, crowd=crowd)
        if not files:
            self._rung.append(door)

    def remove(self, *vias: int) -> None:
        """Close these doors, if they are there."""
        for via in vias:
            if (door := self._take(via)) is not None:
                door.close()

    def open_udp(self, via: int, like: int = 0) -> bool:
        """One more full socket on the addresses of door `like`; False if there is none to have."""
        at = self._anew(like)
        try:
            door = UdpSocket(at) if at is not None else None
        except OSError:
            return False
        if door is not None:
            self.add(via, door)
        return door is not None

    def open_probe_sockets(self, vias: Iterable[int], like: int = 0) -> list[int]:
        """Small sockets on the addresses of door `like`: those of them that were to be had."""
        at = self._anew(like)
        opened: list[int] = []
        for via in vias:
            if at is None or self._small >= MOST:
                break
            try:
                self.add(via, ProbeSocket(at, self._buffers))
            except OSError:  # no file is left: some are needed for better things
                self.remove(*opened[-SPARE:])
                return opened[:-SPARE]
            opened.append(via)
        return opened

    def promote(self, via: int) -> bool:
        """Make a full socket of a small one, with the same port; False if there is none."""
        if not isinstance(self._doors.get(via), ProbeSocket):
            return False
        small = self._take(via)
        assert isinstance(small, ProbeSocket)
        self.add(via, UdpSocket(small.endpoint, adopted=small.release()))
        return True

    def endpoint(self, via: int) -> Endpoint | None:
        """Where a socket is bound."""
        door = self._doors.get(via)
        if not isinstance(door, (UdpSocket, ProbeSocket)):
            return None
        return door.endpoint._replace(via=via)

    def main(self, via: int) -> UdpSocket | None:
        """The full socket that a door is."""
        door = self._doors.get(via)
        return door if isinstance(door, UdpSocket) else None

    def watch(self, file: int, callback: Callable[[], None]) -> None:
        """Call back in the loop's turn when there is something to read, which is then read."""
        self._readiness.add(file, callback)
        self._watched += 1

    def unwatch(self, file: int) -> None:
        """Before the file is closed."""
        self._readiness.remove(file)
        self._watched -= 1

    def close(self) -> None:
        """Close every door."""
        self.remove(*self._doors)
        self._readiness.close()

    def _anew(self, like: int) -> Endpoint | None:
        at = self.endpoint(like)
        return at._replace(port=0) if at is not None else None

    def _take(self, via: int) -> Door | None:
        """Out of everything, but open."""
        door = self._doors.pop(via, None)
        if door is None:
            return None
        files = door.filenos()
        for file in files:
            self._readiness.remove(file)
        if not files:
            self._rung.remove(door)
        self._small -= isinstance(door, ProbeSocket)
        self._full_since.pop(via, None)
        self._ready.clear()  # what is there is found again
        return door

    # what goes through them

    def read(self) -> list[Burst]:
        """A few bursts to be dealt with as one, each valid until the fourth read from here."""
        ready = self._ready
        if not ready:
            self._look()
        bursts: list[Burst] = []
        while ready and len(bursts) < KEPT:
            burst = ready[0].receive()
            if burst is None:
                ready.popleft()
            else:
                bursts.append(burst)
        ready.rotate(-1)
        return bursts

    def send(self, burst: Burst) -> Burst | None:
        """Send it; what is left if its door is full: to be tried again after `wait`."""
        via = burst.endpoint.via
        door = self._doors.get(via)
        if door is None:
            self.lost += 1
            return None
        left = door.send(burst)
        if left is not None:
            return self._kept(via, left)
        if self._full_since:
            self._full_since.pop(via, None)
        return None

    def shoot(self, endpoint: Endpoint, data: "Buffer", ttl: int | None = None) -> None:
        """One datagram, now or not at all; it goes `ttl` hops far at most, if that is given."""
        door = self._doors.get(endpoint.via)
        if isinstance(door, (UdpSocket, ProbeSocket)):
            door.shoot(endpoint, data, ttl)
        elif door is not None:
            door.send(Burst(endpoint, memoryview(data), max(len(memoryview(data)), 1)))

    def wait(self, timeout: float, unsent: Burst | None = None, *, patient: bool = False) -> None:
        """Until something comes, the door of `unsent` takes more, or the time is over.

        With `patient`, datagrams may gather: only what is watched besides ends the wait.
        """
        writer = None
        if unsent is not None:
            door = self._doors.get(unsent.endpoint.via)
            writer = next(iter(door.filenos()), None) if door is not None else None
            if len(self._doors) > 1:
                timeout = min(timeout, FULL_LIMIT)
        self._note(self._readiness.wait(timeout, writer, hasty=patient))

    def _look(self) -> None:
        """Find out who has something, without waiting."""
        if len(self._doors) == 1 and self._watched <= 1 and not self._rung:
            self._ready.extend(self._doors.values())  # reading tells as soon as asking
        else:
            self._note(self._readiness.wait(0))

    def _note(self, found: list["Door | Callable[[], None]"]) -> None:
        self._ready.clear()
        for what in found:
            if callable(what):
                what()
            else:
                self._ready.append(what)
        self._ready.extend(self._rung)

    def _kept(self, via: int, left: Burst) -> Burst | None:
        if len(self._doors) == 1:
            return left
        now = self._clock()
        if now - self._full_since.setdefault(via, now) < FULL_LIMIT:
            return left
        self.lost += 1
        return None
