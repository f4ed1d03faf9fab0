"""Where received files may go: a folder for them, not one whose files other programs obey.

A file called `.ssh/authorized_keys` or `.bashrc` is harmless in a folder of its own and is not in
a home folder. So a home folder, what is hidden in it, whatever contains it, and the system's
folders need `--into-anywhere` (SPEC §10.7). This judges folders; names are judged in `transfer`.
"""

import os
import tempfile
from pathlib import Path

from securecp.cli.failures import UsageError
from securecp.cli.text import quoted
from securecp.errors import StorageError

_SYSTEM = (
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/sbin",
    "/sys", "/usr", "/var/lib", "/var/log", "/var/spool", "/var/www",
    "/System", "/Library", "/Applications",
)  # fmt: skip


def check(folder: Path, home: Path, *, ours: Path | None = None) -> None:
    """Refuse a folder that needs the flag; `ours` is the default destination, which never does."""
    real = Path(os.path.realpath(folder))
    if ours is not None and real == Path(os.path.realpath(ours)):
        return
    reason = _objection(real, Path(os.path.realpath(home)))
    if reason:
        raise UsageError(
            f"not receiving into {quoted(os.fsencode(folder))}: {reason}",
            "choose a folder made for it, or add --into-anywhere if you mean it",
        )


def _objection(folder: Path, home: Path) -> str:
    if folder == home:
        return "it is your home folder, where programs obey the files they find"
    if home.is_relative_to(folder):
        return "it contains your home folder"
    if folder.is_relative_to(home) and folder.relative_to(home).parts[0].startswith("."):
        return "it is hidden in your home folder, where programs keep their settings"
    if any(folder.is_relative_to(system) for system in _SYSTEM):
        return "it belongs to the system"
    return ""


def prepare(folder: Path) -> None:
    """Make the folder if it is missing, and find out now whether it can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, prefix=".securecp-"):
            pass
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "unusable"
        raise StorageError(
            f"cannot write to {quoted(os.fsencode(folder))}: {reason[:1].lower() + reason[1:]}",
            "choose another folder with --into",
        ) from None
