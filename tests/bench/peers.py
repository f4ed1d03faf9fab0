"""The programs that are timed: securecp, and what is installed of what people use instead.

The sshd is ours alone: started on loopback for one job, with keys made for this run, and stopped by
its process id.
"""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from tests.bench.jobs import Job, Peer, quote

CIPHER = "aes128-gcm@openssh.com"
"""The fastest that OpenSSH has; its default, chacha20-poly1305, takes a quarter longer."""


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
        at = f"127.0.0.1:{job.port}"
        return quote(
            *command,
            "--home",
            homes["alice"],
            "send",
            job.source,
            "--to",
            "bob",
            "--at",
            at,
            "--json",
        )

    def receive(job: Job) -> str:
        at = f"127.0.0.1:{job.port}"
        words = ("receive", "--listen", at, "--into", job.into, "--yes", "--once", "--json")
        return quote(*command, "--home", homes["bob"], *words)

    return Peer("securecp", "udp", send, receive)


def tar() -> Peer:
    """tar through a bare TCP connection: no encryption, the kernel's own limit."""

    def send(job: Job) -> str:
        folder, name = map(shlex.quote, (str(job.source.parent), job.source.name))
        return f"tar cf - -C {folder} {name} | nc -N 127.0.0.1 {job.port}"

    def receive(job: Job) -> str:
        return f"nc -l 127.0.0.1 {job.port} | tar xf - -C {shlex.quote(str(job.into))}"

    return Peer("tar | nc", "tcp", send, receive)


class Ssh:
    """A private sshd on loopback, and the clients that use it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("client", "host"):
            keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(keygen, check=True)
        self._options = [
            *("-i", str(folder / "client"), "-F", "none", "-q", "-c", CIPHER),
            *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
            *("-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"),
        ]

    def daemon(self, job: Job) -> str:
        separate_privileges()
        options = {
            "AuthorizedKeysFile": self._folder / "client.pub",
            "ListenAddress": "127.0.0.1",
            "PermitRootLogin": "prohibit-password",
            "PidFile": "none",
            "StrictModes": "no",
            "Subsystem": "sftp internal-sftp",
            "UseDNS": "no",
            "UsePAM": "no",
        }
        settings = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        sshd = tool("sshd")
        return quote(
            sshd,
            "-D",
            "-e",
            "-f",
            "/dev/null",
            "-h",
            self._folder / "host",
            "-p",
            job.port,
            *settings,
        )

    def scp(self) -> Peer:
        def send(job: Job) -> str:
            return quote(
                "scp", "-r", "-P", job.port, *self._options, job.source, f"127.0.0.1:{job.into}/"
            )

        return Peer("scp", "tcp", send, service=self.daemon)

    def rsync(self) -> Peer:
        def send(job: Job) -> str:
            shell = shlex.join(["ssh", "-p", str(job.port), *self._options])
            return quote("rsync", "-a", "-W", "-e", shell, job.source, f"127.0.0.1:{job.into}/")

        return Peer("rsync", "tcp", send, service=self.daemon)


def installed(command: list[str], folder: Path) -> tuple[dict[str, Peer], list[str]]:
    """The peers that can run here, securecp first, and the Debian packages of those that cannot."""
    peers = [securecp(command, folder)]
    lacking = []
    if tool("sshd") and tool("scp"):
        ssh = Ssh(folder)
        peers.append(ssh.scp())
        if tool("rsync"):
            peers.append(ssh.rsync())
        else:
            lacking.append("rsync")
    else:
        lacking.append("openssh-server")
    if tool("nc"):
        peers.append(tar())
    else:
        lacking.append("netcat-openbsd")
    return {peer.name: peer for peer in peers}, lacking


def tool(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def separate_privileges() -> None:
    """Make the empty folder that an sshd of root insists on, if no system service has."""
    if not os.geteuid():
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
