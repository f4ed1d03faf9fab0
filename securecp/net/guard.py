"""A bug in one session ends that session, not the program that serves everybody else (MB-07)."""

import traceback
from collections.abc import Callable
from pathlib import PurePath
from typing import TypeVar

from securecp.errors import SecurecpError
from securecp.net.workshop import Workshop
from securecp.receiving import ReceiveSession
from securecp.transport.connection import CLOSE_FAILED

T = TypeVar("T")


class GuardedSession(ReceiveSession):
    """Fails by itself where others would take the loop with them."""

    def advance(self, now: float) -> None:
        """Carry out what follows from what has come."""
        self._guarded(lambda: super(GuardedSession, self).advance(now))

    def store(self, offset: int, slices: list[memoryview]) -> None:
        """The connection's sink."""
        self._guarded(lambda: super(GuardedSession, self).store(offset, slices))

    def take(self, then: Callable[[T | Exception], None], result: T | Exception) -> None:
        """A result of the workshop."""
        self._guarded(lambda: then(result))

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except SecurecpError as error:
            self._stop(error, CLOSE_FAILED, "it cannot go on")
        except Exception as error:
            self._stop(SecurecpError(_words(error), _HINT), CLOSE_FAILED, "a bug")


class GuardedWorkshop:
    """The workshop as a guarded session has it.

    How a store keeps what is there for a later session is done even when the whole program leaves.
    """

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self.session: GuardedSession | None = None

    def start(self, job: Callable[[], T], then: Callable[[T | Exception], None]) -> None:
        last = getattr(job, "__name__", "") == "suspend"
        start = self._workshop.start_last if last else self._workshop.start
        start(job, self._taken(then))

    def start_aside(self, job: Callable[[], T], then: Callable[[T | Exception], None]) -> None:
        self._workshop.start_aside(job, self._taken(then))

    def _taken(self, then: Callable[[T | Exception], None]) -> Callable[[T | Exception], None]:
        def take(result: T | Exception) -> None:
            assert self.session is not None
            self.session.take(then, result)

        return take


_HINT = "this is a bug; please report it with `securecp --version` and what was sent"


def _words(error: Exception) -> str:
    """Its kind and place; its own words may hold a secret."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"unexpected {type(error).__name__}{place}"
