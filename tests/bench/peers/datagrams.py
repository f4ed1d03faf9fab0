"""Programs over UDP: QUIC by iroh (Rust) and aioquic (Python), udx with its Noise stream, SRT.

Libraries that have no program of their own get the least possible one, in tests/bench/minimal/.
"""

from pathlib import Path

from tests.bench.peers.peer import Job, Peer, quote
from tests.bench.peers.plain import certificate

ROOT = Path(__file__).parent.parent.parent.parent
MINIMAL = ROOT / "tests" / "bench" / "minimal"


def _module(python: Path, name: str, *words: object) -> str:
    argv = (python, "-m", f"tests.bench.minimal.{name}", *words)
    return quote("env", f"PYTHONPATH={ROOT}", *argv)


def iroh(python: Path) -> Peer:
    return Peer(
        "iroh",
        lambda job: _module(python, "iroh_file", "send", job.host, job.port, job.source),
        lambda job: _module(python, "iroh_file", "recv", job.port, job.target),
        "udp",
        tcp=False,
    )


def aioquic(python: Path, folder: Path) -> Peer:
    cert, key = certificate(folder)
    return Peer(
        "aioquic",
        lambda job: _module(python, "aioquic_file", "send", job.host, job.port, job.source, cert),
        lambda job: _module(python, "aioquic_file", "recv", job.port, job.target, cert, key),
        "udp",
        tcp=False,
    )


def udx(modules: Path) -> Peer:
    """Noise over reliable UDP, the transport of hyperswarm; without its table of peers both ends
    must know both ports."""

    def call(*words: object) -> str:
        return quote("env", f"UDX_MODULES={modules}", "node", MINIMAL / "udx_file.js", *words)

    return Peer(
        "udx",
        lambda job: call("send", job.host, job.port, job.source, job.ports[1]),
        lambda job: call("recv", job.port, job.target, job.sender_host, job.ports[1]),
        "udp",
        stop_receiver=True,
        tcp=False,
    )


def srt() -> Peer:
    """SRT's file mode with AES-128, the successor of UDT."""
    options = "transtype=file&messageapi=0&passphrase=0123456789abcdef&pbkeylen=16"

    def call(*words: str) -> str:
        return quote("srt-file-transmit", "-q", *words)

    def send(job: Job) -> str:
        return call(f"file://{job.source}", f"srt://{job.host}:{job.port}?{options}")

    def receive(job: Job) -> str:
        return call(f"srt://:{job.port}?mode=listener&{options}", f"file://{job.into}/")

    return Peer("srt", send, receive, "udp", tcp=False, trees=False)
