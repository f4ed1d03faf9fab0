"""Which programs can run here, and how to get those that cannot.

Python and Node programs stand in one folder (`--peers-dir` or BENCH_PEERS): a virtual environment
`venv` and a folder `npm`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.bench.peers import datagrams, plain, wormholes
from tests.bench.peers.own import securecp, with_buffers
from tests.bench.peers.peer import Peer
from tests.bench.peers.ssh import Ssh, tool

WORMHOLE = (
    "magic-wormhole==0.24.0 magic-wormhole-mailbox-server==0.8.0"
    " magic-wormhole-transit-relay==0.5.0"
)


class Candidate(NamedTuple):
    """A program that may be here."""

    name: str
    get: str
    """The package manager and the package: `apt rsync`."""
    here: bool
    make: Callable[[], Peer]


def candidates(folder: Path, peers_dir: Path | None) -> list[Candidate]:
    """All that we know how to time, the most usual first."""
    bin_folder = (peers_dir or Path("nowhere")) / "venv" / "bin"
    site = bin_folder.parent / "lib"
    modules = (peers_dir or Path("nowhere")) / "npm" / "node_modules"
    python = bin_folder / "python"

    def packaged(name: str) -> bool:
        return any(site.glob(f"python3*/site-packages/{name}"))

    ssh: list[Ssh] = []

    def shell() -> Ssh:
        if not ssh:
            ssh.append(Ssh(folder))
        return ssh[0]

    served = packaged("wormhole_mailbox_server")
    go = served and packaged("wormhole_transit_relay") and has("wormhole-william", "unshare")
    return [
        Candidate("scp", "apt openssh-server", has("sshd", "scp"), lambda: shell().scp()),
        Candidate("rsync", "apt rsync", has("sshd", "rsync"), lambda: shell().rsync()),
        Candidate("tar-nc", "apt netcat-openbsd", has("nc"), plain.tar),
        Candidate("socat-tls", "apt socat", has("socat", "openssl"), lambda: plain.tls(folder)),
        Candidate(
            "wormhole", f"pip {WORMHOLE}", served and packaged("wormhole"),
            lambda: wormholes.wormhole(bin_folder),
        ),
        Candidate("william", "apt wormhole-william", go, lambda: wormholes.william(bin_folder)),
        Candidate("iroh", "pip iroh==1.2.0", packaged("iroh"), lambda: datagrams.iroh(python)),
        Candidate(
            "udx", "npm hyperdht", has("node") and (modules / "udx-native").is_dir(),
            lambda: datagrams.udx(modules),
        ),
        Candidate(
            "aioquic", "pip aioquic==1.7.2", packaged("aioquic"),
            lambda: datagrams.aioquic(python, folder),
        ),
        Candidate("srt", "apt srt-tools", has("srt-file-transmit"), datagrams.srt),
    ]  # fmt: skip


def has(*programs: str) -> bool:
    return all(tool(name) for name in programs)


def installed(
    command: list[str], folder: Path, peers_dir: Path | None, wanted: list[str] | None
) -> tuple[list[Peer], str]:
    """The programs that can run here, securecp first, and in one line how to get the others."""
    all_of_them = candidates(folder, peers_dir)
    if wanted is not None:
        all_of_them = [one for one in all_of_them if one.name in wanted]
    own = securecp(command, folder)
    peers = [own, *with_buffers(own), *(one.make() for one in all_of_them if one.here)]
    return peers, how_to_get([one for one in all_of_them if not one.here])


def how_to_get(lacking: list[Candidate]) -> str:
    """One line: the names, then the commands that install them."""
    if not lacking:
        return ""
    commands = {
        "apt": "apt-get install {}",
        "pip": "python3 -m venv PEERS/venv && PEERS/venv/bin/pip install {}",
        "npm": "npm install --prefix PEERS/npm {}",
    }
    steps = []
    for manager, command in commands.items():
        packages = [one.get.partition(" ")[2] for one in lacking if one.get.startswith(manager)]
        if packages:
            steps.append(command.format(" ".join(packages)))
    names = ", ".join(one.name for one in lacking)
    return f"left out, not installed here: {names} ({'; '.join(steps)}; --peers-dir PEERS)"
