"""Asks the router next to us for a port of its own, by PCP or NAT-PMP, and keeps it.

    t = 0      PCP: map         NAT-PMP: address, which costs nothing and tells whether it is spoken
    answered   PCP: mapped.     NAT-PMP, unless PCP answers within 50 ms: map, then mapped
    silence    again after 250 ms and 500 ms; 1 s later there is no such router

A mapping is asked for 600 s and renewed at half its life. If the router falls silent we ask on, as
RFC 6887 §11.2.1 says, at half of what is left; at the end of its life it is gone. `close` gives it
back. A port mapped makes any NAT an easy one, so that this pays most where nothing else helps.

The external address may be private, or a carrier's (100.64.0.0/10): a peer behind the same carrier
can reach us there. It is a candidate like others; whether it works, probes will tell.

Only the router itself can answer, from the port we asked. PCP is preferred: its nonce makes forged
answers and foreign removals hard. NAT-PMP has no such thing; whoever sits in our network can forge
its answers, and gains that probes of a peer go nowhere.
"""

from collections.abc import Callable
from ipaddress import ip_address
from math import inf
from typing import Final, Literal, NamedTuple

from securecp.endpoint import Endpoint
from securecp.errors import ProtocolError
from securecp.nat import natpmp, pcp

PORT: Final = 5351
LIFETIME: Final = 600
WAITS: Final = (0.25, 0.5, 1.0)
"""Seconds from each request to the next; after the last one it is given up."""
HEAD_START: Final = 0.05
"""Seconds that PCP has for its answer once NAT-PMP has been heard."""
RENEW_FLOOR: Final = 4.0
LONGEST_LIFE: Final = 3_600
"""Renewed at half of this at the latest, whatever life is granted."""


class Mapped(NamedTuple):
    """Datagrams to `endpoint` come to our port for `lifetime` seconds; it is renewed by itself."""

    endpoint: Endpoint
    lifetime: float


class Unmapped(NamedTuple):
    """The mapping is gone."""

    endpoint: Endpoint


class Refused(NamedTuple):
    """There is a router that speaks with us and does not want to; `result` is its reason."""

    protocol: str
    result: int


Event = Mapped | Unmapped | Refused


