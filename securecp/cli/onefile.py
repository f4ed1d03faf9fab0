"""`receive -o FILE|-`: what comes is one file, and goes where the person says, under that name."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from securecp.cli.failures import UsageError
from securecp.cli.text import quoted

if TYPE_CHECKING:
    from securecp.cli.output import Output as Words
    from securecp.disk.pipe import PipeSink
    from securecp.disk.settle import Conflict
    from securecp.errors import StorageError
    from securecp.net.stores import Output

STDOUT = "-"


def check(words: "Words", output: str, into: Path | None, conflict: str | None) -> None:
    """Whether one file can go there; an error says why not."""
    if into is not None:
        raise UsageError("-o and --into exclude each other", "-o names the file, --into a folder")
    if output == STDOUT:
        _check_stdout(words)
        return
    if conflict in {"rename", "skip", "ask"}:
        raise UsageError(f"--on-conflict {conflict} means nothing with -o", "-o names the file")
    if not output or output.endswith("/") or Path(output).is_dir():
        raise UsageError("-o names a file, not a folder", "--into names a folder")
    if not Path(output).absolute().parent.is_dir():
        raise UsageError(f"there is no folder for {quoted(output, 1000)}", "make it first")
    if os.path.lexists(output) and conflict != "overwrite":
        raise UsageError(
            f"{quoted(output, 1000)} is there already", "--on-conflict overwrite replaces it"
        )


def _check_stdout(words: "Words") -> None:
    if words.as_json:
        raise UsageError("with -o - standard output is for content alone", "leave out --json")
    if sys.stdout.isatty():
        raise UsageError(
            "the content would go to the terminal", "pass it on: securecp receive -o - | tar x"
        )
    words.aside = True


def place(output: str, *, overwrite: bool, ring: Callable[[], None], **options: Any) -> "Output":
    """For the engine; `ring` wakes its loop, from any thread; `options` are those of a store."""
    from securecp.net.stores import Output

    if output == STDOUT:
        from securecp.disk.pipe import PipeSink
        from securecp.disk.pipestore import PipeStore, PipeStream

        sink = PipeSink(1, ring)
        return Output(
            lambda _peer: PipeStore(sink),
            lambda _peer, _offered: PipeStream(sink),
            trouble=lambda: _trouble(sink),
        )
    from securecp.disk.streamstore import NamedStore, StreamStore, output_place

    folder, name = output_place(output)
    conflict: Conflict = "overwrite" if overwrite else "rename"
    reserve = options.get("reserve")
    return Output(
        lambda peer: NamedStore(folder, name, conflict=conflict, peer=peer, **options),
        lambda _peer, _offered: StreamStore(folder, conflict=conflict, reserve=reserve, name=name),
        lasts=True,
    )


def _trouble(sink: "PipeSink") -> "StorageError | None":
    """Why nothing more can be written, once nobody writes."""
    from securecp.errors import StorageError

    if sink.error is None and sink.used:
        return StorageError("the output has a part of what did not come to its end")
    return sink.error
