"""Where received files may go: a folder for them, not one whose files other programs obey.

A file called `.ssh/authorized_keys` or `.bashrc` is harmless in a folder of its own and is not in
a home folder. So such folders need `--into-anywhere` (SPEC §10.7); which they are, `disk.safety`
says.
"""

import os
from pathlib import Path

from securecp.cli.failures import UsageError
from securecp.cli.text import quoted
from securecp.errors import StorageError


def check(folder: Path, *, ours: Path | None = None) -> None:
    """Refuse a folder that needs the flag; `ours` is the default destination, which never does."""
    from securecp.disk import safety

    real = Path(os.path.realpath(folder))
    if ours is not None and real == Path(os.path.realpath(ours)):
        return
    reason = safety.objection(real, Path(os.path.realpath(Path.home())))
    if reason:
        raise UsageError(
            f"not receiving into {quoted(os.fsencode(folder))}: {reason}",
            "choose a folder made for it, or add --into-anywhere if you mean it",
        )


def prepare(folder: Path) -> None:
    """Make the folder if it is missing, and find out now whether it can be written."""
    import tempfile

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, prefix=".securecp-"):
            pass
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "unusable"
        if isinstance(error, FileExistsError | NotADirectoryError):
            reason = "it is not a folder"
        raise StorageError(
            f"cannot write to {quoted(os.fsencode(folder))}: {reason[:1].lower() + reason[1:]}",
            "choose another folder with --into",
        ) from None
