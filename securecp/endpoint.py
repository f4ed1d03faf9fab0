"""Where datagrams come from and go to, and the burst in which they travel together."""

from typing import NamedTuple


class Endpoint(NamedTuple):
    """An IP address as text, a port, and by which door of ours it is reached.

    A door is a socket of ours or a circuit through a relay, so that an endpoint is a whole path: an
    answer to where a burst came from goes back the way it came.
    """

    address: str
    port: int
    via: int = 0
    """0 is the first socket."""

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"


class Burst(NamedTuple):
    """Datagrams laid end to end, to or from one endpoint; a single datagram is a burst of one."""

    endpoint: Endpoint
    data: memoryview
    """Valid until the next `transmit` (ours) or the next read of the socket (theirs)."""
    stride: int
    """Length of each datagram in bytes; the last may be shorter."""
