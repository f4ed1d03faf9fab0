"""magic-wormhole and wormhole-william, through a mailbox server of our own.

The mailbox (and the transit relay, which is not used where the two ends see each other) stands at
the receiver's end, nearer than any public one; its CPU is not counted. The code is given.
"""

import shlex
from pathlib import Path

from tests.bench.peers.peer import Job, Peer, quote

CODE = "7-bench-code"
TRANSIT_NAME = "transit.magic-wormhole.io"
TRANSIT_PORT = 4001
"""wormhole-william has no option for its transit relay: this name must resolve and answer, so it
gets a hosts file of its own, in a mount namespace."""


def mailbox(python: Path, job: Job) -> str:
    """The server where both ends meet, on the first port."""
    return quote(
        python, "-m", "twisted", "--log-level=error", "wormhole-mailbox",
        f"--port=tcp:{job.port}", "--channel-db=:memory:", "--usage-db=:memory:",
    )  # fmt: skip


def wormhole(bin_folder: Path) -> Peer:
    def call(job: Job, *words: object) -> str:
        meet = ("--relay-url", f"ws://{job.host}:{job.port}/v1")
        transit = ("--transit-helper", f"tcp:{job.host}:{job.ports[1]}")
        return quote(bin_folder / "wormhole", *meet, *transit, *words)

    return Peer(
        "wormhole",
        lambda job: call(job, "send", "--hide-progress", "--code", CODE, job.source),
        lambda job: call(
            job, "receive", "--accept-file", "--hide-progress", "-o", job.target, CODE
        ),
        service=lambda job: mailbox(bin_folder / "python", job),
        service_counts=False,
    )


def william(bin_folder: Path) -> Peer:
    """Not over loopback: it offers no 127.0.0.1 and would go through the relay."""

    def inside(job: Job, words: str) -> str:
        hosts = shlex.quote(str(job.into.parent / "hosts"))
        script = f"mount --bind {hosts} /etc/hosts; cd {shlex.quote(str(job.into))}; {words}"
        named = f"echo {job.host} {TRANSIT_NAME} > {hosts}"
        return f"{named}; exec unshare -m sh -c {shlex.quote(script)}"

    def call(job: Job, *words: object) -> str:
        meet = ("--relay-url", f"ws://{job.host}:{job.port}/v1")
        return shlex.join(map(str, ("wormhole-william", *meet, *words)))

    def servers(job: Job) -> str:
        python = bin_folder / "python"
        relay = f"{python} -m twisted --log-level=error transitrelay --port=tcp:{TRANSIT_PORT}"
        return f"{relay} & {mailbox(python, job)}"

    return Peer(
        "william",
        lambda job: inside(job, call(job, "send", "--hide-progress", "--code", CODE, job.source)),
        lambda job: inside(job, f"echo y | {call(job, 'receive', '--hide-progress', CODE)}"),
        service=servers,
        service_counts=False,
        local=False,
    )
