"""Round-trip time and probe timeout (RFC 9002 §5 and §6.2).

A sample is our own clock's difference between sending a burst and its acknowledgement. What the
peer says of its delay is only believed up to the agreed maximum and never below the least RTT seen,
so it cannot make the estimate smaller than the path (SPEC §7.3).
"""

GRANULARITY = 0.001
"""Timers are not finer than this, in seconds (RFC 9002 kGranularity)."""
INITIAL_RTT = 0.333
"""Assumed before the first sample (RFC 9002 kInitialRtt)."""
SMALLEST_PTO = 0.2
LARGEST_PTO = 60.0
LONGEST_BACKOFF = 2.0
"""No PTO is doubled beyond this, so that we speak soon after an outage has ended: two datagrams in
two seconds congest nothing, and after the idle time there are none."""
MINIMUM_LIFE = 10.0
"""Seconds for which a least RTT counts: a path that has become longer is believed after that."""
_TIME_THRESHOLD = 9 / 8
_SMALLEST_SAMPLE = 1e-6


class Rtt:
    """Estimate of the round-trip time in seconds; `sampled` is False while it is a guess."""

    __slots__ = (
        "_next_minimum",
        "_next_since",
        "adjusted",
        "latest",
        "minimum",
        "sampled",
        "smoothed",
        "variance",
    )

    def __init__(self, initial: float = INITIAL_RTT) -> None:
        self.sampled = False
        self.latest = initial
        self.adjusted = initial
        """The latest without what the peer says that it held the ACK back, as far as we believe."""
        self.smoothed = initial
        self.variance = initial / 2
        self.minimum = initial
        """Least sample of the last `MINIMUM_LIFE` to twice that, without any correction."""
        self._next_minimum = initial
        self._next_since = 0.0

    def update(self, now: float, sample: float, ack_delay: float, max_ack_delay: float) -> None:
        """Take a sample: of the newest burst in an ack, which the peer held for `ack_delay`."""
        sample = max(sample, _SMALLEST_SAMPLE)
        self.latest = sample
        self._update_minimum(now, sample)
        if not self.sampled:
            self.sampled = True
            self.smoothed = self.adjusted = sample
            self.variance = sample / 2
            return
        held = min(max(ack_delay, 0.0), max_ack_delay)
        adjusted = sample - held if sample - held >= self.minimum else sample
        self.adjusted = adjusted
        self.variance += (abs(self.smoothed - adjusted) - self.variance) / 4
        self.smoothed += (adjusted - self.smoothed) / 8

    def _update_minimum(self, now: float, sample: float) -> None:
        """Two overlapping periods: the older one's minimum holds until the younger is full."""
        if not self.sampled:
            self.minimum = self._next_minimum = sample
            self._next_since = now
        elif now - self._next_since > MINIMUM_LIFE:
            self.minimum = min(self._next_minimum, sample)
            self._next_minimum = sample
            self._next_since = now
        else:
            self.minimum = min(self.minimum, sample)
            self._next_minimum = min(self._next_minimum, sample)

    def pto(self, max_ack_delay: float, backoff: int = 0) -> float:
        """Seconds from sending to the probe, doubled `backoff` times, never past the limits."""
        base = self.smoothed + max(4 * self.variance, GRANULARITY) + max_ack_delay
        base = min(max(base, SMALLEST_PTO), LARGEST_PTO)
        return max(base, min(base * 2.0 ** min(backoff, 16), LONGEST_BACKOFF))

    def loss_delay(self) -> float:
        """Seconds after which a burst older than an acknowledged one is lost (RFC 9002 §6.1.2)."""
        return max(_TIME_THRESHOLD * max(self.smoothed, self.latest), GRANULARITY)
