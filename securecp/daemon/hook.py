"""`--exec CMD`: the person's own program after each transfer that has come in (FS-21).

    CMD's words, then `--`, then the destination folder            arguments: all of them ours
    SECURECP_PEER, _KEY, _FILES, _BYTES, _DIGEST, _FOLDER, _TRANSFER      environment
    names at the top, each followed by a zero byte                  standard input

CMD is cut into words once, when we start, by the rules of a shell, and there is no shell: nothing
in it is expanded. The program is found then, too, and named by its whole path. What a peer chose
(the names) is in no argument and in no variable. The program runs in `/`, has a minute, and is
then asked to end, and ended. Whatever becomes of it, the files stay.
"""

import os
import shlex
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from securecp.daemon.process import GRACE, Finished, Workers, run

TIMEOUT = 60.0
AT_ONCE = 2
MOST_WAITING = 1_000
_HURRY = 0.5
"""Seconds that we wait for programs when we are stopped ourselves."""
_OURS = "SECURECP_"


class Delivery(NamedTuple):
    """What the program is told."""

    peer: str
    """The contact's name."""
    key: str
    files: int
    size: int
    digest: str
    folder: str
    transfer: str
    names: tuple[bytes, ...]


class Hook:
    """Of one command; ValueError if it can never work."""

    def __init__(
        self,
        command: str,
        *,
        timeout: float = TIMEOUT,
        at_once: int = AT_ONCE,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        words = _words(command)
        self.arguments = (_whole_path(words[0], environ.get("PATH")), *words[1:])
        self._timeout = timeout
        self._environ = {
            name: value
            for name, value in environ.items()
            if not name.startswith(_OURS) or name == "SECURECP_HOME"
        }
        self._workers = Workers(at_once, MOST_WAITING, "hook")
        self._hurry = False

    def start(self, delivery: Delivery, then: Callable[[Finished], None]) -> bool:
        """Run it for this delivery; `then` is called in another thread.

        False if too many are waiting: then it is not run.
        """

        def job() -> None:
            if not self._hurry:
                then(self.run(delivery))

        return self._workers.start(job)

    def run(self, delivery: Delivery) -> Finished:
        """Run it and wait for its end."""
        return run(
            [*self.arguments, "--", delivery.folder],
            stdin=b"".join(name + b"\0" for name in delivery.names),
            environ={**self._environ, **_variables(delivery)},
            timeout=self._timeout,
            stopping=lambda: self._hurry,
        )

    def close(self, *, wait: bool) -> bool:
        """End; with `wait` those that run may finish, in their time. False if one still runs."""
        if wait and self._workers.close(self._timeout + 2 * GRACE):
            return True
        self._hurry = True
        return self._workers.close(_HURRY)


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ValueError(f"it cannot be cut into words: {str(error).lower()}") from None
    if not words:
        raise ValueError("there is no program in it")
    if any("\0" in word for word in words):
        raise ValueError("it holds a zero byte")
    return words


def _whole_path(program: str, path: str | None) -> str:
    found = shutil.which(program, path=path)
    if found is None:
        raise ValueError(f"there is no program {program!a} that can be run")
    return str(Path(found).absolute())


def _variables(delivery: Delivery) -> dict[str, str]:
    return {
        f"{_OURS}PEER": delivery.peer,
        f"{_OURS}KEY": delivery.key,
        f"{_OURS}FILES": str(delivery.files),
        f"{_OURS}BYTES": str(delivery.size),
        f"{_OURS}DIGEST": delivery.digest,
        f"{_OURS}FOLDER": delivery.folder,
        f"{_OURS}TRANSFER": delivery.transfer,
    }
