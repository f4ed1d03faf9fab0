"""One line of the history: what went to or came from whom, how it ended, and by which digests.

    {"v": 1, "id": …, "time": "2026-11-26T21:48:00.125Z", "direction": "received", "key": "age1…",
     "name": "alice", "result": "done", "code": 0, "files": 3, "bytes": 1234, …}
    {"v": 1, "of": id, "hook": 0}          how the program ended that was started for it

Any bytes are a record, an addition to one, or nothing: a damaged line spoils no other.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, get_args

Direction = Literal["sent", "received"]
Result = Literal["done", "partial", "failed", "cancelled", "declined"]

VERSION = 1
LONGEST_LINE = 1 << 17
NAMES = 10
LONGEST_NAME = 255
_LONGEST_TEXT = 4_096
_LARGEST = 1 << 63


class Record(NamedTuple):
    """One transfer that has ended."""

    id: str
    """Drawn by chance: two transfers of one second are two."""
    time: float
    """When it ended, in seconds of the Unix clock."""
    direction: Direction
    key: str
    """The peer's public key as text."""
    name: str
    """What the peer was called then."""
    result: Result
    code: int = 0
    """The exit code that it would give alone."""
    reason: str = ""
    transfer: str = ""
    manifest: str = ""
    content: str = ""
    files: int = 0
    bytes: int = 0
    """Content that had arrived when it ended."""
    seconds: float = 0.0
    path: str = ""
    names: tuple[str, ...] = ()
    """What it was called at the top; the first few."""
    more: int = 0
    """How many names there were beyond these."""
    folder: str = ""
    hook: int | None = None
    """Exit code of the program that was started for it; negative: the signal that ended it."""


class Hooked(NamedTuple):
    """An addition to the record of this id."""

    of: str
    hook: int


def names_of(names: Iterable[bytes]) -> tuple[tuple[str, ...], int]:
    """Names as text for a record, and how many were too many."""
    names = list(names)
    kept = (name.decode("utf-8", "backslashreplace")[:LONGEST_NAME] for name in names[:NAMES])
    return tuple(kept), max(0, len(names) - NAMES)


def encode(item: Record | Hooked) -> bytes:
    """As a line; ASCII, so that it is valid in every locale."""
    if isinstance(item, Hooked):
        return _line({"v": VERSION, "of": item.of, "hook": item.hook})
    return _line({"v": VERSION, **fields(item)})


def fields(record: Record) -> dict[str, Any]:
    """As fields of JSON; what is empty is left out."""
    ordinary = Record._field_defaults
    told = {
        field: value
        for field, value in record._asdict().items()
        if field not in ordinary or value != ordinary[field] or field == "code"
    }
    when = datetime.fromtimestamp(record.time, UTC)
    if record.folder:  # a path need not be text
        folder = record.folder.encode("utf-8", "surrogateescape")
        told["folder"] = folder.decode("utf-8", "backslashreplace")
    told["time"] = when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return told


def parse(line: bytes) -> Record | Hooked | None:
    """What a line says; None if it is not wholly understood."""
    if len(line) > LONGEST_LINE:
        return None
    try:
        told = json.loads(line)
        if not isinstance(told, dict) or type(told.get("v")) is not int or told["v"] != VERSION:
            return None
        return _hooked(told) if "of" in told else _record(told)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError, OSError):
        return None


def _hooked(told: dict[str, Any]) -> Hooked:
    return Hooked(_text(told["of"]), _whole(told["hook"], least=-_LARGEST))


def _record(told: dict[str, Any]) -> Record:
    known = {field: _READERS[field](told[field]) for field in Record._fields if field in told}
    return Record(**known)  # a field that must be there and is not: TypeError


def _line(told: dict[str, Any]) -> bytes:
    return json.dumps(told, separators=(",", ":")).encode() + b"\n"


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        raise TypeError("no text")
    return value


def _whole(value: object, least: int = 0) -> int:
    if type(value) is not int or not least <= value < _LARGEST:
        raise TypeError("no number")
    return value


def _seconds(value: object) -> float:
    if type(value) not in {int, float}:
        raise TypeError("no time")
    number = float(value)  # type: ignore[arg-type]
    if not 0 <= number < 1e15:
        raise ValueError("no time")
    return number


def _time(value: object) -> float:
    when = datetime.fromisoformat(_text(value))
    if when.tzinfo is None:
        raise ValueError("of which time zone?")
    return when.timestamp()


def _word(words: Any) -> Any:
    def read(value: object) -> str:
        if value not in get_args(words):
            raise ValueError("another word")
        return str(value)

    return read


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > NAMES:
        raise TypeError("no names")
    return tuple(_text(name) for name in value)


_READERS: dict[str, Any] = {
    "id": _text,
    "time": _time,
    "direction": _word(Direction),
    "key": _text,
    "name": _text,
    "result": _word(Result),
    "code": _whole,
    "reason": _text,
    "transfer": _text,
    "manifest": _text,
    "content": _text,
    "files": _whole,
    "bytes": _whole,
    "seconds": _seconds,
    "path": _text,
    "names": _names,
    "more": _whole,
    "folder": _text,
    "hook": lambda value: _whole(value, least=-_LARGEST),
}
