"""What the operator's monitoring reads: Prometheus text over HTTP, on a port of its own.

Off unless asked for. Every label is a name out of this program; nothing that a client says, and no
address, can be one (RV-15).
"""

import asyncio
from typing import cast

from securecp import VERSION
from securecp.server.app import Server
from securecp.server.tally import Event

LARGEST_REQUEST = 4_096
PATIENCE = 5.0
_HEAD = (
    "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
    "Content-Length: {length}\r\nConnection: close\r\n\r\n"
)


def text(server: Server) -> str:
    """All metrics, as Prometheus reads them."""
    desk, tally = server.desk, server.tally
    gauges = {
        "clients": (desk.clients, "Connections of clients"),
        "tags": (desk.slots.tags, "Tags on which somebody waits"),
        "envelopes_held": (desk.slots.held, "Envelopes for which nobody waits yet"),
        "circuits": (len(desk.circuits), "Circuits, open or waiting for their second leg"),
    }
    lines = [
        "# HELP securecp_build_info The running version",
        "# TYPE securecp_build_info gauge",
        f'securecp_build_info{{version="{VERSION}"}} 1',
    ]
    for name, (value, words) in gauges.items():
        lines += _family(name, "gauge", words, {"": value})
    lines += _family(
        "events_total", "counter", "What happened how often",
        {f'{{event="{event.value}"}}': tally.events[event] for event in Event},
    )  # fmt: skip
    lines += _family(
        "relayed_bytes_total", "counter", "Bytes of datagrams that went out at circuits",
        {'{by="udp"}': tally.udp_bytes, '{by="websocket"}': tally.websocket_bytes},
    )  # fmt: skip
    return "\n".join(lines) + "\n"


def _family(name: str, kind: str, words: str, values: dict[str, int]) -> list[str]:
    name = f"securecp_{name}"
    head = [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]
    return head + [f"{name}{labels} {value}" for labels, value in values.items()]


class Page(asyncio.Protocol):
    """One request for the metrics; a connection that says nothing is closed after 5 s."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._request = b""
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(PATIENCE, self._transport.abort)

    def connection_lost(self, _exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._request += data
        if self._transport is None or self._transport.is_closing():
            return
        if b"\r\n\r\n" not in self._request and len(self._request) <= LARGEST_REQUEST:
            return
        found = self._request.startswith((b"GET /metrics ", b"GET / "))
        body = text(self._server) if found else "nothing here\n"
        status = "200 OK" if found else "404 Not Found"
        self._transport.write((_HEAD.format(status=status, length=len(body)) + body).encode())
        self._transport.close()
