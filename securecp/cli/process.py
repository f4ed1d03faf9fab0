"""What the process owes its secrets and its terminal before a command runs.

- No core file and no ptrace by others: a key must not end up in a crash dump (SPEC §10.8).
- A thread that fails says nothing by itself: its error reaches the main thread as a value.
- The first SIGINT, SIGTERM or SIGHUP stops in order (KeyboardInterrupt), the second at once.
"""

import contextlib
import os
import signal
import sys
import threading
from types import FrameType

INTERRUPTED = 5
_PR_SET_DUMPABLE = 4
_SHOW_CURSOR = b"\x1b[?25h"

_signals_seen = 0


def harden() -> None:
    """Keep memory to ourselves: core limit 0, not dumpable. Does what the platform offers."""
    try:
        import resource
    except ImportError:  # not a POSIX system
        return
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def quiet_threads() -> None:
    """Python prints a traceback for a failed thread or finaliser; ours carry errors as values."""
    threading.excepthook = lambda _arguments: None
    sys.unraisablehook = lambda _arguments: None


def catch_signals() -> None:
    """SIGTERM and SIGHUP stop as Ctrl-C does; what our parent chose to ignore stays ignored."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is None or signal.getsignal(number) is signal.SIG_IGN:
            continue
        signal.signal(number, _stop)


def _stop(_number: int, _frame: FrameType | None) -> None:
    global _signals_seen  # noqa: PLW0603  a signal handler has no other place to remember
    _signals_seen += 1
    if _signals_seen > 1:
        leave_now(INTERRUPTED)
    with contextlib.suppress(OSError):
        if os.isatty(2):
            os.write(2, b"\n")  # our words do not follow "^C" on its line
    raise KeyboardInterrupt


def leave_now(code: int) -> None:
    """End without waiting for anything; parts on disk stay under their hidden names."""
    with contextlib.suppress(OSError):
        if os.isatty(2):
            os.write(2, _SHOW_CURSOR + b"\n")
    os._exit(code)


def plain_streams() -> None:
    """No text makes printing fail, and no locale turns a harmless character into a control byte.

    UTF-8 stays; under any other encoding everything beyond ASCII is shown as an escape, since some
    of them (ISO-2022, the old code pages) use bytes that a terminal would obey.
    """
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is None:
            continue
        encoding = (getattr(stream, "encoding", "") or "").lower().replace("-", "").replace("_", "")
        reconfigure(encoding="utf-8" if encoding == "utf8" else "ascii", errors="backslashreplace")
