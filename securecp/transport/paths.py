"""Which path is in use: our word, the peer's, and what happens at a switch (SPEC §7.11).

    our word   `move`: the endpoint was validated elsewhere, or is a relay. It stands until the peer
               agrees: it has acknowledged what we sent there, and its newest datagram comes thence
    the peer's its newest datagram comes from another endpoint. If that is trusted we follow at
               once, else after a challenge; but not while a word of ours stands

Words end by time as well, the responder's first, and whenever the path does not answer. Whatever
the initiator switches to, in following too, is its word. So two that differ come together. At most
four switches in ten seconds are the peer's doing (TR-14).
"""

import math
from collections import deque
from collections.abc import Callable

from securecp.endpoint import Endpoint
from securecp.transport.acks import MAX_DELAY
from securecp.transport.congestion import Controller
from securecp.transport.parts import ControlItem, Parts, WindowItem
from securecp.transport.path import Path, Retired
from securecp.transport.recovery import Outcome
from securecp.transport.rtt import Rtt

INITIATOR_WORD = 5.0
RESPONDER_WORD = 2.0
"""Seconds for which our word stands against a peer that does not agree."""
SWITCHES = 4
SWITCHES_TIME = 10.0
REMEMBERED = 10.0
"""Seconds for which what we know of a path left is still worth something."""
KEPT = 2
"""Paths left that are remembered; and as many with datagrams in flight."""

Settle = Callable[[float, Outcome, Path | Retired], None]


class Paths:
    """Changes `parts.path`; `settle` carries what is found lost."""

    def __init__(
        self,
        parts: Parts,
        controller: Callable[[], Controller],
        settle: Settle,
        now: float,
        *,
        initiator: bool,
        largest: int,
    ) -> None:
        self._parts = parts
        self._controller = controller
        self._settle = settle
        self._largest = largest
        self._initiator = initiator
        # Where the initiator called is where it wants to be.
        self._word_until = now + INITIATOR_WORD if initiator else -math.inf
        self._word_from = 0
        """The first counter under which the peer can have heard it."""
        self._switches: deque[float] = deque(maxlen=SWITCHES)
        self._left: dict[Endpoint, tuple[Path, float]] = {}
        """Paths left lately, and when."""

    # our word

    def move(self, now: float, endpoint: Endpoint, rtt: float | None = None) -> bool:
        """Send everything there from now on; whether that changes anything."""
        self._give_word(now)
        if endpoint == self._parts.path.endpoint:
            self._parts.due.ping = True
            return False
        self._switch(now, endpoint, rtt)
        return True

    def _give_word(self, now: float) -> None:
        self._word_until = now + (INITIATOR_WORD if self._initiator else RESPONDER_WORD)
        self._word_from = self._parts.sealer.next_counter

    def word_stands(self, now: float) -> bool:
        """Whether the peer has yet to agree with us."""
        return now < self._word_until

    def end_word(self) -> None:
        """The path that we chose does not answer."""
        self._word_until = -math.inf

    # the peer's

    def on_newest(self, now: float, endpoint: Endpoint) -> bool:
        """The newest datagram of the peer came from there; True if we have switched to it."""
        parts = self._parts
        if endpoint == parts.path.endpoint:
            if parts.recovery.flight.largest_acked >= self._word_from:
                self.end_word()
            return False
        if not parts.validation.trusts(now, endpoint):
            parts.validation.begin(now, endpoint, parts.recovery.rtt.pto(MAX_DELAY))
            return False
        return not self.word_stands(now) and self._follow(now, endpoint)

    def _follow(self, now: float, endpoint: Endpoint) -> bool:
        switches = self._switches
        if len(switches) == SWITCHES and now - switches[0] < SWITCHES_TIME:
            return False
        if self._initiator:
            self._give_word(now)
        path = self._parts.path
        if (endpoint.address, endpoint.via) == (path.endpoint.address, path.endpoint.via):
            # A NAT has given the peer another port: the path is the same (RFC 9000 §9.4).
            switches.append(now)
            self._parts.validation.trust(now, path.endpoint)
            path.endpoint = endpoint
            self._parts.due.ping = True
        else:
            self._switch(now, endpoint)
        return True

    # switching

    def _switch(self, now: float, endpoint: Endpoint, rtt: float | None = None) -> None:
        parts = self._parts
        old = parts.path
        self._switches.append(now)
        parts.validation.trust(now, old.endpoint)
        parts.delivered_before += parts.recovery.meter.delivered
        retired = old.leave(now, parts.sealer.next_counter)
        self._left[old.endpoint] = old, now
        parts.retired.append(retired)
        parts.use(self._known(now, endpoint, rtt))
        while len(parts.retired) > KEPT:
            self._lose(now, parts.retired[0])
            del parts.retired[0]
        self._say_again(retired)

    def _known(self, now: float, endpoint: Endpoint, rtt: float | None) -> Path:
        """A path as we left it, or a new one."""
        for other, (_, left_at) in list(self._left.items()):
            if now - left_at > REMEMBERED:
                del self._left[other]
        path, _ = self._left.pop(endpoint, (None, 0.0))
        while len(self._left) > KEPT:
            del self._left[next(iter(self._left))]
        if path is None:
            estimate = Rtt() if rtt is None else Rtt(rtt)
            path = Path(endpoint, self._controller(), estimate, self._largest)
        return path

    def _say_again(self, retired: Retired) -> None:
        """Control waits for every byte before it, so it does not wait for the old path."""
        parts = self._parts
        for record in retired.recovery.flight:
            for item in record.items:
                match item:
                    case ControlItem():
                        parts.control_out.lost(item.start, item.end)
                    case WindowItem():
                        parts.due.window = True
        parts.due.probes = 0
        parts.due.ping = True

    # what was left behind

    def expire(self, now: float) -> None:
        """Deal with what is overdue on paths that we have left, and with candidates given up."""
        self._parts.validation.expire(now)
        for retired in list(self._parts.retired):
            if now >= retired.gone_at:
                self._parts.retired.remove(retired)
            elif now >= retired.lost_at:
                self._lose(now, retired)
            else:
                self._settle(now, retired.recovery.on_loss_timer(now), retired)

    def _lose(self, now: float, retired: Retired) -> None:
        if len(retired.recovery.flight):
            self._settle(now, retired.recovery.give_up(), retired)

    def deadline(self, now: float) -> float | None:
        """When `expire` is due, or a challenge."""
        parts = self._parts
        if not parts.retired and not parts.validation.candidates:
            return None
        times = [retired.deadline() for retired in parts.retired]
        return min(*times, parts.validation.deadline(now), math.inf)
