"""A session's events in words, as a bar, or as JSON lines.

    listening {endpoint}                connected {peer, key, path, endpoint}
    reaching {peer, servers, lan}            server {server, up, reason}
    reached {…, ms}, path, silent, back {peer, key, path, endpoint}      see `whereabouts.py`
    offer {peer, key, files, bytes, names}   progress {bytes, total, rate}
    done {peer, key, bytes, bytes_sent, seconds, files, digest, skipped, failed}
    error {code, message, hint}

`peer` is the contact's name and `key` its public key. Names are text fit to show; where that is not
the very name, `names_hex` holds its bytes (SPEC §10.3). Fields may be added, never changed.
"""

import sys
import time
from collections.abc import Callable, Sequence

from securecp.cli import units, whereabouts
from securecp.cli.output import Output
from securecp.cli.personal import to_receiver, to_sender
from securecp.cli.text import listed, quoted, safe_text
from securecp.cli.ui import Bar, progress_words
from securecp.cli.whereabouts import WHEREABOUTS, Whereabouts
from securecp.errors import DeclinedError, SecurecpError
from securecp.events import (
    Back,
    Connected,
    Done,
    Event,
    Failed,
    Listening,
    Offered,
    PathChanged,
    Progress,
    Reached,
    Reaching,
    ServerState,
    Silent,
)

_JSON_NAME_LIMIT = 4_096
_JSON_PROGRESS = 0.25
_PLAIN_PROGRESS = 5.0
_FAILURES_SHOWN = 20
_EVENTS: dict[type[Event], str] = {
    Listening: "listening",
    Reaching: "reaching",
    ServerState: "server",
    Reached: "reached",
    Connected: "connected",
    PathChanged: "path",
    Silent: "silent",
    Back: "back",
    Offered: "offer",
    Progress: "progress",
    Done: "done",
    Failed: "error",
}
"""What each is called in JSON."""
_SMOOTHING = 0.3
_Told = Listening | Connected | Offered | Progress | Done | Failed
_ABOUT_A_PEER = (Connected, Offered, PathChanged, Silent, Back, Reached)


