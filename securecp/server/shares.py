"""Who may send how much when all together want more than there is: the same for each circuit.

Time goes in turns of 25 ms. At the end of each, what every circuit wanted in it is filled up like
vessels with water: small wishes whole, large ones to one level, all together to what there is. That
level is the limit of the next turn. Whoever passes a limit pays for it in the turns after, and so
do all together, so that averages are exact however large a burst is; but who stays below the level
is not made to pay for the others.
"""

import math

TURN = 0.025


class Account:
    """What one circuit wants and gets."""

    __slots__ = ("passed", "total", "wanted")

    def __init__(self) -> None:
        self.wanted = 0.0
        """Bytes in this turn, also those that were refused."""
        self.passed = 0.0
        """Bytes in this turn, and what is owed from those before."""
        self.total = 0


class Shares:
    """Bytes a second, of one circuit and of all."""

    def __init__(self, rate: float, total_rate: float) -> None:
        self._most = rate * TURN
        self._total = total_rate * TURN
        self._limit = self._most
        self._passed = 0.0
        self._owed = 0.0
        self._ends = 0.0
        self._active: set[Account] = set()

    def spend(self, now: float, account: Account, size: int) -> bool:
        """Whether so much may pass now; counts it."""
        if now >= self._ends:
            self._turn(now)
        if not account.wanted:
            self._active.add(account)
        account.wanted += size
        if account.passed >= self._limit or self._passed >= 2 * self._total:
            return False
        account.passed += size
        account.total += size
        self._passed += size
        return True

    def _turn(self, now: float) -> None:
        turns = 1 if now < self._ends + TURN else 1 + int((now - self._ends) / TURN)
        self._ends = now + TURN
        self._owed = max(0.0, self._owed + self._passed - turns * self._total)
        self._passed = 0.0
        for account in self._active:
            account.passed = max(0.0, account.passed - turns * self._limit)
        self._limit = self._next_limit() if turns == 1 else self._most
        for account in self._active:
            account.wanted = 0.0
        self._active = {account for account in self._active if account.passed}

    def _next_limit(self) -> float:
        """The level; what a circuit owes is a part of its wish that it has had already."""
        wishes = [min(one.wanted, self._most) + one.passed for one in self._active]
        there = self._total - self._owed + sum(one.passed for one in self._active)
        return min(self._most, level(wishes, max(there, self._total / 10)))


def level(wishes: list[float], total: float) -> float:
    """To which level the vessels are filled; infinite if there is enough for all."""
    left, still = total, len(wishes)
    for wish in sorted(wishes):
        if wish * still >= left:
            return left / still
        left -= wish
        still -= 1
    return math.inf
