"""When the caller begins again with a peer, and in what the new round differs (SPEC §12.8).

    PLAIN   the same doors, as they are seen now                         round = 0 modulo 4
    FRESH   fresh doors, low TTL first: the old ones were spoiled        1 and 2
    GUESS   both guess, though both NATs look easy                       3

Repeating the same attempt is worth nothing (DCUtR: 97.6 % of what succeeds does so at the first),
so each differs from the last. What it is, its number says: only the caller counts, and upwards.
"""

from enum import Enum

from securecp.nat.prospects import Part, Prospects

GUESS_AFTER = 0.1
"""Seconds that probes have before ports are guessed; more where the way is long."""
REPAIR_AFTER = 0.5
UPGRADE_AFTER = (10.0, 60.0)
"""Seconds without a direct path after which a new round is tried; the last repeats."""
PAUSE = 2.0
"""Least seconds between two rounds that a silent path asks for; doubles, up to 16."""
LONGEST_PAUSE = 16.0
_KINDS = 4


class Kind(Enum):
    """What a round is."""

    PLAIN = (0,)
    FRESH = (1, 2)
    GUESS = (3,)

    @classmethod
    def of(cls, number: int) -> "Kind":
        return next(kind for kind in cls if number % _KINDS in kind.value)

    def after(self, number: int) -> int:
        """The next number that means this."""
        return next(n for n in range(number + 1, number + 1 + _KINDS) if Kind.of(n) is self)


class Rounds:
    """The timers of one meeting."""

    def __init__(self, now: float, *, caller: bool) -> None:
        self.guess_at: float | None = None
        self._caller = caller
        self._again_at: float | None = None
        self._again = Kind.PLAIN
        self._tries = 0
        """Rounds that have begun since the last reason to hope."""
        self._upgrades = 0
        self._pause = PAUSE
        self._urged = False
        """Whether a silent path is why we begin again."""
        self._began_at = now

    def began(self, now: float) -> None:
        """A round has begun: its letter leaves as soon as it can."""
        self._began_at = now
        self.guess_at = self._again_at = None

    def started(self, now: float, prospects: Prospects, rtt: float) -> None:
        """Probes leave; `rtt` to the peer over the server, in seconds."""
        if prospects.part is not Part.NONE:
            self.guess_at = now + max(GUESS_AFTER, 1.25 * rtt)
        if not self._caller:
            return
        repairs = [Kind.FRESH, Kind.FRESH, Kind.GUESS] if prospects.repairable else []
        if self._tries < len(repairs):
            self._again = repairs[self._tries]
            self._again_at = now + REPAIR_AFTER + 4 * rtt
            self._tries += 1
        else:
            self._again = Kind.PLAIN
            wait = UPGRADE_AFTER[min(self._upgrades, len(UPGRADE_AFTER) - 1)]
            self._again_at = now + wait
            self._upgrades += 1

    def reconsidered(self, now: float, prospects: Prospects, rtt: float) -> None:
        """Other prospects than `started` was told: one of the NATs is not what it seemed."""
        self._tries = max(0, self._tries - 1)
        self.started(now, prospects, rtt)

    def direct(self) -> None:
        """There is a direct path: enough."""
        self.guess_at = self._again_at = None

    def hope(self, now: float, *, anew: bool = False, at_once: bool = False) -> None:
        """Something has failed or, `anew`, changed: begin again, but not without end."""
        if not self._caller:
            return
        if anew or at_once:
            self._pause = PAUSE
            self._tries = self._upgrades = 0
        at = now if at_once else max(now, self._began_at + self._pause)
        if self._again_at is None or at < self._again_at:
            self._again, self._again_at, self._urged = Kind.PLAIN, at, not (anew or at_once)

    def heard(self) -> None:
        """The path speaks again."""
        self._pause = PAUSE

    def due(self, now: float) -> Kind | None:
        """The round to begin now."""
        if self._again_at is None or now < self._again_at:
            return None
        if self._urged:
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
        self._again_at, self._urged = None, False
        return self._again

    def guessing(self, now: float) -> bool:
        """Whether to begin guessing now."""
        due = self.guess_at is not None and now >= self.guess_at
        if due:
            self.guess_at = None
        return due

    def deadline(self) -> float | None:
        """When `due` or `guessing` is."""
        times = [time for time in (self.guess_at, self._again_at) if time is not None]
        return min(times, default=None)
