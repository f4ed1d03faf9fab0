"""What stands between us and others: found out by the very parts that a transfer uses.

examine    for `securecp doctor`: a station that looks, asks, and with a contact tries to meet
report     from the traversal of any station, such as one whose transfer could not connect
"""

import os
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Literal

from keys.identity import Identity
from securecp.nat import portmap
from securecp.nat.candidate import canonical
from securecp.nat.gather import SILENCE
from securecp.nat.meeting import Meeting
from securecp.nat.report import (
    Attempt,
    Encounter,
    Family,
    Interface,
    Lan,
    PortMapping,
    Report,
    Server,
    Side,
)
from securecp.nat.sampling import Nat
from securecp.nat.serveraddress import ServerAddress
from securecp.net import interfaces, link
from securecp.net.bind import bind_both
from securecp.net.means import Means
from securecp.net.station import Station
from securecp.net.traversal import Traversal
from securecp.reaching import Journey

ROUTER = 1.8
"""Seconds that routers get to open a port."""
SETTLES = 4.0
"""Seconds after the letters for a direct path to stand, before the relay is the answer."""
_UFW = Path("/etc/ufw/ufw.conf")


def examine(
    *,
    servers: tuple[ServerAddress, ...],
    lan: bool,
    port_mapping: bool,
    relay: bool,
    whom: tuple[Identity, str, bytes] | None,
    timeout: float,
    tell: Callable[[str], None],
) -> Report:
    """Look for a few seconds, and with `whom` (we, our name for them, their key) try to meet them.

    `timeout`: seconds for reaching them. SecurecpError if there is not even a socket.
    """
    means = Means(servers, lan, port_mapping, relay)
    identity = whom[0] if whom is not None else Identity.generate(os.urandom)
    with ExitStack() as stack:
        sockets = [stack.enter_context(closing(udp)) for udp in bind_both()]
        station = stack.enter_context(Station(sockets, identity, lambda _: False))
        station.open(lambda _connection, _now: None, lambda *_: None, lambda _: None)
        paths = station.find(means, lambda _: None)
        traversal = station.traversal
        assert traversal is not None
        began = time.monotonic()
        tell("asking servers and router …" if servers else "looking around …")
        journey = None if whom is None else paths.look(began, whom[2])
        station.run(lambda: _looked(traversal, means, time.monotonic() - began))
        if whom is None or journey is None:
            return report(traversal, means)
        tell(f"trying to meet {whom[1]} …")
        station.run(lambda: _tried(traversal, journey, began + timeout))
        return report(traversal, means, (whom[1], journey))


def _looked(traversal: Traversal, means: Means, passed: float) -> bool:
    heard = all(number in traversal.states for number in range(len(means.servers)))
    asked = traversal.reach.gatherer.done or not means.servers
    mapped = not means.port_mapping or not means.servers or bool(traversal.mapped)
    return passed >= SILENCE + 1 or (heard and asked and (mapped or passed >= ROUTER))


def _tried(traversal: Traversal, journey: Journey, until: float) -> bool:
    now = time.monotonic()
    meeting = traversal.reach.meetings.get(journey.session)
    if any(way.kind != "relayed" for way in journey.ways):
        return True
    if meeting is None or meeting.met_at is None:
        return now >= until
    return now >= meeting.met_at + SETTLES


def report(traversal: Traversal, means: Means, whom: tuple[str, Journey] | None = None) -> Report:
    """What this traversal has found out so far."""
    cards = interfaces.interfaces()
    return Report(
        families=tuple(_family(traversal, version, cards) for version in (4, 6)),
        mapping=_mapping(traversal, means),
        servers=tuple(_server(traversal, means, n) for n in range(len(means.servers))),
        lan=Lan(means.lan, bool(cards), "" if cards else "no interface is up"),
        relay=means.relay,
        interfaces=tuple(_interfaces(cards)),
        firewall=_firewall(),
        encounter=None if whom is None else _encounter(traversal, *whom),
    )


