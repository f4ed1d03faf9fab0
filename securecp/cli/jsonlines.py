"""A session's events as fields of JSON lines (SPEC §10.3).

    listening {endpoint}                connected {peer, key, path, endpoint}
    reaching {peer, servers, lan}            server {server, up, reason}
    reached {…, ms}, path, silent, back {peer, key, path, endpoint}      see `whereabouts.py`
    offer {peer, key, files, bytes, names, remarkable, …}
    resumed {peer, key, kept, bytes}         verifying {peer, key, done, total}
    waiting {peer, key, reason, left}        paused {peer, key, needed}
    progress {peer, key, bytes, total, rate}
    done {peer, key, bytes, bytes_sent, saved, seconds, files, digest, present, skipped, …}
    error {code, message, hint}              with peer, key, resumable if it is about one of them

`peer` is the contact's name and `key` its public key. Names are text fit to show; where that is not
the very name, `names_hex` holds its bytes. Fields may be added, never changed.
"""

from collections.abc import Sequence

from securecp.cli import whereabouts
from securecp.cli.text import safe_text
from securecp.cli.whereabouts import WHEREABOUTS
from securecp.events import (
    Back,
    Connected,
    Done,
    Event,
    Failed,
    Listening,
    Offered,
    PathChanged,
    Paused,
    Progress,
    Reached,
    Reaching,
    Resumed,
    ServerState,
    Silent,
    Verifying,
    Waiting,
)

NAMES: dict[type[Event], str] = {
    Listening: "listening",
    Reaching: "reaching",
    ServerState: "server",
    Reached: "reached",
    Connected: "connected",
    PathChanged: "path",
    Silent: "silent",
    Back: "back",
    Offered: "offer",
    Resumed: "resumed",
    Waiting: "waiting",
    Paused: "paused",
    Verifying: "verifying",
    Progress: "progress",
    Done: "done",
    Failed: "error",
}
"""What each is called."""
_NAME_LIMIT = 4_096

Fields = dict[str, object]


def fields(event: Event, who: Fields, left_out: Sequence[tuple[bytes, str]] = ()) -> Fields:
    """Of the line; `who` names the peer, and `left_out` what was never offered, with reasons."""
    if isinstance(event, WHEREABOUTS):
        return _numbered(event, whereabouts.fields(event, who))
    match event:
        case Listening():
            return {"endpoint": event.endpoint}
        case Offered():
            told = _offered(event)
        case Done():
            told = _done(event, (*left_out, *event.failed))
        case Failed():
            return _failed(event, who)
        case _:
            told = _plain(event)
    return _numbered(event, {**who, **told})


def name(value: bytes, field: str = "name") -> Fields:
    """A name as text fit to show, and its bytes if that is not the very name."""
    shown = safe_text(value, _NAME_LIMIT)
    exact = shown.encode() == value
    return {field: shown} if exact else {field: shown, f"{field}_hex": value.hex()}


def names(field: str, values: Sequence[bytes]) -> Fields:
    """The same for a list."""
    shown = [safe_text(value, _NAME_LIMIT) for value in values]
    if all(text.encode() == value for text, value in zip(shown, values, strict=True)):
        return {field: shown}
    return {field: shown, f"{field}_hex": [value.hex() for value in values]}


def _numbered(event: Event, told: Fields) -> Fields:
    """Transfers of one program are told apart by their number."""
    number = getattr(event, "transfer", 0)
    return {**told, "transfer": number} if number else told


def _plain(event: Connected | Resumed | Waiting | Paused | Verifying | Progress) -> Fields:
    match event:
        case Connected():
            return {"path": event.path, "endpoint": event.endpoint}
        case Resumed():
            return {"kept": event.kept, "bytes": event.size}
        case Waiting():
            return {"reason": safe_text(event.reason, 1000), "left": round(event.left, 1)}
        case Paused():
            return {"needed": event.needed}
        case Verifying():
            return {"done": event.done, "total": event.size}
        case Progress():
            return {"bytes": event.moved, "total": event.size, "rate": round(event.rate)}


def _offered(event: Offered) -> Fields:
    return {
        "files": event.files,
        "bytes": event.size,
        "stream": event.stream,
        "links": event.links,
        **names("names", event.names),
        **names("remarkable", event.remarkable),
    }


def _done(event: Done, failed: Sequence[tuple[bytes, str]]) -> Fields:
    return {
        "bytes": event.size,
        "bytes_sent": event.sent,
        "saved": event.saved,
        "seconds": round(event.seconds, 6),
        "files": event.files,
        "digest": event.digest.hex(),
        "present": event.present,
        "skipped": event.skipped,
        "renamed": [{**name(old), **name(new, "to")} for old, new in event.renamed],
        "failed": [{"reason": safe_text(reason), **name(path)} for path, reason in failed],
    }


def _failed(event: Failed, who: Fields) -> Fields:
    message, hint = safe_text(event.message, 1000), safe_text(event.hint, 1000)
    told = {"code": event.code, "message": message, "hint": hint}
    return _numbered(event, {**told, **who, "resumable": event.resumable} if event.peer else told)
