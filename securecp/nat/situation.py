"""Our own place in the network, as a letter says it: a pure function of what was found out (§12.2).

    easy         one reflexive candidate: where the servers see us, peers reach us
    sequential   the next ports, and no port that was: each is used up with its first peer
    hard         what servers saw, which shows the address and perhaps a block of ports
    unseen       no answer of STUN: the address of our connection to the server, with our own port;
                 it shows whether the peer is in our network, where UDP may pass all the same
    mapped       what a router opened for us on request, also a carrier's or a private address
    host         addresses of our interfaces, IPv6 first

Of host addresses four of each family at most, of all candidates sixteen: a machine with many
networks must not crowd out what matters more.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from securecp.endpoint import Endpoint
from securecp.nat.candidate import MOST_CANDIDATES, Candidate, Kind, is_private
from securecp.nat.envelope import RTT_LIMIT, STEP_LIMIT, View
from securecp.nat.sampling import Nat, NatView, Sample

MOST_HOSTS = 4
"""Of a family."""

Doors = dict[bool, int]
"""The door to probe from, for IPv4 (False) and IPv6 (True)."""


class Situation(NamedTuple):
    """What we know of our own place in the network, and through which doors that holds."""

    view: View
    candidates: tuple[Candidate, ...]
    doors: Doors

    def neighbours(self, theirs: Iterable[Candidate]) -> bool:
        """Whether a peer with these candidates is in our network, so that it may name private ones.

        It is if one public address shows both; and if servers within a private network show both.
        """
        ours = seen(self.candidates)
        others = seen(theirs)
        return bool(ours & others) or all(
            any(is_private(address) for address in side) for side in (ours, others)
        )


def seen(candidates: Iterable[Candidate]) -> set[str]:
    """Addresses at which servers see whose candidates these are."""
    return {one.address for one in candidates if one.kind in {Kind.REFLEXIVE, Kind.PREDICTED}}


class Facts(NamedTuple):
    """What has been found out; the keys of the mappings are doors, or families."""

    doors: Doors
    views: Mapping[int, NatView]
    samples: Mapping[int, Sequence[Sample]]
    addresses: tuple[str, ...] = ()
    """Of our interfaces; they go with `ports`."""
    ports: Mapping[bool, int] = {}
    """Local ports of the main doors, by family."""
    mapped: tuple[Endpoint, ...] = ()
    observed: tuple[str, ...] = ()
    """Addresses at which servers see our connections to them."""
    rtt: float = 0.0
    """To the nearest server, in seconds."""
    silent: bool = False
    """Whether STUN was asked, and has said nothing for as long as we wait for it."""


def describe(facts: Facts) -> Situation:
    """What a letter says."""
    candidates = [Candidate.at(Kind.MAPPED, one.address, one.port) for one in facts.mapped]
    for via in facts.doors.values():  # IPv4 first: IPv6 is seldom seen elsewhere than it is
        candidates += _outside(facts.views[via], facts.samples[via])
    candidates += _unseen(facts)
    candidates += _hosts(facts, ipv6=True) + _hosts(facts, ipv6=False)
    by_endpoint = {one.endpoint: one for one in reversed(candidates)}
    kept = tuple(reversed(by_endpoint.values()))[:MOST_CANDIDATES]
    return Situation(_view(facts, kept), kept, dict(facts.doors))


def _view(facts: Facts, candidates: tuple[Candidate, ...]) -> View:
    via = facts.doors.get(False)
    four = NatView(Nat.UNKNOWN) if via is None else facts.views[via]
    nat = four.nat
    if nat is Nat.UNKNOWN and facts.silent and four.reflexive is None:
        nat = Nat.NO_UDP
    step = max(-STEP_LIMIT, min(STEP_LIMIT, four.step))
    ipv6 = any(":" in one.address for one in candidates)
    return View(nat, step, min(round(facts.rtt * 1000), RTT_LIMIT), ipv6)


def _outside(view: NatView, samples: Sequence[Sample]) -> list[Candidate]:
    """How this door is seen, or will be."""
    if view.nat is Nat.SEQUENTIAL and view.reflexive is not None:
        address = view.reflexive.address
        return [Candidate.at(Kind.PREDICTED, address, port) for port in view.predicted]
    seen = dict.fromkeys((sample.seen.address, sample.seen.port) for sample in samples)
    return [Candidate.at(Kind.REFLEXIVE, address, port) for address, port in list(seen)[:4]]


def _unseen(facts: Facts) -> list[Candidate]:
    """Where we would be seen if our NAT kept the port, of families that no sample shows."""
    shown = {ipv6 for ipv6, via in facts.doors.items() if facts.samples[via]}
    return [
        Candidate.at(Kind.REFLEXIVE, address, facts.ports[ipv6])
        for address in dict.fromkeys(facts.observed)
        if (ipv6 := ":" in address) in facts.ports and ipv6 not in shown
    ]


def _hosts(facts: Facts, *, ipv6: bool) -> list[Candidate]:
    """Addresses of our interfaces."""
    port = facts.ports.get(ipv6)
    if port is None:
        return []
    ours = [address for address in facts.addresses if (":" in address) == ipv6]
    return [Candidate.at(Kind.HOST, address, port) for address in ours[:MOST_HOSTS]]
