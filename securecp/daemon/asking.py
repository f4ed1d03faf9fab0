"""The other end of control sockets: ask every running program of a home (`status`, `cancel`)."""

import contextlib
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

from securecp.daemon import controlfolder
from securecp.daemon.control import LONGEST_ANSWER, is_ours

PATIENCE = 3.0
"""Seconds for one program; one that is stopped or hangs is passed over."""

_LARGEST = 1 << 63

Answer = dict[str, Any]


class Row(NamedTuple):
    """One transfer of a running program, as that program tells it."""

    id: str
    name: str = ""
    key: str = ""
    direction: str = ""
    state: str = ""
    manifest: str = ""
    names: tuple[str, ...] = ()
    more: int = 0
    files: int = 0
    bytes: int = 0
    total: int = 0
    rate: int = 0
    message: str = ""


def rows(answer: Answer) -> list[Row]:
    """The transfers in an answer; what is not of the right kind is as good as not said."""
    return [_row(told) for told in answer.get("transfers", []) if isinstance(told, dict)]


def _row(told: dict[str, Any]) -> Row:
    fields: dict[str, Any] = {"id": ""}
    for field, ordinary in Row._field_defaults.items() | {("id", "")}:
        value = told.get(field)
        if field == "names" and isinstance(value, list):
            fields[field] = tuple(name for name in value if isinstance(name, str))
        elif type(value) is type(ordinary) and _is_sound(value):
            fields[field] = value
    return Row(**fields)


def _is_sound(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and 0 <= value < _LARGEST)


def ask(state: Path, patience: float = PATIENCE, **request: object) -> list[Answer]:
    """The answers of all programs that run, in the order of their process numbers."""
    line = json.dumps(request).encode() + b"\n"
    try:
        folder = controlfolder.open_folder(state, create=False)
    except OSError:
        return []
    answers: list[Answer] = []
    with contextlib.closing(folder):
        for name in folder.names():
            with contextlib.suppress(OSError):
                data = _exchange(folder, name, line, patience)
                if (answer := parse(data)) is not None:
                    answers.append(answer)
    return sorted(answers, key=lambda answer: int(answer["pid"]))


def parse(data: bytes) -> Answer | None:
    """Any bytes are an answer or none."""
    line, end, _ = data.partition(b"\n")
    if not end:
        return None
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or type(told.get("pid")) is not int:
        return None
    rows = told.get("transfers", [])
    whole = isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
    return told if whole else None


def _exchange(folder: controlfolder.Folder, name: str, line: bytes, patience: float) -> bytes:
    until = time.monotonic() + patience
    with controlfolder.connect(folder, name) as connection:
        if not is_ours(connection):
            return b""
        connection.sendall(line)
        parts: list[bytes] = []
        size = 0
        while size <= LONGEST_ANSWER and (left := until - time.monotonic()) > 0:
            connection.settimeout(left)
            data = connection.recv(65_536)
            parts.append(data)
            size += len(data)
            if not data or b"\n" in data:
                break
        return b"".join(parts)
