"""Who waits on which tag, and envelopes for which nobody waits yet; knows no network and no keys.

    subscribe -> waiting on a tag -> unsubscribe, or gone
    post      -> handed to all who wait on the tag
              -> held for 60 s if nobody does, and handed to the first who comes

Whoever posts learns nothing of all this (RV-01), so no limit here is ever told: what is too much
replaces what is oldest. How much one may post is limited elsewhere, the same whoever is there.
A tag that nobody waits on and for which nothing is held leaves no trace (RV-10).
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

# SPEC §13.3
ENVELOPE_LIFE = 60.0
HELD_PER_TAG = 4
HELD = 16_384
"""Envelopes in all: 20 MB."""
WAITING_PER_TAG = 8
"""One contact, on several machines or with connections that are dead and not yet missed."""

W = TypeVar("W")


class Held(NamedTuple):
    """An envelope for which nobody waited."""

    number: int
    tag: bytes
    envelope: bytes
    where: str
    """The network that it came from."""
    until: float


class Mailslots(Generic[W]):
    """The slots; `W` is whoever waits."""

    def __init__(self, most_held: int = HELD) -> None:
        self._most_held = most_held
        self._waiting: dict[bytes, tuple[W, ...]] = {}
        self._held: OrderedDict[int, Held] = OrderedDict()
        """By number, which is their order of age: all live equally long."""
        self._numbers: dict[bytes, tuple[int, ...]] = {}
        """What is held for a tag."""
        self._networks: Counter[str] = Counter()
        self._last = 0

    @property
    def tags(self) -> int:
        """On how many tags somebody waits."""
        return len(self._waiting)

    @property
    def held(self) -> int:
        """How many envelopes are held."""
        return len(self._held)

    def subscribe(self, who: W, tags: Iterable[bytes]) -> list[Held]:
        """`who` waits on these tags from now on; what was held for them is theirs."""
        found: list[Held] = []
        for tag in tags:
            others = tuple(one for one in self._waiting.get(tag, ()) if one is not who)
            self._waiting[tag] = (*others[1 - WAITING_PER_TAG :], who)
            found += [self._remove(number) for number in self._numbers.get(tag, ())]
        return found

    def unsubscribe(self, who: W, tags: Iterable[bytes]) -> None:
        """`who` waits there no more; that it never did is no fault."""
        for tag in tags:
            left = tuple(one for one in self._waiting.get(tag, ()) if one is not who)
            if left:
                self._waiting[tag] = left
            else:
                self._waiting.pop(tag, None)

    def post(self, now: float, tag: bytes, envelope: bytes, where: str) -> tuple[W, ...]:
        """To whom the envelope goes now; if to nobody, it is held."""
        there = self._waiting.get(tag, ())
        if not there:
            self._hold(now, tag, envelope, where)
        return there

    def expire(self, now: float) -> int:
        """Forget what nobody came for; how many were there."""
        before = len(self._held)
        while self._held and next(iter(self._held.values())).until <= now:
            self._remove(next(iter(self._held)))
        return before - len(self._held)

    def _hold(self, now: float, tag: bytes, envelope: bytes, where: str) -> None:
        same = self._numbers.get(tag, ())
        if len(same) >= HELD_PER_TAG:
            self._remove(same[0])
        elif len(self._held) >= self._most_held:
            self._evict(where)
        self._last += 1
        self._held[self._last] = Held(self._last, tag, envelope, where, now + ENVELOPE_LIFE)
        self._numbers[tag] = (*self._numbers.get(tag, ()), self._last)
        self._networks[where] += 1

    def _evict(self, where: str) -> None:
        """Make room: at the cost of `where` if that network has its share already (RV-06)."""
        own = self._networks[where] * len(self._networks) >= self._most_held
        self._remove(
            next(held.number for held in self._held.values() if not own or held.where == where)
        )

    def _remove(self, number: int) -> Held:
        held = self._held.pop(number)
        left = tuple(one for one in self._numbers.pop(held.tag) if one != number)
        if left:
            self._numbers[held.tag] = left
        self._networks[held.where] -= 1
        if not self._networks[held.where]:
            del self._networks[held.where]
        return held
