"""Guessing the port of a peer behind a hard NAT: the birthday paradox at work (SPEC §12.7).

    hard side   256 doors, each sends a probe to the easy side's endpoint: 256 ports are open to it
    easy side   probes of those ports at random: one in 252 hits, on average

The hard side's probes die early (low TTL): one that arrived at a router which takes unsolicited
input would spoil the very port that must be guessed. Worse, Linux then gives the guess of a spoiled
port another port of ours, and every later guess as well: one of them ends it all. But those of a
NAT behind another must get through both. So half go further when 900 guesses were in vain, which
happens in 3 of 100 cases behind a single NAT; and when the guesses are over all go all the way, to
a router that 2,000 guesses have opened: eight of them hit.
"""

from collections.abc import Callable, Iterator

FAN = 256
"""Doors of the hard side."""
GUESSES = 2_000
"""Of the easy side; 99.9 % need no more than 1,737."""
FIRST_PORT = 1_024
NEAR = 4_096
"""Ports seen within so many of each other show a block of ports."""
SLOW, FAST = 200, 400
"""Guesses a second, at first and after half a second."""
SLOW_FOR = 0.5
TICK = 0.01
"""Seconds between two handfuls."""
LOW_TTL = 2
HIGHER_TTL = 5
HALVES = 2
HIGHER_AFTER = 2.5
FULL_AFTER = 5.5
REFRESH = 10.0
FAN_BATCH = 64
ROUNDS = 8
BUDGET_FOR = 600.0
"""Seconds in which ports of one peer are guessed in so many rounds, whatever it says."""
PEERS_KEPT = 4_096


def ports(seen: list[int], entropy: Callable[[int], bytes]) -> Iterator[int]:
    """Every port from 1,024 on once, in an order of chance; near ports seen, every other one."""
    anywhere = _shuffled(FIRST_PORT, 1 << 16, entropy)
    spread = max(seen) - min(seen) if len(seen) > 1 else NEAR
    if spread >= NEAR:
        yield from anywhere
        return
    margin = NEAR // 4
    low = max(FIRST_PORT, min(seen) - margin)
    high = min(1 << 16, max(seen) + margin)
    for near in _shuffled(low, high, entropy):
        yield near
        far = next((port for port in anywhere if not low <= port < high), None)
        if far is not None:
            yield far
    yield from (port for port in anywhere if not low <= port < high)


def _shuffled(low: int, high: int, entropy: Callable[[int], bytes]) -> Iterator[int]:
    """Each number of the range once: a full-period congruential walk with a random step."""
    step = int.from_bytes(entropy(2)) & 0xFFFC | 1  # 1 modulo 4
    shift = int.from_bytes(entropy(2)) | 1  # odd
    at = int.from_bytes(entropy(2))
    for _ in range(1 << 16):
        at = (at * step + shift) & 0xFFFF
        if low <= at < high:
            yield at


class Guesser:
    """The easy side: which ports to try when."""

    def __init__(self, now: float, seen: list[int], entropy: Callable[[int], bytes]) -> None:
        self._ports = ports(seen, entropy)
        self._began = now
        self._next_at: float | None = now
        self._made = 0

    def due(self, now: float) -> list[int]:
        """The guesses to make now."""
        if self._next_at is None or now < self._next_at:
            return []
        slow = min(now - self._began, SLOW_FOR)
        fast = max(0.0, now - self._began - SLOW_FOR)
        allowed = min(int(slow * SLOW + fast * FAST) + 2, GUESSES)
        handful = min(max(allowed - self._made, 0), int(FAST * TICK) * 4)
        guesses = [port for port, _ in zip(self._ports, range(handful), strict=False)]
        self._made += len(guesses)
        self._next_at = None if self._made >= GUESSES else now + TICK
        return guesses

    def stop(self) -> None:
        """Enough."""
        self._next_at = None

    @property
    def made(self) -> int:
        """Guesses so far."""
        return self._made

    @property
    def over(self) -> bool:
        """Whether none will follow."""
        return self._next_at is None

    def deadline(self) -> float | None:
        """When the next are due."""
        return self._next_at


class Fan:
    """The hard side: from which doors to probe when, and how far."""

    def __init__(self, now: float, vias: tuple[int, ...]) -> None:
        self.vias = vias
        self._began = now
        self._left = [(via, LOW_TTL) for via in vias]
        """Of the volley under way; a TTL of 0 means all the way."""
        self._volley = 0
        self._next_at = now
        self._over = False

    def due(self, now: float) -> list[tuple[int, int | None]]:
        """Doors to probe from now, and the TTL of each probe."""
        if self._over or now < self._next_at:
            return []
        if not self._left:
            self._volley += 1
            self._left = [(via, 0) for via in self.vias]
            if self._volley == 1:
                self._left = [(via, HIGHER_TTL) for via in self.vias[::HALVES]]
        part, self._left = self._left[:FAN_BATCH], self._left[FAN_BATCH:]
        self._next_at = now + TICK if self._left else self._after(now)
        return [(via, ttl or None) for via, ttl in part]

    def _after(self, now: float) -> float:
        """When the next volley begins."""
        times = (self._began + HIGHER_AFTER, self._began + FULL_AFTER)
        return max(times[self._volley], now + TICK) if self._volley < 2 else now + REFRESH

    def stop(self) -> None:
        """Enough."""
        self._over = True

    def deadline(self) -> float | None:
        """When the next are due."""
        return None if self._over else self._next_at


class Budget:
    """How often ports of one peer are guessed: it says itself at which address (RV-05)."""

    def __init__(self) -> None:
        self._rounds: dict[bytes, list[float]] = {}

    def take(self, now: float, peer: bytes) -> bool:
        """Whether one more round is within bounds; counts it."""
        recent = [at for at in self._rounds.pop(peer, []) if now - at < BUDGET_FOR]
        if len(self._rounds) >= PEERS_KEPT:
            del self._rounds[next(iter(self._rounds))]
        self._rounds[peer] = recent
        if len(recent) >= ROUNDS:
            return False
        recent.append(now)
        return True
