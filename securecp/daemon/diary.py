"""A program's history and its control socket: what `send` and `receive` have in common.

events ─► Chronicle ─► records ─► History
loop   ─► Control   ─► status, cancel
"""

import os
import secrets
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from securecp.daemon.chronicle import Chronicle, Ended
from securecp.daemon.control import Control
from securecp.daemon.history import History
from securecp.daemon.plain import Show, plain

if TYPE_CHECKING:
    from securecp.errors import SecurecpError
    from securecp.events import Event
    from securecp.net.running import Transfer

MOST_FAILURES = 60
"""Records an hour and contact of transfers that came to nothing: none fills our diary."""
_HOUR = 3_600.0
_NAMES_TOLD = 5


class Diary:
    """`diary(event)` for every event; `control` for the loop."""

    def __init__(
        self,
        *,
        state: Path,
        sending: bool,
        name_of: Callable[[bytes], str],
        text_of: Callable[[bytes], str],
        folder_of: Callable[[bytes], Path] | None = None,
        show: Show = plain,
        about: Callable[[], dict[str, Any]] = dict,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.history = History(state)
        self.chronicle = Chronicle(
            "sent" if sending else "received",
            name_of=name_of,
            text_of=text_of,
            folder_of=lambda peer: _folder(folder_of, peer),
            drawn=lambda: secrets.token_hex(8),
            wall=wall,
            clock=clock,
        )
        self.control = Control(state, self._row, self._about)
        self._sending = sending
        self._name_of = name_of
        self._text_of = text_of
        self._show = show
        self._more_about = about
        self._clock = clock
        self._since = wall()
        self._failures: dict[str, deque[float]] = {}

    def __call__(self, event: "Event") -> Ended | None:
        """What has happened; what it has ended. Never waits, never raises."""
        ended = self.chronicle.note(event)
        if ended is not None:
            self._keep(ended)
        return ended

    def record(self, error: "SecurecpError | BaseException") -> list[Ended]:
        """The program ends by this error, and with it what goes on."""
        code = getattr(error, "exit_code", 5 if isinstance(error, KeyboardInterrupt) else 1)
        message = getattr(error, "message", "interrupted" if code == 5 else type(error).__name__)
        ended = self.chronicle.record(code, message)
        for one in ended:
            self._keep(one)
        return ended

    def close(self) -> None:
        """Write what there is to be written."""
        self.history.close()

    def _keep(self, ended: Ended) -> None:
        record = ended.record
        if record.result in {"done", "partial"} or self._is_bearable(record.key):
            self.history.append(record)

    def _is_bearable(self, key: str) -> bool:
        now = self._clock()
        times = self._failures.setdefault(key, deque())
        while times and now - times[0] >= _HOUR:
            times.popleft()
        if len(times) >= MOST_FAILURES:
            return False
        times.append(now)
        return True

    # status

    def _about(self) -> dict[str, Any]:
        return {
            "kind": "send" if self._sending else "receive",
            "since": self._since,
            "lost": self.history.lost,
            **self._more_about(),
        }

    def _row(self, one: "Transfer") -> dict[str, Any]:
        return {
            "name": self._name_of(one.peer),
            "key": self._text_of(one.peer),
            "direction": "sent" if one.sending else "received",
            "state": one.state,
            "manifest": one.manifest_digest.hex(),
            "names": [self._show(name) for name in one.names[:_NAMES_TOLD]],
            "more": max(0, len(one.names) - _NAMES_TOLD),
            "files": one.files,
            "bytes": one.moved,
            "total": one.size,
            "rate": round(one.rate),
            "since": one.since,
            "path": one.path,
            "message": self._show(one.message),
        }


def _folder(folder_of: Callable[[bytes], Path] | None, peer: bytes) -> str:
    """A folder's path; if it cannot be told, there is a record all the same."""
    if folder_of is None:
        return ""
    try:
        return os.fspath(folder_of(peer))
    except Exception:  # whoever chooses folders refuses some
        return ""
