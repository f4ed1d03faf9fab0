"""Where the two ends run: both on this host, or each in a network namespace of its own.

Namespaces are made by tests/wan/wan and need root. WAN_PREFIX and WAN_NET, as there, keep several
benches on one machine apart.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

WAN = Path(__file__).parent.parent / "wan" / "wan"
PREFIX = os.environ.get("WAN_PREFIX", "bench")
NET = os.environ.get("WAN_NET", "10.77.0")
LATE = ("2000", "5000", "more")
"""The emulator's histogram of lateness, in µs: what it delivered more than 1 ms late."""


class Counters(NamedTuple):
    """What the emulator saw: bytes and packets into it, and how well it kept time."""

    cpu: float
    sent: int
    """Bytes of IP packets from the sender into the link."""
    answered: int
    queue_drops: int
    lost: int
    queue_ms: float
    late_ms: float
    late_share: float
    """Of the packets, how many came more than 1 ms late: much of it, and the machine was measured
    instead of the link."""


class Link(NamedTuple):
    """A kind of link; `options` for the emulator, or None where there is none."""

    kind: str
    options: tuple[str, ...] | None = None
    rate: int = 0
    """Mbit/s, of a veth pair only; 0 is as fast as it goes."""

    @property
    def local(self) -> bool:
        return self.kind == "loopback"

    @property
    def sender(self) -> str:
        return "127.0.0.1" if self.local else f"{NET}.1"

    @property
    def receiver(self) -> str:
        return "127.0.0.1" if self.local else f"{NET}.2"

    def inside(self, side: str) -> list[str]:
        """The words before a command that make it run at the end `a` (sender) or `b`."""
        return [] if self.local else ["nsenter", f"--net={namespace(side)}"]

    def command(self, seed: int) -> list[str]:
        """How tests/wan/wan is asked for it."""
        if self.options is None:
            return [str(WAN), "up", "--veth", *([str(self.rate)] if self.rate else [])]
        return [str(WAN), "up", *self.options, "--seed", str(seed)]

    def up(self, seed: int, control: str) -> None:
        """Make it, with losses drawn from `seed` and TCP under that congestion control."""
        if self.local:
            return
        subprocess.run(self.command(seed), check=True, env=_environment())
        if control:
            subprocess.run([str(WAN), "cc", control], check=True, env=_environment())

    def down(self) -> Counters | None:
        """Remove it; what the emulator counted, if there was one."""
        if self.local:
            return None
        done = subprocess.run(
            [str(WAN), "down"], env=_environment(), capture_output=True, check=False
        )
        return counters(json.loads(done.stdout)) if done.stdout.strip() else None


LOOPBACK = Link("loopback")


def veth(rate: int = 0) -> Link:
    return Link("veth", rate=rate)


def wan(*options: str) -> Link:
    return Link("wan", options)


def namespace(side: str) -> Path:
    return Path(f"/run/netns/{PREFIX}-{side}")


def permitted() -> bool:
    """Whether this user may make network namespaces that have names."""
    return not os.geteuid() and Path("/dev/net/tun").exists()


def counters(report: dict[str, Any]) -> Counters:
    """The emulator's report, in short."""
    there, back = report["directions"]["a_to_b"], report["directions"]["b_to_a"]
    both = (there, back)

    def count(*names: str) -> int:
        return int(sum(way[name] for way in both for name in names))

    times = [way["late_histogram_us"] for way in both]
    late = sum(histogram[name] for histogram in times for name in LATE)
    delivered = sum(sum(histogram.values()) for histogram in times)
    return Counters(
        cpu=report["cpu_seconds"],
        sent=int(there["in_bytes"]),
        answered=int(back["in_bytes"]),
        queue_drops=count("dropped_by_queue"),
        lost=count("lost_random", "lost_burst"),
        queue_ms=max(way["queue_ms_max"] for way in both),
        late_ms=max(way["late_ms_max"] for way in both),
        late_share=round(late / delivered, 6) if delivered else 0.0,
    )


def _environment() -> dict[str, str]:
    return os.environ | {"WAN_PREFIX": PREFIX, "WAN_NET": NET}
