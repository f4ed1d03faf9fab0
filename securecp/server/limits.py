"""How much one network, or everybody, may ask of the server; counts only, all time is an argument.

What is counted by is an IPv4 address or the /64 of an IPv6 address (`network`). Tables are bounded:
an entry that has recovered is as good as none and makes room. When every entry is in use, newcomers
share one budget, so that a flood from many networks takes nothing from those who are there (RV-06).
"""

from collections import Counter, OrderedDict


class Bucket:
    """A token bucket: `rate` a second on average, `burst` at once."""

    __slots__ = ("_at", "_level", "burst", "rate")

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self.burst = burst
        self._level = burst
        self._at = 0.0

    def take(self, now: float, amount: float = 1.0) -> bool:
        """Take the amount if all of it is there."""
        self._fill(now)
        if self._level < amount:
            return False
        self._level -= amount
        return True

    def spend(self, now: float, amount: float) -> bool:
        """Take the amount if anything is there; what is missing is owed, and filled up first."""
        self._fill(now)
        if self._level <= 0.0:
            return False
        self._level -= amount
        return True

    def wait(self, now: float) -> float:
        """Seconds until one more can be taken."""
        self._fill(now)
        return max(0.0, (1.0 - self._level) / self.rate)

    def recovered(self, now: float) -> bool:
        """Whether it is as full as a new one."""
        self._fill(now)
        return self._level >= self.burst

    def _fill(self, now: float) -> None:
        if now > self._at:
            self._level = min(self.burst, self._level + (now - self._at) * self.rate)
            self._at = now


class Buckets:
    """A bucket for each network, for so many networks at once."""

    def __init__(self, rate: float, burst: float, most: int) -> None:
        self._rate = rate
        self._burst = burst
        self._most = most
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._shared = Bucket(rate * 10, burst * 10)
        """For all newcomers while the table is full."""

    def __len__(self) -> int:
        return len(self._buckets)

    def of(self, now: float, where: str) -> Bucket:
        """The budget of this network."""
        # In order of last use, the oldest first.
        bucket = self._buckets.pop(where, None)
        if bucket is None:
            if len(self._buckets) >= self._most and not self._make_room(now):
                return self._shared
            bucket = Bucket(self._rate, self._burst)
        self._buckets[where] = bucket
        return bucket

    def sweep(self, now: float) -> None:
        """Forget whom we owe nothing."""
        while self._make_room(now):
            pass

    def _make_room(self, now: float) -> bool:
        """Forget the network that was seen longest ago, if it has recovered."""
        oldest = next(iter(self._buckets), None)
        if oldest is None or not self._buckets[oldest].recovered(now):
            return False
        del self._buckets[oldest]
        return True


class Places:
    """Things that exist for a while: so many in all, so many of one network."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self.most = most
        self.most_of_one = most_of_one
        self._taken: Counter[str] = Counter()
        self._total = 0

    def __len__(self) -> int:
        return self._total

    @property
    def full(self) -> bool:
        return self._total >= self.most

    def full_for(self, where: str) -> bool:
        """Whether this network has its share."""
        return self._taken[where] >= self.most_of_one

    def enter(self, where: str, count: int = 1) -> bool:
        """Take so many places, if they are there; all or none."""
        if self._total + count > self.most or self._taken[where] + count > self.most_of_one:
            return False
        self._taken[where] += count
        self._total += count
        return True

    def leave(self, where: str, count: int = 1) -> None:
        """Give places back."""
        assert self._taken[where] >= count
        self._total -= count
        self._taken[where] -= count
        if not self._taken[where]:
            del self._taken[where]
