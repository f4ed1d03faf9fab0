"""securecp, as it is installed here."""

import shlex
import subprocess
from pathlib import Path

from tests.bench.items import LARGE, STOCK
from tests.bench.peers.peer import Job, Peer, quote

BUFFERS = {LARGE: 4 << 20, STOCK: 212_992}
"""Largest socket buffers that the kernel grants, in bytes; the second is what Linux comes with."""


def securecp(command: list[str], folder: Path) -> Peer:
    """securecp with two new identities that know each other."""
    homes = {name: folder / name for name in ("alice", "bob")}

    def call(name: str, *words: object) -> str:
        argv = [*command, "--home", str(homes[name]), *map(str, words)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(
                f"{shlex.join(argv)} ended with {done.returncode}: {done.stderr.strip()}"
            )
        return done.stdout.strip()

    keys = {name: call(name, "keygen", "--no-passphrase") for name in homes}
    call("alice", "contacts", "add", "bob", keys["bob"])
    call("bob", "contacts", "add", "alice", keys["alice"])

    def send(job: Job) -> str:
        words = ("send", job.source, "--to", "bob", "--at", f"{job.host}:{job.port}", "--json")
        return quote(*command, "--home", homes["alice"], *words)

    def receive(job: Job) -> str:
        words = ("--listen", f"{job.host}:{job.port}", "--into", job.into, "--yes", "--once")
        return quote(*command, "--home", homes["bob"], "receive", *words, "--json")

    return Peer("securecp", send, receive, "udp", tcp=False)


def with_buffers(own: Peer) -> list[Peer]:
    """The same, where the kernel grants large or only small socket buffers."""
    return [
        own._replace(
            name=name,
            settings={"net.core.rmem_max": str(size), "net.core.wmem_max": str(size)},
        )
        for name, size in BUFFERS.items()
    ]
