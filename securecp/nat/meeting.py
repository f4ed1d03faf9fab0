"""One meeting with one peer through a server: rounds, probes and the relay (SPEC §12.4).

    caller   CALL ──────────> called: keys, openers, ANSWER, JOIN          (a round)
    caller   keys, SYNC, probes, JOIN <────────── ANSWER
    caller   SYNC ──────────> called: probes, if one of the caller's has not come before
    both     MORE: candidates that were found later

The called one opens its own NAT before its ANSWER leaves, so that the caller's first probe finds it
open. More it does not do before SYNC or a probe: a CALL may be a recording, those cannot (RV-09).

A round that leads to no direct path is followed by another that differs (`rounds.py`). Each has
keys and a circuit of its own.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from securecp.endpoint import Endpoint
from securecp.errors import ProtocolError
from securecp.nat.actions import RANK_IPV4, RANK_IPV6, RANK_LAN, Action, Way
from securecp.nat.candidate import Candidate, canonical, is_private
from securecp.nat.envelope import ROUND_LIMIT, Answer, Bye, Call, Letter, More, Sync, View
from securecp.nat.leg import Leg, Legs
from securecp.nat.letters import Letters
from securecp.nat.mail import Mail
from securecp.nat.prospects import Part, Prospects, judge
from securecp.nat.puncher import Puncher, Valid
from securecp.nat.rounds import Kind, Rounds
from securecp.nat.sampling import Nat
from securecp.nat.situation import Doors, Situation, seen
from securecp.nat.spares import Spares
from securecp.nat.surroundings import Surroundings
from securecp.nat.tags import PairKeys
from securecp.nat.targets import mark, targets

ROUNDS_HEARD, HEARD_WITHIN = 8, 10.0
"""Rounds of a caller that are answered, in so many seconds: each has us open up to 16 endpoints."""
CALL_AGAIN = (2.5, 5.0, 10.0)
"""Seconds between two CALLs that nobody has answered; a server keeps one for 60."""
CALL_AGAIN_MET = (1.0, 1.0, 2.0, 4.0, 10.0)
"""If the peer was there before: one may have been delivered to where it was."""
CALM_AFTER = 3.0
"""Seconds that a new round has to find a better path than the one in use."""
MOST_CANDIDATES = 32
"""Of one peer, that are remembered."""


class Desk(NamedTuple):
    """What a meeting needs of its station."""

    mail: Mail
    surroundings: Surroundings
    entropy: Callable[[int], bytes]
    join: Callable[[int, bytes], Leg | None]
    """A leg at this server with this ticket; None if there can be none."""
    may_guess: Callable[[float, bytes], bool]
    """Whether a whole round of guesses at this peer's address is still within bounds."""