def _family(
    traversal: Traversal, version: Literal[4, 6], cards: list[interfaces.Interface]
) -> Family:
    local = tuple(
        canonical(card.address) for card in cards if card.family == version and not card.link_local
    )
    via = 0 if version == 4 else 1
    port = next((door.port for door in traversal.mains if door.via == via), 0)
    view = traversal.reach.gatherer.view(via)
    nat = view.nat
    if nat is Nat.NO_UDP and not (local and traversal.reach.servers):
        nat = Nat.UNKNOWN
    seen = view.reflexive
    return Family(version, local, port, nat, seen, view.preserved if seen else None, view.step)


def _mapping(traversal: Traversal, means: Means) -> PortMapping:
    for endpoint, how in traversal.mapped.items():
        return PortMapping(means.port_mapping, how, endpoint)
    trouble = ", ".join(str(one) for one in _refusals(traversal.refusals))
    return PortMapping(means.port_mapping, trouble=trouble)


def _refusals(refused: Iterable[portmap.Refused]) -> list[str]:
    return sorted({f"{one.protocol} refused ({one.result})" for one in refused})


def _server(traversal: Traversal, means: Means, number: int) -> Server:
    where = str(means.servers[number]).partition("#")[0]
    state = traversal.states.get(number)
    if state is None:
        return Server(where, up=False, trouble="no answer")
    if isinstance(state, link.Down):
        key_ok = False if state.untrusted else None
        return Server(where, up=False, key_ok=key_ok, trouble=state.reason)
    known = traversal.reach.servers.get(number)
    if known is None:
        return Server(where, up=False, key_ok=True, trouble="it speaks another version")
    udp = None if known.relay is None else traversal.reach.gatherer.rtt(known.relay) is not None
    return Server(
        where, True, state.rtt, True, traversal.clocks.get(number), udp, proxied=state.proxied
    )


def _interfaces(cards: list[interfaces.Interface]) -> list[Interface]:
    gateway = interfaces.default_gateway()
    outward = gateway.name if gateway is not None else ""
    names = dict.fromkeys(card.name for card in cards)
    return [
        Interface(
            name,
            tuple(card.address for card in cards if card.name == name and not card.link_local),
            next(card.mtu for card in cards if card.name == name),
            name == outward,
        )
        for name in names
    ]


def _firewall() -> str:
    try:
        return "ufw" if "ENABLED=yes" in _UFW.read_text() else ""
    except OSError:
        return ""


def _encounter(traversal: Traversal, name: str, journey: Journey) -> Encounter:
    meeting = traversal.reach.meetings.get(journey.session)
    if meeting is None:
        return Encounter(name)
    ours, theirs = Side(), None
    if meeting.ours is not None:
        mine = meeting.ours
        ours = Side(mine.view.nat, mine.view.ipv6, mine.candidates)
    if meeting.view is not None:
        theirs = Side(meeting.view.nat, meeting.view.ipv6, meeting.theirs)
    attempts = (*_lan(journey), *_attempts(meeting))
    if not journey.ways:
        return Encounter(name, ours, theirs, attempts)
    best = journey.ways[0]
    return Encounter(
        name, ours, theirs, attempts, _kind(best.kind), best.endpoint, best.rtt, journey.took
    )


def _kind(kind: str) -> Literal["lan", "direct", "relayed"]:
    return "lan" if kind == "lan" else "direct" if kind == "direct" else "relayed"


def _lan(journey: Journey) -> list[Attempt]:
    return [
        Attempt("", way.endpoint, "lan", 1, heard=True, answered=1)
        for way in journey.ways
        if way.kind == "lan" and way.rtt is None
    ]


def _attempts(meeting: Meeting) -> list[Attempt]:
    found = []
    for number, puncher in enumerate(meeting.punchers):
        what: Literal["probe", "fresh"] = "fresh" if number and meeting.fresh else "probe"
        for pair in puncher.pairs:
            rtt = pair.rtt if pair.answered else None
            found.append(
                Attempt(pair.kind, pair.endpoint, what, pair.sent, pair.heard, pair.answered, rtt)
            )
        if puncher.guesser is not None:
            found.append(Attempt("guessed", None, "guess", puncher.guesser.made))
        if puncher.fan is not None:
            found.append(Attempt("guessed", None, "fan", len(puncher.fan.vias)))
    for leg in meeting.legs:
        for way in leg.ways():
            found.append(Attempt("", way.endpoint, "relay", 1, leg.open, int(leg.open)))
    return found