class PortMapper:
    """One UDP port of ours on one router; `entropy(n)` gives n random bytes."""

    def __init__(
        self,
        now: float,
        gateway: str,
        address: str,
        port: int,
        entropy: Callable[[int], bytes],
    ) -> None:
        """`address` is ours on the way to the gateway, `port` the one to be reached."""
        self._entropy = entropy
        self._port = port
        self._events: list[Event] = []
        self._outbox: list[bytes] = []
        self.mapping: Mapped | None = None
        """What stands now."""
        self.closed = False
        self._expires = self._renew_at = inf
        self._begin(now, gateway, address)

    def _begin(self, now: float, gateway: str, address: str) -> None:
        self._router = Endpoint(str(ip_address(gateway)), PORT)
        self._address = address
        self._nonce = self._entropy(pcp.NONCE)
        self._pcp = True
        """PCP may still answer."""
        self._natpmp = ":" not in address
        """The same of NAT-PMP, which knows IPv4 alone."""
        self._outside = ""
        """The router's address outside, as NAT-PMP tells it."""
        self._refusal: Refused | None = None
        self._map_at = inf
        """When NAT-PMP asks for the port, after PCP's head start."""
        self._ask(now)

    def restart(self, now: float, gateway: str, address: str) -> None:
        """The network has changed: what was mapped is somewhere else."""
        self._lose()
        self._outbox.clear()
        self.closed = False
        self._begin(now, gateway, address)

    def _ask(self, now: float) -> None:
        self._tries = 0
        self._next_at = now

    # In and out

    def transmit(self, now: float) -> tuple[Endpoint, bytes] | None:
        """The next request to the router; None if nothing is due."""
        self._advance(now)
        return (self._router, self._outbox.pop(0)) if self._outbox else None

    def receive(self, now: float, endpoint: Endpoint, datagram: bytes | memoryview) -> bool:
        """Whether this is an answer to a request of ours; all else changes nothing."""
        if endpoint[:2] != self._router[:2] or self.closed or not datagram:
            return False
        try:
            if datagram[0] == natpmp.VERSION:
                return self._natpmp_answer(now, natpmp.parse(datagram))
            return self._pcp_answer(now, pcp.parse(datagram))
        except ProtocolError:
            return False

    def _pcp_answer(self, now: float, answer: pcp.Mapping | pcp.Refusal) -> bool:
        if not self._pcp or self._next_at == inf:
            return False
        if isinstance(answer, pcp.Refusal):
            self._pcp = False
            self._refused(now, Refused("PCP", answer.result))
            return True
        if answer.nonce != self._nonce or answer.internal != self._port:
            return False
        if not self._usable(answer.address, answer.external, answer.lifetime):
            return False
        self._natpmp = False
        self._stand(now, answer.address, answer.external, answer.lifetime)
        return True

    def _natpmp_answer(
        self, now: float, answer: natpmp.Address | natpmp.Mapping | natpmp.Refusal
    ) -> bool:
        if not self._natpmp or self._next_at == inf:
            return False
        if isinstance(answer, natpmp.Refusal):
            # A router that speaks NAT-PMP alone refuses the version of our PCP request with it.
            if self._pcp and answer.result == natpmp.UNSUPPORTED_VERSION:
                self._pcp = False
                self._map_at = min(self._map_at, now) if self._outside else inf
            else:
                self._natpmp = False
                self._refused(now, Refused("NAT-PMP", answer.result))
            return True
        if isinstance(answer, natpmp.Address):
            if not self._usable(answer.address, 1, 1):
                return False
            self._outside = answer.address
            self._map_at = now + (HEAD_START if self._pcp else 0)
            return True
        if answer.internal != self._port or not self._outside:
            return False
        if not self._usable(self._outside, answer.external, answer.lifetime):
            return False
        self._pcp = False
        self._stand(now, self._outside, answer.external, answer.lifetime)
        return True

    @property
    def protocol(self) -> Literal["PCP", "NAT-PMP"]:
        """By which the mapping stands, if there is one."""
        return "PCP" if self._pcp else "NAT-PMP"

    @staticmethod
    def _usable(address: str, port: int, lifetime: int) -> bool:
        given = ip_address(address)
        nowhere = given.is_unspecified or given.is_multicast or given.is_loopback
        return not nowhere and port > 0 and lifetime > 0

    # What follows from it

    def _stand(self, now: float, address: str, port: int, lifetime: int) -> None:
        mapped = Mapped(Endpoint(address, port), float(lifetime))
        if self.mapping is None or self.mapping.endpoint != mapped.endpoint:
            self._lose()
            self._events.append(mapped)
        self.mapping = mapped
        self._expires = now + lifetime
        self._map_at = self._next_at = inf
        self._renew_at = now + min(lifetime, LONGEST_LIFE) / 2

    def _refused(self, now: float, refusal: Refused) -> None:
        """The other protocol may still do; if not, this is the end of it."""
        self._refusal = refusal
        if not (self._pcp or self._natpmp):
            self._give_up(now)
        elif self._outside:
            self._map_at = min(self._map_at, now)

    def _give_up(self, now: float) -> None:
        """No answer, or no for an answer: try again while a mapping lives, else be silent."""
        self._next_at = self._map_at = inf
        if self.mapping is None:
            self._events += [self._refusal] if self._refusal else []
        elif self._pcp or self._natpmp:
            self._renew_at = now + max((self._expires - now) / 2, RENEW_FLOOR)

    def _lose(self) -> None:
        if self.mapping is not None:
            self._events.append(Unmapped(self.mapping.endpoint))
        self.mapping = None
        self._expires = self._renew_at = inf

    # Time

    def _advance(self, now: float) -> None:
        """Put into the outbox what is due."""
        if self.closed:
            return
        if now >= self._expires:
            self._lose()
        if now >= self._renew_at:
            self._renew_at = inf
            self._outside = ""  # it may have changed, so NAT-PMP begins with it again
            self._ask(now)
        if now >= self._map_at:
            self._map_at = inf
            self._outbox.append(self._natpmp_request(LIFETIME))
        if now >= self._next_at:
            self._send(now)

    def _send(self, now: float) -> None:
        if self._tries == len(WAITS):
            self._give_up(now)
            return
        if self._pcp:
            self._outbox.append(self._pcp_request(LIFETIME))
        if self._natpmp:
            self._outbox.append(natpmp.ADDRESS_REQUEST)
            if self._outside and not self._pcp:
                self._map_at = inf
                self._outbox.append(self._natpmp_request(LIFETIME))
        self._next_at = now + WAITS[self._tries]
        self._tries += 1

    def _pcp_request(self, lifetime: int) -> bytes:
        wish = self.mapping.endpoint if self.mapping and lifetime else Endpoint("", self._port)
        return pcp.encode_map(
            self._nonce,
            self._address,
            self._port,
            lifetime,
            external=wish.port if lifetime else 0,
            wished=wish.address,
        )

    def _natpmp_request(self, lifetime: int) -> bytes:
        wish = self.mapping.endpoint.port if self.mapping else self._port
        return natpmp.encode_map(self._port, wish if lifetime else 0, lifetime)

    def wake(self, now: float) -> None:
        """Do what is due; `transmit` then has it."""
        self._advance(now)

    def deadline(self) -> float | None:
        """When `wake` or `transmit` has something to do; None if never."""
        earliest = min(self._next_at, self._map_at, self._renew_at, self._expires)
        return None if earliest == inf or self.closed else earliest

    def events(self) -> list[Event]:
        """What has changed since the last call."""
        events, self._events = self._events, []
        return events

    @property
    def done(self) -> bool:
        """Whether nothing is being asked for at the moment."""
        return self._next_at == self._map_at == inf

    def close(self) -> None:
        """Give the port back: a last datagram comes out of `transmit`; no answer is awaited."""
        if self.closed:
            return
        self._outbox.clear()
        # What has been asked and not answered may be granted by now.
        if self._pcp and (self.mapping or not self.done):
            self._outbox.append(self._pcp_request(0))
        if self._natpmp and (self.mapping or self._outside):
            self._outbox.append(self._natpmp_request(0))
        self.closed = True
        self.mapping = None
