"""All that a station does to find peers and be found: servers, letters, probes, LAN; no I/O (§12).

    server links ─► Up, messages ─► Mail ──────────┐              ┌─► actions: Shoot, Tell, …
    interfaces, STUN, port mappings ► Surroundings ├─► Meeting ───┤
    datagrams ─► probes, relay, LAN ───────────────┘              └─► events: how peers are reached

It decides nothing about the session: `reaching.py` takes the ways it finds and has the transport
use them. Time comes in as `now`; the day, which claims and LAN queries need, as `day`.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from keys.identity import Identity
from securecp.endpoint import Burst, Endpoint
from securecp.errors import ProtocolError
from securecp.nat import envelope, probe, relay, rendezvous
from securecp.nat.actions import Action, Way
from securecp.nat.gather import Door, Gatherer
from securecp.nat.guessing import Budget
from securecp.nat.lansearch import LanSearch
from securecp.nat.leg import Leg
from securecp.nat.mail import DAY_EVERY, Mail, Server
from securecp.nat.meeting import Desk, Meeting
from securecp.nat.surroundings import Surroundings, may_ask
from securecp.nat.tags import PairKeys

MEETINGS = 256
MEETINGS_PER_PEER = 8
SESSIONS_KEPT = 4_096
"""Sessions that are over, so that a recorded CALL does not begin them again."""
UNUSED_FOR = 90.0
"""Seconds for which a meeting that nobody uses stays."""


class Found(NamedTuple):
    """How the peer of a session can be reached now, best first; none: not at all at present."""

    session: bytes
    peer: bytes
    caller: bool
    """Whether it was us who called."""
    ways: tuple[Way, ...]


class Reach:
    """One station's traversal; the shell carries out `actions` and tells what comes.

    After anything was told, `wake`, `actions`, `events` and `deadline`, in this order.
    """

    def __init__(
        self,
        now: float,
        identity: Identity,
        entropy: Callable[[int], bytes],
        day: Callable[[], int],
        *,
        contacts: Callable[[], Iterable[bytes]] = tuple,
        relays: bool = True,
        lan: bool = True,
        waiting: bool = False,
    ) -> None:
        """`contacts`: who may call us; `waiting`: whether anybody may."""
        self.entropy = entropy
        self.dropped = 0
        self.meetings: dict[bytes, Meeting] = {}
        self.mail = Mail(identity, entropy, day, contacts if waiting else tuple)
        self.surroundings = Surroundings(now, entropy)
        callers = self.mail.callers if waiting else None
        self.lan = LanSearch(entropy, day, callers) if lan else None
        self._relays = relays
        self._claims_at = now if waiting else float("inf")
        self._budget = Budget()
        self._ended: dict[bytes, None] = {}
        self._actions: list[Action] = []
        self._events: list[Found] = []
        self._told: dict[bytes, tuple[Way, ...]] = {}
        self._stirred = True
        """Whether something was told since the last `wake`."""
        self._news = False
        """Whether there is something that peers should hear."""
        self._next_at = float("-inf")
        self._blocked = False
        """Whether UDP does not pass at present."""
        self._desk = Desk(self.mail, self.surroundings, entropy, self._join, self._budget.take)

    @property
    def servers(self) -> dict[int, Server]:
        """Those whose links stand."""
        return self.mail.servers

    @property
    def gatherer(self) -> Gatherer:
        """What STUN has shown."""
        return self.surroundings.gatherer

    # what the shell tells

    def doors(self, now: float, mains: Iterable[Door]) -> None:
        """Our main sockets."""
        self._stirred = True
        self.surroundings.doors(now, mains)
        if self.lan is not None:
            ports = {ipv6: door.port for ipv6, door in self.surroundings.mains.items()}
            self.lan.ports = self.lan.ports._replace(v4=ports.get(False, 0), v6=ports.get(True, 0))

    def addresses(self, now: float, addresses: Iterable[str], *, changed: bool = False) -> None:
        """Those of our interfaces; `changed` if they are others than before."""
        self._stirred = True
        self.surroundings.moved(now, addresses, changed=changed)
        if not changed:
            return
        for meeting in self.meetings.values():
            meeting.moved(now)
        self._tell_more(now)
        if self.lan is not None:
            self.lan.moved(now)

    def ask(self, now: float, endpoints: Iterable[Endpoint]) -> None:
        """STUN servers to ask, before their rendezvous server has said so."""
        self._stirred = True
        self.surroundings.ask(now, endpoints)

    def mapped(self, endpoints: Iterable[Endpoint]) -> None:
        """External endpoints that routers have given to our main sockets."""
        self._stirred = True
        self._news = self.surroundings.mapped(endpoints) or self._news

    def server_up(
        self, now: float, number: int, welcome: bytes, dialled: Endpoint, rtt: float
    ) -> None:
        """The link to this server stands; ProtocolError if its first words make no sense."""
        self._stirred = True
        said = rendezvous.parse_welcome(welcome)
        named = [_reached(one, dialled) for one in said.stun]
        stun = [one for one in named if may_ask(one, dialled)]
        at = named[0] if named and named[0] in stun else None
        self.surroundings.observed[number] = said.observed.address
        self.mail.up(number, Server(dialled, at, rtt, said.time))
        self.surroundings.rtt = min(server.rtt for server in self.servers.values())
        self.ask(now, stun)
        for meeting in self.meetings.values():
            meeting.server_up(now)
        self._tell_more(now)  # what was told before may have been lost with another link

    def server_down(self, now: float, number: int) -> None:
        """The link is gone, and with it what it carried."""
        self._stirred = True
        self.mail.down(number)
        self.surroundings.observed.pop(number, None)
        for meeting in self.meetings.values():
            meeting.server_down(now, number)

    def server_message(self, now: float, number: int, data: bytes) -> None:
        """What a server says; nonsense counts as dropped."""
        self._stirred = True
        try:
            self._on_message(now, number, rendezvous.parse_from_server(data))
        except ProtocolError:
            self.dropped += 1

    def receive(self, now: float, burst: Burst) -> None:
        """One datagram that is not the transport's."""
        self._stirred = True
        try:
            self._on_datagram(now, burst.endpoint, bytes(burst.data))
        except ProtocolError:
            self.dropped += 1

    # what the session says

    def call(self, now: float, peer: bytes) -> bytes:
        """Look for this peer; returns the session, under which ways are reported."""
        self._stirred = True
        session = self.entropy(envelope.SESSION_LENGTH)
        pair = self.mail.pair(peer)
        self._meet(now, pair, session, caller=True)
        if self.lan is not None:
            self.lan.search(now, session, pair)
        return session

    def end(self, session: bytes) -> None:
        """It is over, or not wanted any more."""
        if self.lan is not None:
            self.lan.end(session)
        self._told.pop(session, None)
        meeting = self.meetings.pop(session, None)
        if meeting is None:
            return
        meeting.close()
        self._actions += self.surroundings.actions  # before its doors are closed
        self.surroundings.actions.clear()
        self._drain(meeting.actions)
        self._ended[session] = None
        if len(self._ended) > SESSIONS_KEPT:
            del self._ended[next(iter(self._ended))]

    def settled(self, session: bytes, endpoint: Endpoint) -> None:
        """The session uses this path; if it is direct, nothing more is tried."""
        self._stirred = True
        meeting = self.meetings.get(session)
        if meeting is None:
            return
        meeting.settled(endpoint)
        if self.lan is not None and meeting.kind(endpoint) != "relayed":
            self.lan.rest(session)

    def quiet(self, now: float, session: bytes) -> None:
        """The path in use is silent."""
        self._stirred = True
        meeting = self.meetings.get(session)
        if meeting is None:
            return
        meeting.quiet(now)
        if self.lan is not None:
            self.lan.doubt(now, session, meeting.in_use)

    def heard(self, session: bytes) -> None:
        """It speaks again."""
        self._stirred = True
        meeting = self.meetings.get(session)
        if meeting is not None:
            meeting.heard()

    def refresh_contacts(self) -> None:
        """The contacts, or the day, may have changed."""
        self.mail.refresh()

    # what is due

    def wake(self, now: float) -> None:
        """Everything that is due; also after anything was told. Otherwise it costs nothing."""
        if not self._stirred and now < self._next_at:
            return
        self._stirred = False
        news = self.surroundings.wake(now)
        self._look_for_udp(now)
        if now >= self._claims_at:
            self._claims_at = now + DAY_EVERY
            self.mail.refresh()
        if self.lan is not None:
            self.lan.wake(now)
        if news or self._news:
            self._news = False
            self._tell_more(now)
        for meeting in list(self.meetings.values()):
            meeting.wake(now)
            self._drain(self.surroundings.actions)  # doors open before they are used
            self._drain(meeting.actions)
            unused = meeting.in_use is None and not meeting.caller
            if meeting.over or (unused and now - meeting.began_at > UNUSED_FOR):
                self._lose(meeting)
        self._report()
        self._next_at = self._earliest()

    def deadline(self) -> float | None:
        """When `wake` is due."""
        earliest = self._earliest() if self._stirred else self._next_at
        return None if earliest == float("inf") else earliest

    def _earliest(self) -> float:
        times = [self.gatherer.deadline(), self._claims_at]
        if self.lan is not None:
            times.append(self.lan.deadline())
        times += [meeting.deadline() for meeting in self.meetings.values()]
        return min((time for time in times if time is not None), default=float("inf"))

    def actions(self) -> list[Action]:
        """What is to be done since the last call."""
        self._drain(self.surroundings.actions)
        self._drain(self.mail.actions)
        if self.lan is not None:
            self._drain(self.lan.actions)
        actions, self._actions = self._actions, []
        return actions

    def events(self) -> list[Found]:
        """What has been found since the last call."""
        events, self._events = self._events, []
        return events

    # inside

    def _drain(self, actions: list[Action]) -> None:
        self._actions += actions
        actions.clear()

    def _meet(self, now: float, pair: PairKeys, session: bytes, *, caller: bool) -> Meeting:
        meeting = Meeting(now, self._desk, pair, session, caller=caller)
        self.meetings[session] = meeting
        return meeting

    def _lose(self, meeting: Meeting) -> None:
        """It ends by itself."""
        if self._told.get(meeting.session):
            self._events.append(Found(meeting.session, meeting.peer, meeting.caller, ()))
        self.end(meeting.session)

    def _join(self, server: int, ticket: bytes) -> Leg | None:
        known = self.servers.get(server)
        if known is None or not self._relays:
            return None
        via, udp_via = self.surroundings.draw(2)
        passes = known.relay is not None and self.gatherer.rtt(known.relay) is not None
        return Leg(server, known.dialled, known.relay if passes else None, ticket, via, udp_via)

    def _on_message(self, now: float, number: int, message: rendezvous.FromServer) -> None:
        match message:
            case rendezvous.Deliver():
                self._on_envelope(now, number, message.tag, message.envelope)
            case rendezvous.Joined() if (leg := self._leg(number, message.leg)) is not None:
                leg.joined(now, message.attach)
            case rendezvous.Open() if (leg := self._leg(number, message.leg)) is not None:
                leg.opened()
            case rendezvous.Left() if (leg := self._leg(number, message.leg)) is not None:
                leg.left()
            case _:
                pass

    def _leg(self, server: int, via: int) -> Leg | None:
        """Our leg at this server of which it speaks."""
        legs = (leg for meeting in self.meetings.values() for leg in meeting.legs)
        return next((leg for leg in legs if leg.server == server and leg.via == via), None)

    def _on_envelope(self, now: float, number: int, tag: bytes, sealed: bytes) -> None:
        pair, letter = self.mail.open(tag, sealed)
        meeting = self.meetings.get(letter.session)
        if meeting is None:
            meeting = self._called(now, pair, letter.session)
        elif meeting.peer != pair.peer:
            raise ProtocolError("a session belongs to somebody else")
        meeting.letter(now, letter, number)

    def _called(self, now: float, pair: PairKeys, session: bytes) -> Meeting:
        """A CALL of a session that we do not know."""
        if session in self._ended or not self.mail.welcome(pair.peer):
            raise ProtocolError("a session that is over, or a peer that is not welcome any more")
        unused = [
            one for one in self.meetings.values()
            if one.peer == pair.peer and not one.caller and one.in_use is None
        ]  # fmt: skip
        with_peer = sum(one.peer == pair.peer for one in self.meetings.values())
        if with_peer >= MEETINGS_PER_PEER and unused:
            self._lose(unused[0])
        elif with_peer >= MEETINGS_PER_PEER or len(self.meetings) >= MEETINGS:
            raise ProtocolError("no room for another meeting")
        return self._meet(now, pair, session, caller=False)

    def _on_datagram(self, now: float, endpoint: Endpoint, datagram: bytes) -> None:
        first = datagram[0] if datagram else -1
        if 0 <= first < 4:
            if not self.surroundings.receive(now, endpoint, datagram):
                raise ProtocolError("an answer of STUN to no question of ours")
        elif first == probe.PROBE:
            self._on_probe(now, endpoint, datagram)
        elif first in {relay.COOKIE, relay.ATTACHED}:
            self._on_relay(now, endpoint, datagram)
        elif self.lan is not None:
            self.lan.receive(now, endpoint, datagram)

    def _on_probe(self, now: float, endpoint: Endpoint, datagram: bytes) -> None:
        receiver = probe.receiver(datagram)
        for meeting in self.meetings.values():
            if any(puncher.keys.our_tag == receiver for puncher in meeting.punchers):
                meeting.receive(now, endpoint, datagram)
                return
        raise ProtocolError("a probe for nobody")

    def _on_relay(self, now: float, endpoint: Endpoint, datagram: bytes) -> None:
        for meeting in self.meetings.values():
            for leg in meeting.legs:
                if leg.udp_via == endpoint.via:
                    leg.receive(now, endpoint, datagram)
                    return
        raise ProtocolError("a datagram of a relay that is not ours")

    def _look_for_udp(self, now: float) -> None:
        """After an outage there is new hope."""
        before, self._blocked = self._blocked, self.gatherer.blocked(now)
        if before and not self._blocked:
            for meeting in self.meetings.values():
                meeting.hope(now)

    def _tell_more(self, now: float) -> None:
        """We are seen at new endpoints: those who are met already hear of it."""
        for meeting in self.meetings.values():
            if meeting.met_at is not None:
                meeting.more(now)

    def _ways(self, session: bytes, meeting: Meeting) -> tuple[Way, ...]:
        found = meeting.ways()
        known = {way.endpoint for way in found}
        near = () if self.lan is None else self.lan.ways(session)
        more = [way for way in near if way.endpoint not in known]
        return tuple(sorted([*found, *more], key=lambda way: way.rank))

    def _report(self) -> None:
        for session, meeting in self.meetings.items():
            ways = self._ways(session, meeting)
            if self._told.get(session, ()) != ways:
                self._told[session] = ways
                self._events.append(Found(session, meeting.peer, meeting.caller, ways))


def _reached(stun: Endpoint, dialled: Endpoint) -> Endpoint:
    """A STUN endpoint of a WELCOME; it may mean the address that we dialled."""
    if stun.address == rendezvous.DIALLED:
        return Endpoint(dialled.address, stun.port)
    return Endpoint(stun.address, stun.port)
