"""Named reasons to wake up; the next wake-up is the earliest (after quinn's `timer.rs`)."""

import math
from enum import IntEnum


class Timer(IntEnum):
    """Why a connection wants to be woken; expiries are handled in this order."""

    IDLE = 0
    """Nothing authentic has come for too long."""
    STALL = 1
    """The peer lives, but nothing that we wait for has moved for too long."""
    LOSS = 2
    """A burst in flight becomes lost by age."""
    PROBE = 3
    """PTO: ask for an acknowledgement."""
    ACK = 4
    """An acknowledgement has been held long enough."""
    PACE = 5
    """The next burst may leave."""
    KEEPALIVE = 6
    """Say something, so that the peer and the NATs know we are there."""
    LISTEN = 7
    """Content has stopped coming: ask, for our address may have changed."""
    QUIET = 8
    """What we have sent has had no answer for too long."""
    PATH = 9
    """A challenge is due, or something on a path that we have left."""


class Timers:
    """One deadline, in seconds, for each reason."""

    __slots__ = ("_at",)

    def __init__(self) -> None:
        self._at = [math.inf] * len(Timer)

    def set(self, timer: Timer, at: float) -> None:
        """Wake at `at`, and no more at what was set before for this reason."""
        self._at[timer] = at

    def set_earlier(self, timer: Timer, at: float) -> None:
        """Wake at `at` unless an earlier time is set."""
        self._at[timer] = min(self._at[timer], at)

    def clear(self, timer: Timer) -> None:
        """Do not wake for this reason."""
        self._at[timer] = math.inf

    def clear_all(self) -> None:
        """Do not wake at all."""
        self._at = [math.inf] * len(Timer)

    def at(self, timer: Timer) -> float:
        """When this timer expires; `math.inf` if it is not set."""
        return self._at[timer]

    def is_set(self, timer: Timer) -> bool:
        """Whether this timer will expire."""
        return self._at[timer] != math.inf

    def next(self) -> float | None:
        """The earliest time set, or None."""
        earliest = min(self._at)
        return None if earliest == math.inf else earliest

    def expired(self, now: float) -> list[Timer]:
        """Take out the timers that are due, in the order of the enumeration."""
        if min(self._at) > now:
            return []
        due = [timer for timer in Timer if self._at[timer] <= now]
        for timer in due:
            self._at[timer] = math.inf
        return due
