"""How much each contact has brought us within a day: what `daily_quota` is compared with (MF-21).

Pure: records of ended transfers go in, with the time at which they ended. What arrived of a
transfer that broke off counts until it goes on, and then as a part of the whole: parts that wait
on the disk are counted once. Content of ended transfers is kept by spells of ten minutes, so that
a contact with thousands of small transfers costs no more than one with a large one.
"""

from collections import OrderedDict, deque
from typing import NamedTuple

from securecp.daemon.record import Record

DAY = 86_400.0
_SPELL = 600.0
_MOST_BROKEN = 64


class _Broken(NamedTuple):
    """The part that there is of a transfer."""

    at: float
    size: int


class _Account:
    """One contact's."""

    def __init__(self) -> None:
        self.spells: deque[list[float]] = deque()
        """Beginning and bytes."""
        self.broken: OrderedDict[str, _Broken] = OrderedDict()
        """By manifest digest."""

    def add(self, at: float, size: int) -> None:
        if self.spells and at < self.spells[-1][0] + _SPELL:
            self.spells[-1][1] += size
        else:
            self.spells.append([at, size])

    def forget(self, now: float) -> None:
        while self.spells and self.spells[0][0] + _SPELL + DAY <= now:
            self.spells.popleft()
        for manifest in [key for key, part in self.broken.items() if part.at + DAY <= now]:
            del self.broken[manifest]


class Quota:
    """Of every contact, by their public key as text."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}

    def add(self, record: Record) -> None:
        """A transfer has ended; in the order of time."""
        if record.direction != "received" or record.result == "declined":
            return
        account = self._accounts.setdefault(record.key, _Account())
        before = account.broken.pop(record.manifest, None)
        if record.result in {"done", "partial"}:
            account.add(record.time, record.bytes)
            return
        size = max(record.bytes, before.size if before is not None else 0)
        account.broken[record.manifest] = _Broken(record.time, size)
        if len(account.broken) > _MOST_BROKEN:
            _, oldest = account.broken.popitem(last=False)
            account.add(record.time, oldest.size)

    def used(self, key: str, now: float, *, besides: frozenset[str] = frozenset()) -> int:
        """Bytes within the last day; parts of transfers that go on are counted with those."""
        account = self._accounts.get(key)
        if account is None:
            return 0
        account.forget(now)
        parts = sum(
            part.size for manifest, part in account.broken.items() if manifest not in besides
        )
        return int(sum(size for _, size in account.spells)) + parts


def read_back(records: "list[Record]") -> Quota:
    """From the history: records of the last day, newest first."""
    quota = Quota()
    for record in reversed(records):
        quota.add(record)
    return quota
