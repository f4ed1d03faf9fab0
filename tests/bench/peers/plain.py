"""TCP as it is, and TLS over TCP: what the kernel, and it with encryption, can do at most."""

import shlex
import subprocess
from pathlib import Path

from tests.bench.peers.peer import Job, Peer, quote


def tar() -> Peer:
    """tar through a bare TCP connection: no encryption, the kernel's own limit."""

    def send(job: Job) -> str:
        folder, name = map(shlex.quote, (str(job.source.parent), job.source.name))
        return f"tar cf - -C {folder} {name} | nc -N {job.host} {job.port}"

    def receive(job: Job) -> str:
        return f"nc -l {job.host} {job.port} | tar xf - -C {shlex.quote(str(job.into))}"

    return Peer("tar-nc", send, receive, "tcp")


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for the name `bench`, and its key."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    if not certificate.exists():
        words = (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30"
            " -subj /CN=bench -addext subjectAltName=DNS:bench"
        )
        subprocess.run(
            [*words.split(), "-keyout", str(key), "-out", str(certificate)],
            check=True,
            capture_output=True,
        )
    return certificate, key


def tls(folder: Path) -> Peer:
    """One TLS stream by socat, with OpenSSL's choice of cipher."""
    cert, key = certificate(folder)
    pump = ("socat", "-u", "-b", 262144)

    def send(job: Job) -> str:
        to = f"OPENSSL:{job.host}:{job.port},cafile={cert},commonname=bench"
        return quote(*pump, f"OPEN:{job.source},rdonly", to)

    def receive(job: Job) -> str:
        at = f"OPENSSL-LISTEN:{job.port},reuseaddr,cert={cert},key={key},verify=0"
        return quote(*pump, at, f"CREATE:{job.target}")

    return Peer("socat-tls", send, receive, "tcp", trees=False)
