"""A call: our HELLOs, when they are sent again, and the cookie if one was asked for (SPEC §4.6).

calling ── REPLY ──> answered ── first DATA of the peer ──> `exchange.py` ends the call
                        └── 5 s, and nothing heard ──> a successor with new keys calls as well
"""

from securecp.endpoint import Endpoint
from securecp.errors import ProtocolError
from securecp.transport.cookie import COOKIE_LIFE, MAC_LENGTH, open_cookie
from securecp.transport.halfopen import HALF_OPEN_LIFE
from securecp.transport.handshake import Initiator

# SPEC §4.8
RETRY = (0.25, 0.5, 1.0, 2.0)
"""Seconds between HELLOs; the last value repeats."""


class Call:
    """One peer called at one endpoint, until it answers or the deadline passes."""

    def __init__(
        self,
        now: float,
        initiator: Initiator,
        endpoint: Endpoint,
        ends_at: float,
        mark: bytes | None = None,
    ) -> None:
        self.initiator: Initiator | None = initiator
        """Dropped, with its ephemeral keys, as soon as there are session keys."""
        self.peer = initiator.peer
        self.endpoint = endpoint
        self.ends_at = ends_at
        self.mark = mark
        """Of the rendezvous session, if there is one."""
        self.moved = False
        self.replaced = False
        """A successor will report if nobody answers."""
        self._next_at = now
        self._sent = 0
        self._mac1s: tuple[bytes, ...] = ()
        self._cookie = b""
        self._cookie_ends_at = now
        self._hastened = False

    def next_at(self) -> float:
        """When there is something to do: send again, begin anew, or give up."""
        return self.ends_at if self.replaced else min(self._next_at, self.ends_at)

    def answered(self, now: float) -> None:
        """A REPLY has come: no more HELLOs."""
        self.initiator = None
        self._next_at = now + HALF_OPEN_LIFE

    def lapsed(self, now: float) -> bool:
        """Whether what was answered can no longer be confirmed, for the peer has forgotten it."""
        return self.initiator is None and not self.replaced and now >= self._next_at

    def successor(self, now: float, initiator: Initiator) -> "Call":
        """The same call with a new handshake; what was answered may still win."""
        self.replaced = True
        call = Call(now, initiator, self.endpoint, self.ends_at, self.mark)
        call.moved = self.moved
        call._cookie, call._cookie_ends_at = self._cookie, self._cookie_ends_at
        return call

    def move(self, now: float, endpoint: Endpoint) -> None:
        """Go on at another endpoint, as if the call began there; cookies are of the old one."""
        self.endpoint = endpoint
        self.moved = True
        self._next_at, self._sent = now, 0
        self._cookie, self._cookie_ends_at = b"", now
        self._hastened = False

    def hello(self, now: float) -> bytes | None:
        """HELLO-A and HELLO-B laid end to end if they are due now."""
        if self.initiator is None or not self._next_at <= now < self.ends_at:
            return None
        cookie = self._cookie if now < self._cookie_ends_at else None
        hello_a, hello_b = self.initiator.hello(cookie)
        self._mac1s = (hello_a[-MAC_LENGTH:], hello_b[-MAC_LENGTH:])
        self._next_at = now + RETRY[min(self._sent, len(RETRY) - 1)]
        self._sent += 1
        return hello_a + hello_b

    def take_cookie(self, now: float, endpoint: Endpoint, datagram: bytes) -> None:
        """Use the cookie from now on; ProtocolError if it is not for our last HELLOs.

        HELLOs are the same at each endpoint, so that a late one of the old may open as well.

        The first one makes us call again at once, later ones do not: who can read our HELLOs
        could make us send without end.
        """
        if self.moved and endpoint != self.endpoint:
            raise ProtocolError("a COOKIE of an endpoint that we have left")
        self._cookie = self._open(datagram)
        self._cookie_ends_at = now + COOKIE_LIFE
        if not self._hastened:
            self._hastened = True
            self._next_at = now

    def _open(self, datagram: bytes) -> bytes:
        for mac1 in self._mac1s:
            try:
                return open_cookie(datagram, self.peer, mac1)
            except ProtocolError:
                continue
        raise ProtocolError("a COOKIE is not authentic")