class Meeting:
    """State of one meeting; `actions` is drained by the station."""

    def __init__(
        self, now: float, desk: Desk, pair: PairKeys, session: bytes, *, caller: bool
    ) -> None:
        self.session = session
        self.peer = pair.peer
        self.caller = caller
        self.began_at = now
        self.met_at: float | None = None
        """When keys of both stood for the first time."""
        self.over = False
        self.punchers: list[Puncher] = []
        """Of the last two rounds, the newest last; before them, that of the path in use."""
        self.legs = Legs()
        self.view: View | None = None
        """How the peer sees its situation."""
        self.theirs: tuple[Candidate, ...] = ()
        self.ours: Situation | None = None
        self.prospects: Prospects | None = None
        self.actions: list[Action] = []
        self.in_use: Endpoint | None = None
        """The path that the session uses now."""
        self._desk = desk
        self._letters = Letters(desk.mail, pair, session, desk.entropy)
        self._call_at: float | None = now if caller else None
        """When to post a CALL; None once it is answered."""
        self._calls = 0
        """CALLs of this round."""
        self._to_answer = False
        self._heard: deque[float] = deque(maxlen=ROUNDS_HEARD)
        """When the last rounds of the caller came."""
        self._rounds = Rounds(now, caller=caller)
        self._timed: Puncher | None = None
        """Whose timers are set."""
        self._reconsider = False
        """Whether they were set for other prospects."""
        self._spares = Spares(desk.surroundings)
        self._calm_at: float | None = None
        """From when on a path in use that answers ends all that was begun without it."""

    # ways

    def ways(self) -> list[Way]:
        """How the peer can be reached now, best first."""
        direct = {valid.endpoint: self._way(valid) for valid in self._valid()}
        ways = [*direct.values(), *self.legs.ways()]
        return sorted(ways, key=lambda way: (way.rank, way.rtt or 0.0))

    def _valid(self) -> Iterator[Valid]:
        return (valid for puncher in self.punchers for valid in puncher.valid)

    def kind(self, endpoint: Endpoint) -> str:
        """How a path is called."""
        if any(endpoint.via in leg.vias for leg in self.legs):
            return "relayed"
        return "lan" if is_private(canonical(endpoint.address)) else "direct"

    def _way(self, valid: Valid) -> Way:
        kind = self.kind(valid.endpoint)
        ipv6 = ":" in valid.endpoint.address
        rank = RANK_LAN if kind == "lan" else RANK_IPV6 if ipv6 else RANK_IPV4
        return Way(kind, valid.endpoint, rank, valid.rtt)

    @property
    def direct(self) -> bool:
        """Whether a path without a relay is known."""
        return any(puncher.valid for puncher in self.punchers)

    @property
    def round(self) -> int:
        """The number of the round under way."""
        return self._letters.round

    @property
    def fresh(self) -> Doors | None:
        """The doors of this round, if they are not the main ones."""
        return self._spares.fresh

    @property
    def puncher(self) -> Puncher | None:
        """Of the round under way."""
        return self.punchers[-1] if self.punchers else None

    # letters

    def letter(self, now: float, letter: Letter, server: int) -> None:
        """What the peer wrote, by this server; ProtocolError if it makes no sense here."""
        match letter:
            case Call() if not self.caller:
                self._on_call(now, letter, server)
            case Answer() if self.caller:
                self._on_answer(now, letter, server)
            case Sync() if not self.caller:
                self._on_sync(now, letter, server)
            case More():
                self._on_more(now, letter.view, letter.candidates)
            case Bye():
                # Who has a session hears its end by that, perhaps a little later.
                self.over = self.in_use is None
            case _:
                raise ProtocolError("a letter comes at the wrong time")

    def _on_call(self, now: float, call: Call, server: int) -> None:
        if not self._letters.again(call):
            if len(self._heard) == ROUNDS_HEARD and now - self._heard[0] < HEARD_WITHIN:
                raise ProtocolError("too many rounds at once")
            self._heard.append(now)
            self._renew(now, call.round)
            self._letters.heard(call, server)
            self.view, self.theirs = call.view, call.candidates
            self._to_answer = True
            self._try_to_answer(now)
        elif not self._to_answer and self.ours is not None:  # our ANSWER may have been lost
            self._target(now, call.candidates)
            self._letters.answer(self.ours, server)

    def _try_to_answer(self, now: float) -> None:
        """Once STUN has said what it will: letters wait for that, and no longer."""
        surroundings, server = self._desk.surroundings, self._letters.server
        if now < surroundings.ripe_at(self.fresh) or server is None:
            return
        self._to_answer = False
        self.ours = self._situation(now)
        self._meet(now).open(now)
        self._letters.answer(self.ours, server)
        self._join(server)

    def _on_answer(self, now: float, answer: Answer, server: int) -> None:
        if answer.round != self.round or self.ours is None:
            raise ProtocolError("an ANSWER to no CALL of ours")
        if self._letters.both:
            return  # the same by another server
        self._call_at = None
        self._letters.heard(answer, server)
        self._letters.sync()
        self.view, self.theirs = answer.view, answer.candidates
        self._meet(now)
        self._start(now)
        self.more(now)  # found while the CALL was on its way
        self._join(server)

    def _on_sync(self, now: float, sync: Sync, server: int) -> None:
        if self.puncher is None or self._to_answer or sync.round != self.round:
            return  # it has nothing to say any more
        self._start(now)
        self._letters.server = server
        self._join(server)  # the caller's leg is there

    def _on_more(self, now: float, view: View, candidates: tuple[Candidate, ...]) -> None:
        if self.puncher is None:
            return
        self.view = view
        moved = not seen(candidates) <= seen(self.theirs)
        self.theirs = tuple(dict.fromkeys((*candidates, *self.theirs)))[:MOST_CANDIDATES]
        self._target(now, candidates)
        self._judge()
        if moved and not self.direct:
            self._rounds.hope(now, anew=True)

    def more(self, now: float) -> None:
        """We may know more of ourselves than we have told."""
        if self.puncher is None or self._to_answer or self.ours is None:
            return
        found = self._desk.surroundings.situation(now, self.fresh)
        new = self._letters.more(found)
        kept = dict.fromkeys((*new, *self.ours.candidates))
        silent = found.view.nat in {Nat.UNKNOWN, Nat.NO_UDP}
        view = self.ours.view if silent else found.view
        self.ours = self.ours._replace(view=view, candidates=tuple(kept)[:MOST_CANDIDATES])
        self._judge()

    def close(self) -> None:
        """The session is over, or nobody wants it any more."""
        if not self.over:
            self._letters.bye()
        self.over = True
        self._letters.close()
        self.legs.close()
        self.actions += self.legs.drain()
        self.punchers.clear()
        self._spares.trim()

    # rounds

    def _renew(self, now: float, number: int) -> None:
        """A new round: new secrets, and fresh doors if the old ones led nowhere."""
        self._spares.trim(self._used())
        if not self.direct and self._spoiled(number):
            self._spares.renew(now)
        self._letters.renew(number)
        self._calls = 0
        self._rounds.began(now)

    def _spoiled(self, number: int) -> bool:
        """Whether the doors of the round before are of no use in this one."""
        if self.prospects is None or self.ours is None:
            return False
        if self.ours.view.nat is Nat.SEQUENTIAL:
            return True  # what was said of its next ports is true no more
        return Kind.of(number) is Kind.FRESH and self.prospects.repairable

    def _used(self) -> set[int]:
        """Doors that lead to the peer."""
        used = {valid.endpoint.via for valid in self._valid()}
        return used if self.in_use is None else used | {self.in_use.via}

    def _new_round(self, now: float, kind: Kind) -> None:
        number = kind.after(self.round)
        if self._call_at is not None or self.view is None or number > ROUND_LIMIT:
            return
        self._renew(now, number)
        self._call_at = now

    def quiet(self, now: float) -> None:
        """The path in use is silent: it is none until it answers, and others are looked for."""
        if self.in_use is not None:
            for puncher in self.punchers:
                puncher.doubt(now, self.in_use)
            self.legs.doubt(now, self.in_use)
        self._calm_at = now
        self._rounds.hope(now)

    def heard(self) -> None:
        """It speaks again."""
        self._rounds.heard()

    def moved(self, now: float) -> None:
        """Our addresses have changed: no path is what it was."""
        if self.puncher is not None and self.puncher.started:
            self.puncher.again(now)
        for puncher in self.punchers[:-1]:
            puncher.valid.clear()
        for leg in self.legs:
            leg.doubt(now)
        self._calm_at = now
        self._rounds.hope(now, at_once=True)

    def settled(self, endpoint: Endpoint) -> None:
        """The session uses this path; with a direct one, nothing more is tried."""
        self.in_use = endpoint
        if self.kind(endpoint) == "relayed":
            return
        if self._doubted(endpoint):
            self._calm_at = float("-inf")
            return
        self._calm_at = None
        self._rounds.direct()
        for puncher in self.punchers:
            puncher.rest()
        self._spares.trim(self._used(), fresh=True)

    def _doubted(self, endpoint: Endpoint) -> bool:
        """Whether we probe there, and have had no answer yet, or none any more."""
        known = any(puncher.pairs.find(endpoint) is not None for puncher in self.punchers)
        return known and all(valid.endpoint != endpoint for valid in self._valid())

    def server_up(self, now: float) -> None:
        """A server can be reached that could not: whoever waits for an answer asks there too."""
        if self._call_at is not None:
            self._call_at, self._calls = now, 0
        self.hope(now)

    def hope(self, now: float) -> None:
        """What failed before may succeed now."""
        if self.view is not None and not self.direct:
            self._rounds.hope(now, anew=True)

    def server_down(self, now: float, server: int) -> None:
        """And what it carried is gone."""
        for leg in self.legs:
            if leg.server == server:
                leg.link_down()
        self._letters.doubt()
        if self._call_at is not None and self._calls:
            self._call_at = now  # whoever has it may have taken it along

    def _try_to_call(self, now: float) -> None:
        """Once there is a server, and STUN has said what it will."""
        surroundings = self._desk.surroundings
        if not self._desk.mail.servers or now < surroundings.ripe_at(self.fresh):
            return
        again = CALL_AGAIN if self.met_at is None else CALL_AGAIN_MET
        self._call_at = now + again[min(self._calls, len(again) - 1)]
        self._calls += 1
        self.ours = self._situation(now)
        self._letters.call(self.ours)

    def _situation(self, now: float) -> Situation:
        """What a letter says; fresh doors that no server has seen are of no use."""
        if self.fresh is not None and not self._desk.surroundings.seen(self.fresh):
            self._spares.trim(self._used())
        return self._desk.surroundings.situation(now, self.fresh)

    def _meet(self, now: float) -> Puncher:
        """Both have written: keys, endpoints, prospects."""
        for old in self.punchers:
            old.rest(but=self.in_use)
        kept = [old for old in self.punchers[:-1] if self._in_use_by(old)]
        keys = self._letters.keys(caller=self.caller)
        puncher = Puncher(keys, gently=Kind.of(self.round) is Kind.FRESH)
        self.punchers = [*kept[-1:], *self.punchers[-1:], puncher]
        self._target(now, self.theirs)
        self._judge()
        if self.met_at is None:
            self.met_at = now
        return puncher

    def _in_use_by(self, puncher: Puncher) -> bool:
        return self.in_use is not None and puncher.pairs.find(self.in_use) is not None

    def _judge(self) -> None:
        if self.ours is None or self.view is None:
            return
        before = self.prospects
        self.prospects = judge(
            self.ours.view, self.view, self.ours.candidates, self.theirs,
            neighbours=self.ours.neighbours(self.theirs),
            last_resort=Kind.of(self.round) is Kind.GUESS,
        )  # fmt: skip
        other = before is not None and before.part is not self.prospects.part
        self._reconsider = other and self._timed is self.puncher

    def _target(self, now: float, candidates: tuple[Candidate, ...]) -> None:
        """Have the puncher try what may be tried."""
        if self.puncher is not None and self.ours is not None:
            own = self._desk.surroundings.own()
            self.puncher.add(now, targets(self.ours, self.theirs, candidates, own))

    def _start(self, now: float) -> None:
        """The peer is there now: probes, and the timers of what follows."""
        assert self.puncher is not None and self.view is not None and self.ours is not None
        self.puncher.start(now)
        if self._timed is self.puncher:
            return
        self._timed = self.puncher
        self._calm_at = now + CALM_AFTER
        assert self.prospects is not None
        self._rounds.started(now, self.prospects, self._rtt)

    @property
    def _rtt(self) -> float:
        """To the peer over the server, in seconds."""
        if self.ours is None or self.view is None:
            return 0.0
        return (self.ours.view.rtt + self.view.rtt) / 1_000

    def _join(self, server: int) -> None:
        """A circuit beside it, at once: it carries what cannot wait for a direct path."""
        assert self.puncher is not None
        ticket = self.puncher.keys.ticket
        leg = None if self.legs.at(ticket, server) else self._desk.join(server, ticket)
        if leg is not None:
            self.legs.add(leg, self.in_use)

    # guessing

    def _guess(self, now: float) -> None:
        assert self.puncher is not None and self.prospects is not None and self.ours is not None
        own = self._desk.surroundings.own()
        there, part = mark(self.ours, self.theirs, own), self.prospects.part
        if there is None or not self._desk.may_guess(now, self.peer):
            return
        if part in {Part.GUESS, Part.BOTH}:
            self.puncher.guess(now, there.endpoint, there.ports, self._desk.entropy)
        if part in {Part.FAN, Part.BOTH}:
            self.puncher.spread(now, there.endpoint, self._spares.spread())

    # what comes, goes and is due

    def receive(self, now: float, endpoint: Endpoint, datagram: bytes) -> None:
        """A probe with the tag of one of our rounds; ProtocolError if it is not authentic."""
        for puncher in self.punchers:
            if puncher.keys.our_tag == datagram[4:12]:
                puncher.receive(now, endpoint, datagram)
                if puncher is self.puncher:
                    self._start(now)

    def wake(self, now: float) -> None:
        """Everything that is due."""
        if self._reconsider and self.prospects is not None:
            self._reconsider = False
            self._rounds.reconsidered(now, self.prospects, self._rtt)
        if self.direct:
            self._rounds.direct()
        elif self._rounds.guessing(now):
            self._guess(now)
        kind = self._rounds.due(now)
        if kind is not None:
            self._new_round(now, kind)
        if self._call_at is not None and now >= self._call_at:
            self._try_to_call(now)
        if self._to_answer:
            self._try_to_answer(now)
        self._calm_down(now)
        self.legs.wake(now)
        self._collect(now)
        if self.legs.lost() and not self.direct:
            self._rounds.hope(now)

    def _calm_down(self, now: float) -> None:
        """The path in use may answer after all, while others are looked for."""
        in_use, at = self.in_use, self._calm_at
        if at is None or in_use is None or now < at:
            return
        if any(valid.endpoint == in_use for valid in self._valid()):
            self.settled(in_use)

    def _collect(self, now: float) -> None:
        for puncher in self.punchers:
            self.actions += puncher.shots(now)
        if self._spares.fan and self.direct:
            self._spares.trim(self._used(), fresh=True)
        self.actions += self.legs.drain()

    def deadline(self) -> float | None:
        """When `wake` is due."""
        times = [self._rounds.deadline(), self.legs.deadline()]
        ripe_at = self._desk.surroundings.ripe_at(self.fresh)
        if self._to_answer:
            times.append(ripe_at)
        if self._call_at is not None and self._desk.mail.servers:
            times.append(max(self._call_at, ripe_at))
        times += [puncher.deadline() for puncher in self.punchers]
        return min((time for time in times if time is not None), default=None)