class Narrator:
    """Told of every event; the shell's `emit`.

    `name_of` gives a contact's name for a public key, `text_of` the key's text.
    """

    def __init__(
        self,
        output: Output,
        *,
        sending: bool,
        name_of: Callable[[bytes], str],
        text_of: Callable[[bytes], str],
        left_out: Sequence[tuple[bytes, str]] = (),
        folder_of: Callable[[bytes], bytes] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.output = output
        self.peer = b""
        self._sending = sending
        self._name_of = name_of
        self._text_of = text_of
        self._folder_of = folder_of
        self._left_out = tuple(left_out)
        """What was not even offered; the person was told before, scripts read it at the end."""
        self._clock = clock
        self._bar: Bar | None = None
        self._told_at: float | None = None
        self._rate = 0.0
        self._words = whereabouts.Words()

    def __call__(self, event: Event) -> None:
        if isinstance(event, _ABOUT_A_PEER):
            self.peer = event.peer
        if isinstance(event, Failed):
            event = self._personal(event)
        if isinstance(event, Done | Failed):
            self.close()
            self._words.over()
        if self.output.as_json:
            self._as_json(event)
        else:
            self._in_words(event)

    @property
    def peer_name(self) -> str:
        """Whom this is about, so far."""
        return self._name_of(self.peer)

    def close(self) -> None:
        """Take the bar off the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar, self.output.above = None, None

    def _personal(self, event: Failed) -> Failed:
        """A receiver that goes on tells failures as events; they speak of the peer by name."""
        if not self.peer:
            return event
        plain = DeclinedError if event.code == DeclinedError.exit_code else SecurecpError
        personal = to_sender if self._sending else to_receiver
        error = personal(plain(event.message, event.hint), self.peer_name)
        return event._replace(message=error.message, hint=error.hint)

    # JSON

    def _as_json(self, event: Event) -> None:
        if isinstance(event, Progress):
            rare = not self._is_time(_JSON_PROGRESS, first=True)
            if rare and event.moved < event.size:
                return
        if isinstance(event, WHEREABOUTS):
            fields = whereabouts.fields(event, {} if not self.peer else self._who())
        else:
            fields = self._fields(event)
        self.output.event(_EVENTS[type(event)], **fields)

    def _fields(self, event: _Told) -> dict[str, object]:
        match event:
            case Listening():
                return {"endpoint": event.endpoint}
            case Connected():
                return {**self._who(), "path": event.path, "endpoint": event.endpoint}
            case Offered():
                return {
                    **self._who(),
                    "files": event.files,
                    "bytes": event.size,
                    **_json_names("names", event.names),
                    **_json_names("remarkable", event.remarkable),
                }
            case Progress():
                return {"bytes": event.moved, "total": event.size, "rate": round(event.rate)}
            case Done():
                return {**self._who(), **_done_fields(event, (*self._left_out, *event.failed))}
            case Failed():
                message, hint = safe_text(event.message, 1000), safe_text(event.hint, 1000)
                return {"code": event.code, "message": message, "hint": hint}

    def _who(self) -> dict[str, object]:
        return {"peer": self._name_of(self.peer), "key": self._text_of(self.peer)}

    # words

    def _in_words(self, event: Event) -> None:
        if isinstance(event, WHEREABOUTS):
            self._tell_whereabouts(event)
            return
        match event:
            case Listening():
                self.output.note(f"waiting at {event.endpoint}; Ctrl-C ends it")
                port = event.endpoint.rpartition(":")[2]
                self.output.advice(
                    f"they type: securecp send FILES --to NAME --at THIS-MACHINE:{port}"
                )
            case Connected():
                self._words.connected(event.path)
                self.output.note(f"connected to {self._name_of(event.peer)} ({event.path})")
                self.output.detail(f"at {event.endpoint}, key {self._text_of(event.peer)}")
            case Offered():
                self._tell_offer(event)
            case Progress():
                self._tell_progress(event)
            case Done():
                self._tell_done(event)
            case Failed():
                self.output.warning(safe_text(event.message, 1000))
                if event.hint:
                    self.output.warning(f"hint: {safe_text(event.hint, 1000)}")

    def _tell_whereabouts(self, event: Whereabouts) -> None:
        name = self._name_of(event.peer) if isinstance(event, Reaching) else self.peer_name
        note, detail = self._words.of(event, name)
        if note:
            self.output.note(note)
        if detail:
            self.output.detail(detail)

    def _tell_offer(self, event: Offered) -> None:
        if self._sending:
            self.output.note(f"offered {offer_words(event)}")
            self.output.note(f"waiting for {self._name_of(event.peer)} to accept …")
        else:
            self.output.detail(f"is offered {offer_words(event)}")

    def _tell_progress(self, event: Progress) -> None:
        self._rate += _SMOOTHING * (event.rate - self._rate) if self._rate else event.rate
        if self.output.quiet:
            return
        if sys.stderr.isatty():
            if self._bar is None:
                self._bar = Bar(event.size)
                self.output.above = self._bar.above
            self._bar.show(event.moved, event.size, self._rate)
        elif self._is_time(_PLAIN_PROGRESS, first=False):
            self.output.note(progress_words(event.moved, event.size, self._rate))

    def _is_time(self, interval: float, *, first: bool) -> bool:
        """Whether `interval` has passed since the last telling; `first` says yes the first time."""
        now = self._clock()
        if self._told_at is None:
            self._told_at = now
            return first
        if now - self._told_at < interval:
            return False
        self._told_at = now
        return True

    def _tell_done(self, event: Done) -> None:
        self._rate, self._told_at = 0.0, None
        for line in failed_lines(event.failed):
            self.output.warning(line)
        if self.output.quiet:
            return
        who = self._name_of(self.peer)
        verb, side = ("delivered", "to") if self._sending else ("received", "from")
        what = f"{units.count(event.files, 'file')}, {units.size(event.size)}"
        pace = units.rate(event.size / event.seconds) if event.seconds > 0 else ""
        took = f" in {units.duration(event.seconds)}" + (f" ({pace})" if pace else "")
        self.output.result(f"{verb} {what} {side} {who}{took}")
        if self._folder_of is not None:
            self.output.note(f"they are in {quoted(self._folder_of(self.peer), 1000)}")
        if event.skipped:
            self.output.note(f"{units.count(event.skipped, 'file')} skipped: already there")


def offer_words(event: Offered) -> str:
    """`3 files, 1.2 GB: "a", "b"`; the size stands before any name."""
    what = f"{units.count(event.files, 'file')}, {units.size(event.size)}"
    return f"{what}: {listed(event.names)}" if event.names else what


def failed_lines(failed: tuple[tuple[bytes, str], ...]) -> list[str]:
    """One line for each file that did not make it, up to a bearable number."""
    lines = [
        f"left out: {quoted(name)}: {safe_text(reason)}"
        for name, reason in failed[:_FAILURES_SHOWN]
    ]
    if len(failed) > _FAILURES_SHOWN:
        lines.append(f"left out: {len(failed) - _FAILURES_SHOWN:,} more")
    return lines


def _done_fields(event: Done, failed: Sequence[tuple[bytes, str]]) -> dict[str, object]:
    return {
        "bytes": event.size,
        "bytes_sent": event.sent,
        "seconds": round(event.seconds, 6),
        "files": event.files,
        "digest": event.digest.hex(),
        "skipped": event.skipped,
        "failed": [{"reason": safe_text(reason), **_json_name(name)} for name, reason in failed],
    }


def _json_name(name: bytes) -> dict[str, object]:
    shown = safe_text(name, _JSON_NAME_LIMIT)
    exact = shown.encode() == name
    return {"name": shown} if exact else {"name": shown, "name_hex": name.hex()}


def _json_names(field: str, names: tuple[bytes, ...]) -> dict[str, object]:
    shown = [safe_text(name, _JSON_NAME_LIMIT) for name in names]
    if all(text.encode() == name for text, name in zip(shown, names, strict=True)):
        return {field: shown}
    return {field: shown, f"{field}_hex": [name.hex() for name in names]}
