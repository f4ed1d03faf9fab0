"""What is to be sent, as it was typed: paths that are there, or `-` for standard input.

With `--dry-run` it is listed, and nothing leaves this machine.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from securecp.cli import jsonlines, units
from securecp.cli.failures import UsageError
from securecp.cli.text import quoted, safe_text
from securecp.cli.wording import failed_lines
from securecp.errors import SourceError

if TYPE_CHECKING:
    from securecp.cli.output import Output
    from securecp.disk.tree import Scan

STREAM = "-"
_NAMES_SHOWN = 200
_KINDS = {1: "/", 2: " (a link)"}

Missing = list[tuple[bytes, str]]


class Scanning(NamedTuple):
    """How the paths are walked: the options of that name."""

    exclude: tuple[str, ...]
    ignore_files: bool
    symlinks: bool
    rename_unsafe: bool

    def arguments(self) -> dict[str, Any]:
        """For `disk.scan`."""
        return self._asdict()


class Wanted(NamedTuple):
    """What is to go to whom, as it was typed."""

    paths: tuple[str, ...]
    names: tuple[str, ...]
    stream_name: str | None
    scanning: Scanning
    dry_run: bool
    verify: bool


def is_stream(paths: tuple[str, ...]) -> bool:
    """Whether standard input is meant; an error if other paths are as well."""
    if STREAM not in paths:
        return False
    if len(paths) > 1:
        raise UsageError(
            "standard input goes alone, without other paths", "for a file of that name write ./-"
        )
    return True


def check_stream(name: str | None, **options: object) -> bytes:
    """The name that standard input gets there; an error for options that mean nothing for it."""
    for option, value in options.items():
        if value:
            raise UsageError(
                f"--{option.replace('_', '-')} means nothing for standard input",
                "its length is not known, and it can be read once",
            )
    if name is None:
        raise UsageError(
            "standard input has no name", "say what it is called there: --name backup.tar"
        )
    from securecp.transfer import names

    encoded = os.fsencode(name)
    if problem := names.problem(encoded):
        raise UsageError(f"--name {quoted(encoded)} cannot be used: {problem}", "one plain name")
    return encoded


def look(paths: tuple[str, ...]) -> tuple[list[Path], Missing]:
    """Which paths are there, and what is wrong with the others; an error if none is there."""
    present: list[Path] = []
    missing: Missing = []
    for path in paths:
        if not path:
            raise UsageError("a path is empty")
        try:
            os.lstat(path)
        except (OSError, ValueError) as error:
            missing.append((os.fsencode(path), _reason(error)))
        else:
            present.append(Path(path))
    if not present:
        first, reason = missing[0]
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise SourceError(f"cannot send {quoted(first)}: {reason}{more}", "check the spelling")
    return present, missing


def preview(
    output: "Output", paths: list[Path], missing: Missing, how: Scanning, to: Sequence[str]
) -> int:
    """List what would be sent, and to whom; the exit code."""
    from securecp.disk.tree import scan

    found = scan(paths, **how.arguments())
    left_out = (*missing, *found.problems)
    if not len(found.manifest.entries):
        for line in failed_lines(left_out):
            output.warning(line)
        excluded = units.count(found.total.excluded, "name")
        raise SourceError(
            "nothing to send", f"{excluded} excluded by patterns" if found.total.excluded else ""
        )
    if output.as_json:
        output.event("plan", **_fields(found, left_out, to))
    else:
        _tell(output, found, left_out, to)
    return 7 if left_out else 0


def _fields(
    found: "Scan", left_out: Sequence[tuple[bytes, str]], to: Sequence[str]
) -> jsonlines.Fields:
    total = found.total
    return {
        "to": list(to),
        "files": total.files,
        "folders": total.folders,
        "links": total.links,
        "bytes": total.size,
        **jsonlines.names("paths", [path for path, _, _ in found.listing()]),
        "excluded": total.excluded,
        **jsonlines.names("excluded_paths", found.excluded_paths),
        "renamed": [
            {**jsonlines.name(old), **jsonlines.name(new, "to")} for old, new in found.renamed
        ],
        "failed": [
            {"reason": safe_text(reason), **jsonlines.name(path)} for path, reason in left_out
        ],
    }


def _tell(
    output: "Output", found: "Scan", left_out: Sequence[tuple[bytes, str]], to: Sequence[str]
) -> None:
    total = found.total
    counts = [units.count(total.files, "file")]
    counts += [units.count(total.folders, "folder")] if total.folders else []
    counts += [units.count(total.links, "link")] if total.links else []
    whom = f" to {', '.join(to)}" if to else ""
    output.result(f"would send {', '.join(counts)}, {units.size(total.size)}{whom}:")
    for number, (path, kind, size) in enumerate(found.listing()):
        if number == _NAMES_SHOWN and not output.verbose:
            rest = total.files + total.folders + total.links - _NAMES_SHOWN
            output.result(f"  and {rest:,} more (-v lists all)")
            break
        what = _KINDS.get(kind, f"  {units.size(size)}")
        output.result(f"  {safe_text(path, 1000)}{what}")
    for old, new in found.renamed:
        output.result(f"renamed: {quoted(old)} would be {quoted(new)}")
    if total.excluded:
        output.result(f"excluded: {units.count(total.excluded, 'name')} by patterns")
        if output.verbose:
            for path in found.excluded_paths:
                output.result(f"  {safe_text(path, 1000)}")
    for line in failed_lines(left_out):
        output.result(line)


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno).lower()
    return "not a name that a file can have"
