"""A port of ours on the router by UPnP-IGD, in a thread of its own, if `miniupnpc` is installed.

It is slow (about a second to find the router) and the library blocks, so the thread runs beside the
rest, rings when there is news, and holds the program's end up for half a second at most. Should the
router not answer by then, the mapping ends with its lease of 600 s; therefore routers that know no
lease, only mappings for ever, are not asked for one.

Whoever sits in our network can pretend to be the router, and gains that a peer's probes go nowhere.
"""

import contextlib
import importlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from typing import Any, Final

from securecp.endpoint import Endpoint
from securecp.nat.portmap import LIFETIME, Event, Mapped, Unmapped

DISCOVER_MS: Final = 300
GOODBYE: Final = 0.5
"""Seconds that the end of the program may take for giving the port back."""
TRIES: Final = 4
"""External ports that are asked for: the same as ours, then any."""


class Upnp:
    """One UDP port of ours; what comes of it is in `events`, after `ring` has been called."""

    def __init__(
        self, port: int, ring: Callable[[], None], entropy: Callable[[int], bytes]
    ) -> None:
        """`ring` and `entropy` are called by the thread."""
        self._port = port
        self._ring = ring
        self._entropy = entropy
        self._news: deque[Event] = deque()
        self._end = threading.Event()
        self._busy = threading.Event()
        """The router has, or is about to have, something of ours."""
        self._thread = threading.Thread(target=self._run, name="upnp", daemon=True)
        self._thread.start()

    def events(self) -> list[Event]:
        """What has changed since the last call."""
        return [self._news.popleft() for _ in range(len(self._news))]

    @property
    def done(self) -> bool:
        """Whether the thread has ended: no library, no router, refused, or closed."""
        return not self._thread.is_alive()

    def close(self) -> None:
        """Give the port back; returns within half a second, whether the router has it or not."""
        self._end.set()
        if self._busy.is_set():
            self._thread.join(GOODBYE)

    # What follows runs in the thread.

    def _run(self) -> None:
        # A router can make the library raise whatever it likes; a transfer does without mapping.
        with contextlib.suppress(Exception):
            router = _find()
            if router is not None:
                self._busy.set()
                self._keep(router)

    def _keep(self, router: Any) -> None:
        """Map, renew at half the lease, and unmap at the end."""
        external, mapped = 0, None
        try:
            while not self._end.is_set():
                external, before = self._map(router, external), mapped
                mapped = _outside(router, external) if external else None
                self._tell(before, mapped)
                if mapped is None:
                    break
                self._end.wait(LIFETIME / 2)
        finally:
            if external:
                router.deleteportmapping(external, "UDP")

    def _map(self, router: Any, external: int) -> int:
        """The external port that the router grants; 0 if none."""
        for port in [external] if external else self._wishes():
            with contextlib.suppress(Exception):
                # An empty remote host: from everywhere.
                if router.addportmapping(
                    port, "UDP", router.lanaddr, self._port, "securecp", "", LIFETIME
                ):
                    return port
        return 0

    def _wishes(self) -> Iterator[int]:
        yield self._port
        for _ in range(TRIES - 1):
            yield 0x4000 + int.from_bytes(self._entropy(2)) % 0xC000

    def _tell(self, before: Mapped | None, after: Mapped | None) -> None:
        if before == after:
            return
        self._news += [Unmapped(before.endpoint)] if before else []
        self._news += [after] if after else []
        self._ring()


def _find() -> Any:
    """The router, or None."""
    try:
        library = importlib.import_module("miniupnpc")
    except ImportError:
        return None
    router = library.UPnP()
    router.discoverdelay = DISCOVER_MS
    if not router.discover():
        return None
    router.selectigd()
    return router


def _outside(router: Any, port: int) -> Mapped | None:
    """Where the mapping is reached; a router that does not know its own address is of no use."""
    address = IPv4Address(router.externalipaddress())
    if address.is_unspecified or address.is_loopback or address.is_multicast:
        return None
    return Mapped(Endpoint(str(address), port), float(LIFETIME))
