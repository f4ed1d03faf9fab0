"""The socket of the port mapper: one, to the router next to us, for the driver's loop to watch.

Watch `fileno`, and call `turn` when it can be read or `deadline` has passed. Errors of the network
are silence: the mapper knows what to make of that.
"""

import contextlib
import socket
from collections.abc import Callable

from securecp.endpoint import Endpoint
from securecp.nat.portmap import PORT, Event, PortMapper
from securecp.net.interfaces import Gateway

_LONGEST = 1_101
"""One byte more than any answer may have."""
_A_TURN = 16
"""Datagrams that are looked at in one turn, so that a flood does not hold the loop up."""


class PortMapping:
    """One UDP port of ours, made reachable by the router if it can be talked into it."""

    def __init__(
        self, now: float, gateway: Gateway, port: int, entropy: Callable[[int], bytes]
    ) -> None:
        """OSError if no socket can be had there."""
        self._entropy = entropy
        self._socket = self._connected(gateway)
        self._router = Endpoint(gateway.address, PORT)
        self.mapper = PortMapper(now, gateway.address, gateway.source, port, entropy)

    @staticmethod
    def _connected(gateway: Gateway) -> socket.socket:
        """Only what comes from there is seen, and only this address of ours is mapped."""
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            made.setblocking(False)
            made.bind((gateway.source, 0))
            made.connect((gateway.address, PORT))
        except OSError:
            made.close()
            raise
        return made

    def fileno(self) -> int:
        """For `select`; another one after `restart`."""
        return self._socket.fileno()

    def deadline(self) -> float | None:
        """When `turn` has something to do without anything to read."""
        return self.mapper.deadline()

    def turn(self, now: float) -> list[Event]:
        """Read, let time pass, send; what has changed."""
        for _ in range(_A_TURN):
            try:
                datagram = self._socket.recv(_LONGEST)
            except BlockingIOError:
                break
            except OSError:
                continue  # an ICMP error of an earlier send; reading has cleared it
            self.mapper.receive(now, self._router, datagram)
        self.mapper.wake(now)
        self._send(now)
        return self.mapper.events()

    def _send(self, now: float) -> None:
        while request := self.mapper.transmit(now):
            with contextlib.suppress(OSError):
                self._socket.send(request[1])

    def restart(self, now: float, gateway: Gateway) -> None:
        """The network has changed; OSError as at the beginning, and then it is closed."""
        self._socket.close()
        self._socket = self._connected(gateway)
        self._router = Endpoint(gateway.address, PORT)
        self.mapper.restart(now, gateway.address, gateway.source)

    def close(self, now: float) -> None:
        """Give the port back, without waiting for the router to say so."""
        self.mapper.close()
        self._send(now)
        self._socket.close()
