"""When handshakes cost too much: who must show a cookie, and how often an address may then try.

Counts only; what is done about it is in `exchange.py`. All time is an argument. A leaky bucket of
HELLO-A datagrams with a right mac1 says whether there is load; while there is, each network may
have a few handshakes a second computed. Its table holds only those who have shown a cookie, so that
spoofed addresses cannot fill it, and it is emptied every second.
"""

import ipaddress

from securecp.endpoint import Endpoint

# SPEC §4.8
HELLOS_PER_SECOND = 100
"""Above this, callers must show a cookie; 100 full handshakes cost 5 % of one core."""
TRIES_PER_SECOND = 20
"""HELLOs of one network that are computed per second under load."""
NETWORKS = 1024
"""Networks remembered within one second."""


def network(endpoint: Endpoint) -> str:
    """What limits count by: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        address = ipaddress.ip_address(endpoint.address)
    except ValueError:
        return endpoint.address
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(address) >> 64 << 64))


class Load:
    """How many calls come in."""

    def __init__(self) -> None:
        self._level = 0.0
        self._measured_at = 0.0
        self._tries: dict[str, int] = {}
        self._second = 0

    def count(self, now: float) -> None:
        """A HELLO-A with a right mac1 has come."""
        # Twice the threshold is as high as it gets: a flood's end is noticed within a second.
        self._level = min(self._drained(now) + 1.0, 2.0 * HELLOS_PER_SECOND)
        self._measured_at = now

    def high(self, now: float) -> bool:
        """Whether a cookie is asked of everyone."""
        return self._drained(now) > HELLOS_PER_SECOND

    def may_try(self, now: float, where: str) -> bool:
        """Whether one more handshake of the network `where` may be computed; counts it."""
        if int(now) != self._second:
            self._second = int(now)
            self._tries.clear()
        tries = self._tries.get(where, 0)
        if tries >= TRIES_PER_SECOND or (tries == 0 and len(self._tries) >= NETWORKS):
            return False
        self._tries[where] = tries + 1
        return True

    def _drained(self, now: float) -> float:
        elapsed = max(0.0, now - self._measured_at)
        return max(0.0, self._level - elapsed * HELLOS_PER_SECOND)
