"""The installed command, but for its intervals: python program.py [OPTIONS] -- ARGUMENTS

A checkpoint comes after 64 MiB or 10 s. To kill between many of them with little data, this sets
the constants below before `main` runs; nothing else is different. `--fork` imports everything, then
runs the command in a child whose process number is written to FILE: strace counts calls for each
process anew, so the n-th call is one of the command and not one of the import machinery.
`--serve SOCKET` does so for every request that comes (`nursery.py`).
`--die MOMENT` ends the process by kill -9 at one of the moments below that no system call marks.
"""

import ctypes
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any

MIB = 1 << 20
PR_SET_PDEATHSIG, PR_SET_PTRACER = 1, 0x59616D61
RESEND_BOUND = 4 * MIB
"""What may have to be sent again with these intervals: what may be unsaved, what had been let in by
then, and a chunk that was begun (I5)."""
SMALL: dict[str, dict[str, object]] = {
    "securecp.session": {"PROGRESS_EVERY": 0.01},
    "securecp.cli.narrate": {"_JSON_PROGRESS": 0.0},
    "securecp.disk.store": {"CHECKPOINT_BYTES": MIB, "CHECKPOINT_SECONDS": 0.2},
    "securecp.disk.memory": {"SAVE_BYTES": MIB, "SAVE_SECONDS": 0.2},
    "securecp.keeping": {"UNSAVED_LIMIT": 2 * MIB, "LOOK": 0.05},
    "securecp.net.station": {"CONTENT_WINDOW": MIB},
    "securecp.net.delivery": {"QUIET": 0.3, "PAUSES": (0.2,), "FULL_PAUSE": 0.5},
}
"""Modules, and what their constants are set to. What is not there is left alone."""
MOMENTS = {
    "published": "securecp.disk.store:Store.publish",
    "prepared": "securecp.disk.store:Store.prepare",
    "delivered": "securecp.offering:Done",
}
"""Where --die strikes: after the call, before anybody learns of its result."""

ALSO = ("encodings.ascii", "encodings.idna", "resource", "fcntl", "traceback", "linecache",
        "cryptography.hazmat.backends.openssl.backend")  # fmt: skip
"""What is imported late by what we import."""


def set_constants() -> None:
    """Make intervals small."""
    for module, constants in SMALL.items():
        try:
            found = importlib.import_module(module)
        except ImportError:
            continue
        for name, value in constants.items():
            if hasattr(found, name):
                setattr(found, name, value)


def die_at(moment: str) -> None:
    """Not a step beyond it."""
    module, _, path = MOMENTS[moment].partition(":")
    owner: object = importlib.import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    call = getattr(owner, name)

    def dying(*given: object, **named: object) -> object:
        result = call(*given, **named)
        os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, dying)


def import_everything() -> None:
    """What the command would import on its way."""
    for package in ("keys", "securecp"):
        for found in pkgutil.walk_packages(
            importlib.import_module(package).__path__, f"{package}."
        ):
            if ".server" not in found.name and not found.name.endswith("__main__"):
                importlib.import_module(found.name)
    for name in ALSO:
        importlib.import_module(name)


def run(arguments: list[str]) -> None:
    """The command; does not return."""
    from securecp.cli.main import main

    sys.argv = ["securecp", *arguments]
    sys.exit(main())


def run_in_child(note: str, arguments: list[str]) -> None:
    """The command in a process whose calls are counted from 1."""
    import_everything()
    child = os.fork()
    if not child:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        run(arguments)
    new = Path(f"{note}.new")
    new.write_text(str(child))
    new.rename(note)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def serve(number: int) -> None:
    """Start a child for each request and tell of its death, until nobody is there any more."""
    import_everything()
    gc.freeze()
    line = socket.socket(fileno=number)
    bell, rope = socket.socketpair()
    rope.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(rope.fileno())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    names: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([line, bell], [], [])
        if line in ready:
            data, streams, _, _ = socket.recv_fds(line, 1 << 16, 2)
            if not data:
                return
            request = json.loads(data)
            child = os.fork()
            if not child:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                for own in (line, bell, rope):
                    own.close()
                become(request, *streams)
            for each in streams:
                os.close(each)
            names[child] = request["id"]
            line.send(json.dumps({"id": request["id"], "pid": child}).encode())
        if bell in ready:
            bell.recv(1 << 10)
            bury(names, line)


def become(request: dict[str, Any], stdout: int, stderr: int) -> None:
    """What the request wants: does not return."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for number, stream in ((1, stdout), (2, stderr)):
        os.dup2(stream, number)
        os.close(stream)
    # Anew, since a stream remembers whether it was a file or a pipe.
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115  to the end of the process
    sys.stderr = open(2, "w", closefd=False, buffering=1)  # noqa: SIM115
    if request["traced"]:
        ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_long(-1), 0, 0, 0)
        os.kill(os.getpid(), signal.SIGSTOP)  # until strace holds us
    if request["die"]:
        die_at(request["die"])
    try:
        run(request["arguments"])
    finally:
        sys.stdout.flush()


def bury(names: dict[int, int], line: socket.socket) -> None:
    """Tell of all who have died."""
    while names:
        child, status = os.waitpid(-1, os.WNOHANG)
        if not child:
            return
        line.send(json.dumps({"id": names.pop(child), "status": status}).encode())


def main(typed: list[str]) -> None:
    """Options of ours, then `--`, then what securecp gets."""
    cut = typed.index("--")
    options = dict(zip(typed[:cut:2], typed[1:cut:2], strict=True))
    set_constants()
    if number := options.get("--serve"):
        serve(int(number))
        return
    if moment := options.get("--die"):
        die_at(moment)
    if note := options.get("--fork"):
        run_in_child(note, typed[cut + 1 :])
    run(typed[cut + 1 :])


if __name__ == "__main__":
    main(sys.argv[1:])
