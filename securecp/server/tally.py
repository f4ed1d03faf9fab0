"""What happened how often: the only thing that the server remembers of its past.

Counts by a fixed list of events, for the metrics and the log: no address, tag or text of a client
can become a label or a line (RV-15, DG-14, CL-06).
"""

from collections import Counter
from enum import StrEnum


class Event(StrEnum):
    """Everything that is counted; the value is its name in the metrics."""

    # Clients
    ARRIVED = "arrived"
    DEPARTED = "departed"
    FULL = "refused_full"
    TOO_MANY = "refused_too_many"
    TOO_FAST = "refused_too_fast"
    # Connections that were closed
    SLOW = "closed_slow_header"
    SILENT = "closed_silent"
    STUCK = "closed_not_reading"
    BAD_REQUEST = "closed_bad_request"
    BROKEN = "closed_protocol_error"
    BUG = "closed_our_error"
    # Rendezvous
    POSTED = "posted"
    EXPIRED = "envelopes_expired"
    # Relay
    JOINED = "legs_joined"
    JOIN_REFUSED = "legs_refused"
    ATTACHED = "legs_attached"
    ATTACH_REFUSED = "attach_refused"
    # UDP
    STUN = "stun_answered"
    STUN_LIMITED = "stun_limited"
    COOKIE = "cookies_given"
    GARBAGE = "datagrams_ignored"
    # Datagrams of circuits that were not passed on, in bursts
    LIMITED = "bursts_limited"
    SLOW_LEG = "bursts_dropped"


WORDS = {
    Event.FULL: "clients were turned away: the server is full (--max-clients)",
    Event.TOO_MANY: "requests were refused: too many of one client or address",
    Event.TOO_FAST: "requests were refused: too fast",
    Event.SLOW: "connections were closed: no request within 5 s",
    Event.SILENT: "connections were closed: silent for 90 s",
    Event.STUCK: "connections were closed: the client does not read",
    Event.BAD_REQUEST: "connections were closed: no request of ours",
    Event.BROKEN: "connections were closed: the client broke the protocol",
    Event.BUG: "errors of ours, please report them with `securecp --version`",
    Event.JOIN_REFUSED: "relay legs were refused",
    Event.ATTACH_REFUSED: "relay sockets were refused",
    Event.STUN_LIMITED: "STUN requests were not answered: too fast",
    Event.LIMITED: "bursts were dropped: over the rate (--max-rate, --max-total-rate)",
}
"""What the log says, behind a number; other events are not worth a line."""

VERBOSE_WORDS = {
    Event.ARRIVED: "clients arrived",
    Event.DEPARTED: "clients departed",
    Event.POSTED: "envelopes were posted",
    Event.EXPIRED: "envelopes expired",
    Event.JOINED: "relay legs joined",
    Event.ATTACHED: "relay sockets attached",
    Event.STUN: "STUN requests were answered",
    Event.COOKIE: "cookies were given",
    Event.GARBAGE: "datagrams were ignored",
    Event.SLOW_LEG: "bursts were dropped: the other leg is slow",
}


class Tally:
    """Counts of events, and of bytes that went through circuits."""

    def __init__(self) -> None:
        self.events: Counter[Event] = Counter()
        self.udp_bytes = 0
        self.websocket_bytes = 0

    def add(self, event: Event, count: int = 1) -> None:
        """It happened so often."""
        self.events[event] += count


class Diary:
    """At most one line per kind of event and interval, with a count."""

    INTERVAL = 10.0

    def __init__(self, tally: Tally, *, verbose: bool = False) -> None:
        self._tally = tally
        self._words = {**WORDS, **VERBOSE_WORDS} if verbose else WORDS
        self._told: Counter[Event] = Counter()
        self._told_at: dict[Event, float] = {}

    def lines(self, now: float) -> list[tuple[Event, int, str]]:
        """What is to be told now: event, how often since it was last told, and in words."""
        due: list[tuple[Event, int, str]] = []
        for event, words in self._words.items():
            count = self._tally.events[event] - self._told[event]
            last = self._told_at.get(event)
            if count and (last is None or now - last >= self.INTERVAL):
                self._told[event] += count
                self._told_at[event] = now
                due.append((event, count, f"{count:,} {words}"))
        return due
