"""scp and rsync through an sshd that is ours alone.

It is started for one job, with keys made for this bench, and stopped by its process id.
"""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from tests.bench.peers.peer import Job, Peer, quote

CIPHER = "aes128-gcm@openssh.com"
"""The fastest that OpenSSH has; its default, chacha20-poly1305, takes a quarter longer."""


class Ssh:
    """A private sshd, and the clients that use it."""

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
            "ListenAddress": job.host,
            "PermitRootLogin": "prohibit-password",
            "PidFile": "none",
            "StrictModes": "no",
            "Subsystem": "sftp internal-sftp",
            "UseDNS": "no",
            "UsePAM": "no",
        }
        settings = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        key = self._folder / "host"
        return quote(tool("sshd"), "-D", "-e", "-f/dev/null", "-h", key, "-p", job.port, *settings)

    def scp(self) -> Peer:
        def send(job: Job) -> str:
            to = f"{job.host}:{job.into}/"
            return quote("scp", "-r", "-P", job.port, *self._options, job.source, to)

        return Peer("scp", send, service=self.daemon)

    def rsync(self) -> Peer:
        def send(job: Job) -> str:
            shell = shlex.join(["ssh", "-p", str(job.port), *self._options])
            return quote("rsync", "-a", "-W", "-e", shell, job.source, f"{job.host}:{job.into}/")

        return Peer("rsync", send, service=self.daemon)


def tool(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def separate_privileges() -> None:
    """Make the empty folder that an sshd of root insists on, if no system service has."""
    if not os.geteuid():
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
