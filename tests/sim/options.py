"""What is wrong with a simulated run: plain values, drawn from a seed.

Swarm testing: each seed switches on a random subset of the faults, so that no fault hides another;
some seeds have none, so that a loss of speed shows. Never draw from anything but the one `Random`,
and never drop or insert a draw in the middle without need: seeds would mean something else.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

STOCK_SOCKET_BUFFER = 212_992
"""net.core.rmem_default of Linux."""


@dataclass(frozen=True)
class Bursts:
    """Gilbert–Elliott loss: the link turns bad and good again per datagram."""

    turns_bad: float
    turns_good: float
    loss: float


@dataclass(frozen=True)
class LinkOptions:
    """One direction of a link. Times in seconds, sizes in bytes, the rest probabilities."""

    delay: float = 0.01
    jitter: float = 0.0
    loss: float = 0.0
    bursts: Bursts | None = None
    reorder: float = 0.0
    reorder_delay: float = 0.0
    """What is reordered comes up to this much later."""
    duplicate: float = 0.0
    copies: int = 1
    corrupt: float = 0.0
    mtu: int = 65_507
    """Largest UDP payload; larger ones vanish without a word."""
    rate: float = 0.0
    """Bytes per second; 0 is unlimited."""
    queue: int = 0
    """Bytes that wait for the rate; what comes on top is dropped."""
    outages: tuple[tuple[float, float], ...] = ()
    """Begin and end of times in which nothing passes."""

    def calm(self) -> "LinkOptions":
        """The same path without its faults: delay, rate and MTU stay."""
        return replace(
            self, jitter=0.0, loss=0.0, bursts=None, reorder=0.0, duplicate=0.0, corrupt=0.0,
            outages=(),
        )  # fmt: skip


@dataclass(frozen=True)
class HostOptions:
    """One end's machine."""

    clock_offset: float = 0.0
    """What its monotonic clock shows at the beginning."""
    lateness: float = 0.0
    """Wake-ups come up to this much too late."""
    read_delay: float = 0.0
    """Datagrams wait up to this long before they are read, and are then read together."""
    receive_buffer: int = STOCK_SOCKET_BUFFER
    socket_full: float = 0.0
    """Probability that the socket takes a burst only a few milliseconds later."""
    stalls: tuple[tuple[float, float], ...] = ()
    """Begin and end of times in which the process does not run."""


@dataclass(frozen=True)
class DiskFaults:
    """What is wrong with the disks; each strikes once in a run."""

    changes: bool = False
    """A file gets other content of the same size while it is sent."""
    grows: bool = False
    """A file gets another size while it is sent: it cannot be sent."""
    rots: bool = False
    """The receiver's disk gives one chunk back wrong, once."""
    full: bool = False
    """The receiver's disk is full at the first try."""


@dataclass(frozen=True)
class Harm:
    """What becomes of that which should last; each strikes once in a run."""

    journal: str = ""
    """What the receiver's journal is after a crash: `lost`, or an `older` copy. It is killed for
    that after a checkpoint, half of the times with the sender."""
    memory: bool = False
    """The sender's memory is lost when it is killed."""
    flush: int = 0
    """Which checkpoint finds a disk that cannot be written to."""
    naming: bool = False
    """The flush before files get their names fails."""
    published: bool = False
    """The receiver is killed when it has published and not yet told."""
    delivered: bool = False
    """The sender is killed when it has the receipt and has not yet said so."""


@dataclass(frozen=True)
class Scale:
    """A smaller world, so that few bytes show what a transfer of gigabytes does, and what is there
    before it begins."""

    chunk: int = 1 << 20
    interval: int = 64 << 20
    """Bytes between two checkpoints."""
    window: int = 16 << 20
    holes: bool = False
    """Some files are sparse."""
    before: bool = False
    """Some of the names are taken, by files that are the same, or almost."""
    breaks: bool = False
    """One file cannot be written."""

    @property
    def unsaved(self) -> int:
        """Bytes above which no more is let in."""
        return 2 * self.interval


