"""What a person should see of an offer before saying yes (SPEC §8.4, MF-20).

Totals, the names at the top, and every file path worth a second look, with the reason. A pure
function of the manifest: nothing here refuses (`names.py` does), and nothing makes text safe to
show (whoever shows it does).
"""

import re
import unicodedata
from itertools import islice
from typing import NamedTuple, TypeAlias

from securecp.transfer import names
from securecp.transfer.entries import FILE, LINK, STREAM, Entry
from securecp.transfer.manifest import Manifest

DEEP = 16
"""Components from which a path is called deep."""
REMARK_LIMIT = 1_000
"""Paths that are listed; all are counted."""
TOP_LIMIT = 1_000
"""Top-level names that are listed."""

Path: TypeAlias = tuple[bytes, ...]

_PLAIN = re.compile(
    rb"[A-Za-z0-9_(\[][A-Za-z0-9_ ()\[\],;!#$&'+=@^{}.-]*[A-Za-z0-9_)\]]|[A-Za-z0-9_]"
)
"""Names that are certainly unremarkable but for reserved words; the quick way out."""
_RESERVED = re.compile(
    r"(?i)(con|prn|aux|nul|conin\$|conout\$|clock\$|(com|lpt)[0-9¹²³])\s*(\..*)?"
)
_RESERVED_BEGIN = {b"con", b"prn", b"aux", b"nul", b"clo", b"com", b"lpt"}
_HIDDEN_KINDS = ("Cf", "Zl", "Zp", "Cn", "Co", "Cs")
"""Format (bidi, zero-width), line separators, unassigned, private, surrogates."""
_FILLERS = "\u034f\u115f\u1160\u2800\u3164\uffa0"
"""Not of those kinds, yet blank on the screen."""


class Remark(NamedTuple):
    """A path worth a second look, and why, in a few words."""

    path: Path
    reasons: tuple[str, ...]


class Summary(NamedTuple):
    """An offer as a person may judge it."""

    transfer_id: bytes
    digest: bytes
    entries: int
    files: int
    size: int
    names: tuple[bytes, ...]
    """At the top, the first `TOP_LIMIT`."""
    top: int
    """How many names there are at the top."""
    remarks: tuple[Remark, ...]
    """The first `REMARK_LIMIT`."""
    remarkable: int
    """How many paths are remarkable."""
    links: int = 0
    stream: bool = False
    """It is one file whose length nobody knows yet."""


def top_names(manifest: Manifest) -> tuple[bytes, ...]:
    """The names at the top, the first `TOP_LIMIT`; all that the sender itself is shown."""
    columns = manifest.columns
    tops = (index for index in range(len(columns)) if not columns.parent(index))
    return tuple(columns.name(index) for index in islice(tops, TOP_LIMIT))


def summarise(manifest: Manifest, transfer_id: bytes) -> Summary:
    """Everything to show before consent; about 1 µs an entry with ordinary names."""
    columns = manifest.columns
    remarks: list[Remark] = []
    names: list[bytes] = []
    top = remarkable = 0
    folded: set[tuple[int, str]] = set()
    for index, entry in enumerate(columns):
        _, parent, name, *_ = entry
        if not parent:
            top += 1
            if top <= TOP_LIMIT:
                names.append(name)
        reasons = _reasons(entry, columns.depth(index))
        if _collides(folded, parent, name):
            reasons += ("differs from another name by letter case or form alone",)
        if reasons:
            remarkable += 1
            if remarkable <= REMARK_LIMIT:
                remarks.append(Remark(manifest.path(index), reasons))
    return Summary(
        transfer_id,
        manifest.digest,
        len(columns),
        manifest.files,
        manifest.size,
        tuple(names),
        top,
        tuple(remarks),
        remarkable,
        columns.links,
        columns.stream,
    )


def remarks_on(name: bytes) -> tuple[str, ...]:
    """Why a name alone is worth a second look."""
    if _PLAIN.fullmatch(name) and (
        name[:3].lower() not in _RESERVED_BEGIN or not _RESERVED.fullmatch(name.decode("ascii"))
    ):
        return ()
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        return ("is not valid UTF-8",)
    return tuple(reason for reason, applies in _checks(text) if applies)


def _checks(text: str) -> tuple[tuple[str, bool], ...]:
    return (
        ("is hidden", text[0] == "."),
        ("starts with a dash", text[0] == "-"),
        ("starts with a tilde", text[0] == "~"),
        (
            "starts or ends with a space or dot",
            text[0].isspace() or text[-1] in ". " or text[-1].isspace(),
        ),
        ("has a colon, which some systems read as a stream or drive", ":" in text),
        ("has wildcards or quotes", any(sign in '*?<>|"`' for sign in text)),
        ("has percent forms of a separator", bool(re.search("(?i)%(2f|5c|2e|00)", text))),
        ("is reserved on Windows", bool(_RESERVED.fullmatch(text))),
        ("has invisible or direction-changing characters", any(map(_hidden, text))),
        (
            "looks like a part of a path",
            any(sign in text for sign in "\u2044\u2215\u29f8\uff0f\uff3c\u2024\u2025\uff0e"),
        ),
    )


def _hidden(character: str) -> bool:
    if character < "\x7f":
        return False
    if character in _FILLERS or "\ufe00" <= character <= "\ufe0f":
        return True
    kind = unicodedata.category(character)
    return kind in _HIDDEN_KINDS or (kind == "Zs" and character != " ")


def _reasons(entry: Entry, depth: int) -> tuple[str, ...]:
    reasons = remarks_on(entry.name)
    if entry.kind == LINK:
        return (*reasons, f"is a link to {names.shown(entry.target)}")
    if entry.kind == STREAM:
        reasons += ("is of unknown length",)
    if entry.kind == FILE and entry.mode & 0o111:
        reasons += ("is executable",)
    if entry.mode & 0o7000:
        reasons += ("has special permission bits, which are dropped",)
    if depth == DEEP:
        reasons += (f"is {DEEP} or more folders deep",)
    return reasons


def _collides(folded: set[tuple[int, str]], parent: int, name: bytes) -> bool:
    key = (parent, fold(name))
    if key in folded:
        return True
    folded.add(key)
    return False


def fold(name: bytes) -> str:
    """The same text for names that some file system takes for one (case, composition, end dots)."""
    if name.isascii():
        return name.decode("ascii").lower().rstrip(". ")
    text = unicodedata.normalize("NFKC", name.decode("utf-8", "surrogateescape"))
    return unicodedata.normalize("NFKC", text.casefold()).rstrip(". ")