@dataclass(frozen=True)
class Options:
    """A whole run."""

    seed: int
    size: int
    """Bytes of content."""
    forth: LinkOptions = field(default_factory=LinkOptions)
    back: LinkOptions = field(default_factory=LinkOptions)
    sender: HostOptions = field(default_factory=HostOptions)
    receiver: HostOptions = field(default_factory=HostOptions)
    aes: tuple[bool, bool] = (True, True)
    largest_datagram: tuple[int, int] = (1_452, 1_452)
    receiver_calls: bool = False
    both_call: bool = False
    disk: DiskFaults = field(default_factory=DiskFaults)
    scale: Scale = field(default_factory=Scale)
    harm: Harm = field(default_factory=Harm)
    crashes: tuple[tuple[str, float], ...] = ()
    """Which program is killed when, and started again."""
    calm_at: float = 40.0
    """From here on the faults are off and the run must come to its end."""


Draw = Callable[[Random, LinkOptions], LinkOptions]


def _jitter(rng: Random, link: LinkOptions) -> LinkOptions:
    return replace(link, jitter=link.delay * rng.uniform(0.05, 1.5))


def _loss(rng: Random, link: LinkOptions) -> LinkOptions:
    return replace(link, loss=rng.choice((0.01, 0.02, 0.05, 0.1, 0.3)))


def _bursts(rng: Random, link: LinkOptions) -> LinkOptions:
    bad = Bursts(rng.uniform(0.002, 0.02), 1 / rng.uniform(3, 50), rng.uniform(0.5, 1.0))
    return replace(link, bursts=bad)


def _reorder(rng: Random, link: LinkOptions) -> LinkOptions:
    late = link.delay * rng.uniform(0.1, 2.0) + 0.001
    return replace(link, reorder=rng.choice((0.01, 0.1, 0.5)), reorder_delay=late)


def _duplicate(rng: Random, link: LinkOptions) -> LinkOptions:
    return replace(link, duplicate=rng.choice((0.01, 0.1, 0.5)), copies=rng.randint(1, 9))


def _corrupt(rng: Random, link: LinkOptions) -> LinkOptions:
    return replace(link, corrupt=rng.choice((0.01, 0.02, 0.1, 0.3)))


def _mtu(rng: Random, link: LinkOptions) -> LinkOptions:
    return replace(link, mtu=rng.choice((1_200, 1_252, 1_372, 1_452, 8_952)))


def _rate(rng: Random, link: LinkOptions) -> LinkOptions:
    rate = 10 ** rng.uniform(4.7, 8)
    return replace(link, rate=rate, queue=max(6_000, int(rate * rng.uniform(0.005, 0.3))))


def _outage(rng: Random, link: LinkOptions) -> LinkOptions:
    begin = rng.choice((0.0, link.delay * rng.uniform(0, 10), rng.uniform(0, 20)))
    return replace(link, outages=((begin, begin + rng.choice((0.2, 2.0, 10.0, 20.0))),))


LINK_FAULTS: dict[str, Draw] = {
    "jitter": _jitter,
    "loss": _loss,
    "bursts": _bursts,
    "reorder": _reorder,
    "duplicate": _duplicate,
    "corrupt": _corrupt,
    "mtu": _mtu,
    "rate": _rate,
    "outage": _outage,
}
FAULT_SHARE = 0.25
CALM_SHARE = 0.08
MOST = 30.0
"""Seconds after which nobody is killed any more."""


def _host(rng: Random) -> HostOptions:
    host = HostOptions(clock_offset=rng.choice((0.0, 1.0, 1e6, rng.uniform(0, 1e5))))
    if rng.random() < FAULT_SHARE:
        host = replace(host, lateness=rng.choice((0.001, 0.01, 0.05)))
    if rng.random() < FAULT_SHARE:
        host = replace(host, read_delay=rng.choice((0.0005, 0.005, 0.03)))
    if rng.random() < FAULT_SHARE:
        host = replace(host, receive_buffer=rng.choice((8_192, 32_768)))
    if rng.random() < FAULT_SHARE:
        host = replace(host, socket_full=rng.choice((0.05, 0.5)))
    if rng.random() < FAULT_SHARE / 2:
        begin = rng.uniform(0, 3)
        host = replace(host, stalls=((begin, begin + rng.choice((0.1, 1.0, 5.0))),))
    return host


def _size(rng: Random) -> int:
    kind = rng.random()
    if kind < 0.06:
        return rng.choice((0, 1, 1_200, 4_095))
    if kind < 0.97:
        return int(2 ** rng.uniform(13.5, 17))
    return rng.randint(1, 2) * 2**19


def _disk(rng: Random) -> DiskFaults:
    return DiskFaults(*(rng.random() < FAULT_SHARE / 2 for _ in range(4)))


def _crashes(rng: Random, delay: float) -> tuple[tuple[str, float], ...]:
    if rng.random() >= FAULT_SHARE / 2:
        return ()
    return ((rng.choice(("sender", "receiver")), delay * rng.uniform(0, 40)),)


def _scale(rng: Random) -> Scale:
    """From a `Random` of its own."""
    scale = Scale(
        holes=rng.random() < FAULT_SHARE,
        before=rng.random() < FAULT_SHARE,
        breaks=rng.random() < FAULT_SHARE / 3,
    )
    if rng.random() < FAULT_SHARE:
        return scale
    chunk = rng.choice((2_048, 8_192))
    interval, window = chunk * rng.choice((2, 8)), rng.choice((65_536, 16 << 20))
    return replace(scale, chunk=chunk, interval=interval, window=window)


def _harm(rng: Random) -> Harm:
    """From a `Random` of its own, like the scale."""
    share = FAULT_SHARE / 3
    return Harm(
        journal=rng.choice(("lost", "older")) if rng.random() < FAULT_SHARE else "",
        memory=rng.random() < FAULT_SHARE,
        flush=rng.randint(1, 3) if rng.random() < FAULT_SHARE else 0,
        naming=rng.random() < share,
        published=rng.random() < share,
        delivered=rng.random() < share,
    )


def _more_crashes(rng: Random, delay: float) -> tuple[tuple[str, float], ...]:
    """Of both at once, or one after the other, while content flows."""
    if rng.random() >= FAULT_SHARE / 2:
        return ()
    found: list[tuple[str, float]] = []
    for _ in range(rng.randint(1, 3)):
        when = delay * rng.uniform(5, 40)
        for name in rng.choice((("sender",), ("receiver",), ("sender", "receiver"))):
            found.append((name, min(when, MOST)))
    return tuple(found)


def swarm(seed: int) -> Options:
    """The options that belong to a seed."""
    rng = Random(seed)
    options = Options(
        seed=seed,
        size=_size(rng),
        aes=(rng.random() < 0.7, rng.random() < 0.7),
        largest_datagram=(rng.choice((1_200, 1_452, 9_000, 65_507)), rng.choice((1_452, 65_507))),
        receiver_calls=rng.random() < 0.3,
        both_call=rng.random() < 0.1,
        scale=_scale(Random(f"scale {seed}")),
        harm=_harm(Random(f"harm {seed}")),
    )
    delay = min(10 ** rng.uniform(-4, 0), 0.75)
    links = [LinkOptions(delay=delay), LinkOptions(delay=delay * rng.choice((1.0, 1.0, 3.0)))]
    if rng.random() < CALM_SHARE:
        return replace(options, forth=links[0], back=links[1], harm=Harm())
    for draw in LINK_FAULTS.values():
        where = rng.choice(((0,), (1,), (0, 1)))
        if rng.random() < FAULT_SHARE:
            for direction in where:
                links[direction] = draw(rng, links[direction])
    return replace(
        options,
        forth=links[0],
        back=links[1],
        sender=_host(rng),
        receiver=_host(rng),
        disk=_disk(rng),
        crashes=_crashes(rng, delay) + _more_crashes(Random(f"crashes {seed}"), delay),
    )
