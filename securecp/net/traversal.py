"""Carries out what the traversal wants: doors, server links, the LAN, ports (SPEC §12).

    links, interfaces, router ─► turn ─► Reach ─► carry_out ─► doors, links

One per station, driven in the loop's turn; the threads of links and of UPnP ring the loop's bell.
"""

import contextlib
import os
import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Literal

from securecp.endpoint import Burst, Endpoint
from securecp.errors import ProtocolError
from securecp.events import Event, ServerState
from securecp.nat import actions as do
from securecp.nat import portmap
from securecp.nat.gather import Door
from securecp.nat.reach import Reach
from securecp.nat.tags import day_of
from securecp.net import link as links
from securecp.net.doors import Doors
from securecp.net.means import Means

if TYPE_CHECKING:
    from securecp.net.interfaces import Snapshot
    from securecp.net.lan import LanSockets
    from securecp.net.portmapping import PortMapping
    from securecp.net.upnp import Upnp

LAN_VIA = 2
POLL = 2.0
"""Seconds between two looks at our interfaces."""
UPNP_AFTER = 0.5
"""Seconds that the faster protocols get before UPnP is asked as well."""
_SETTLED = 0.1
"""Seconds in which the last datagrams leave by circuits, before these are left."""
Protocol = Literal["PCP", "NAT-PMP", "UPnP"]
_LAN = Endpoint("239.255.83.67", 4401, LAN_VIA)


def today() -> int:
    """The UTC day."""
    return day_of(time.time())


class Traversal:
    """The shell of one `Reach`."""

    def __init__(
        self,
        doors: Doors,
        reach: Reach,
        means: Means,
        ring: Callable[[], None],
        emit: Callable[[Event], None] = lambda _: None,
    ) -> None:
        self.reach = reach
        self._doors = doors
        self._means = means
        self._ring = ring
        self._emit = emit
        self._links = [links.ServerLink(address, ring) for address in means.servers]
        self.states: dict[int, links.Up | links.Down] = {}
        """What each server's link said last."""
        self.clocks: dict[int, float] = {}
        """By how many seconds each server's clock is ahead of ours, as it was when it came up."""
        self._lan: LanSockets | None = None
        self._seen: Snapshot | None = None
        self._poll_at = 0.0
        self._mapping: PortMapping | None = None
        self._readable = False
        self._upnp: Upnp | None = None
        self._upnp_at = float("inf")
        self.mapped: dict[Endpoint, Protocol] = {}
        """External endpoints that routers gave us, and how."""
        self.refusals: list[portmap.Refused] = []
        self.mains: list[Door] = []

    def start(self, now: float) -> None:
        """First what is waited for; what takes time to import comes last."""
        for via, family in ((0, 4), (1, 6)):
            endpoint = self._doors.endpoint(via)
            if endpoint is not None:
                self.mains.append(Door(via, family, endpoint.port))
        for address in self._means.servers:
            if _is_address(address.host):
                default = Endpoint(address.host, address.port)
                self.reach.ask(now, (default, default._replace(port=address.port + 1)))
        self.reach.doors(now, self.mains)
        if self._means.lan:
            from securecp.net.lan import LanSockets

            self._lan = LanSockets(self._doors)
            self._doors.add(LAN_VIA, self._lan)
        self.reach.wake(now)
        self.carry_out()
        self._look(now)

    def turn(self, now: float) -> None:
        """Take in what links, interfaces and routers have to say."""
        for number, link in enumerate(self._links):
            for event in link.events():
                self._on_link(now, number, event)
        if now >= self._poll_at:
            self._look(now)
        mapping = self._mapping
        if mapping is not None:
            due = mapping.deadline()
            if self._readable or (due is not None and due <= now):
                self._readable = False
                events = mapping.turn(now)
                self._on_mapping(mapping.mapper.protocol, events)
        if now >= self._upnp_at:
            self._begin_upnp()
        if self._upnp is not None:
            self._on_mapping("UPnP", self._upnp.events())

    def carry_out(self) -> None:
        """Do what the core wants done."""
        for action in self.reach.actions():
            self._do(action)

    def deadline(self) -> float | None:
        """When `turn` is due."""
        due = None if self._mapping is None else self._mapping.deadline()
        return min(self._poll_at, self._upnp_at, float("inf") if due is None else due)

    def use(self, endpoint: Endpoint) -> None:
        """This path is going to carry everything."""
        self._doors.promote(endpoint.via)

    def doubt(self) -> None:
        """The network may be another: do the links to our servers still stand?"""
        for link in self._links:
            link.hasten()

    def close(self, now: float) -> None:
        """Say goodbye to servers and routers."""
        for link in self._links:
            link.settle(_SETTLED)
        self.carry_out()
        for link in self._links:
            link.close()
        if self._mapping is not None:
            self._mapping.close(now)
        if self._upnp is not None:
            self._upnp.close()

    # inside

    def _do(self, action: do.Action) -> None:
        doors = self._doors
        match action:
            case do.Shoot():
                doors.shoot(action.endpoint, action.data, action.ttl)
            case do.Tell():
                self._links[action.server].tell(action.message)
            case do.OpenDoors(vias, ipv6, small):
                if small:
                    doors.open_probe_sockets(vias, int(ipv6))
                else:
                    for via in vias:
                        doors.open_udp(via, int(ipv6))
            case do.CloseDoors():
                doors.remove(*action.vias)
            case do.OpenCircuit():
                doors.add(action.via, self._links[action.server].circuit(action.via))
            case do.AskLan() if self._lan is not None:
                doors.send(Burst(_LAN, memoryview(action.data), len(action.data)))
            case do.AnswerLan():
                doors.shoot(action.endpoint, action.data)

    def _on_link(
        self, now: float, number: int, event: links.Up | links.Message | links.Down
    ) -> None:
        if isinstance(event, links.Message):
            self.reach.server_message(now, number, event.data)
            return
        before, self.states[number] = self.states.get(number), event
        server = str(self._means.servers[number]).partition("#")[0]
        if isinstance(event, links.Down):
            self.reach.server_down(now, number)
            self._emit(ServerState(server, False, event.reason))
            return
        dialled = event.endpoint
        host = self._means.servers[number].host
        if event.proxied and _is_address(host):
            dialled = Endpoint(host, self._means.servers[number].port)
        with contextlib.suppress(ProtocolError):
            self.reach.server_up(now, number, event.welcome, dialled, event.rtt)
            self.clocks[number] = self.reach.servers[number].time - time.time()
        if before is None or isinstance(before, links.Down):
            self._emit(ServerState(server, True))

    def _look(self, now: float) -> None:
        """Have our addresses changed?"""
        from securecp.net import interfaces

        self._poll_at = now + POLL
        seen = interfaces.snapshot()
        if seen == self._seen:
            return
        first, self._seen = self._seen is None, seen
        usable = [one for one in interfaces.interfaces() if not one.link_local]
        self.reach.addresses(now, [one.address for one in usable], changed=not first)
        if not first:
            self.doubt()
            if self._lan is not None:
                self._lan.refresh()
        self._map_port(now)

    # ports of routers

    def _map_port(self, now: float) -> None:
        from securecp.net.interfaces import default_gateway

        port = next((door.port for door in self.mains if door.family == 4), None)
        gateway = default_gateway()
        if not self._means.port_mapping or not self._means.servers:
            return
        if port is None or gateway is None or not ip_address(gateway.source).is_private:
            return
        from securecp.net.portmapping import PortMapping

        with contextlib.suppress(OSError):
            if self._mapping is None:
                self._mapping = PortMapping(now, gateway, port, os.urandom)
                self._upnp_at = now + UPNP_AFTER
            else:
                self._doors.unwatch(self._mapping.fileno())
                self._mapping.restart(now, gateway)
            self._doors.watch(self._mapping.fileno(), self._mark_readable)
            self._mapping.turn(now)

    def _mark_readable(self) -> None:
        """The router has answered: `turn` reads it."""
        self._readable = True

    def _begin_upnp(self) -> None:
        self._upnp_at = float("inf")
        if self.mapped or not self.mains:
            return
        from securecp.net.upnp import Upnp

        port = next(door.port for door in self.mains if door.family == 4)
        self._upnp = Upnp(port, self._ring, os.urandom)

    def _on_mapping(self, how: Protocol, events: list[portmap.Event]) -> None:
        if not events:
            return
        for event in events:
            match event:
                case portmap.Mapped():
                    self.mapped[event.endpoint] = how
                case portmap.Unmapped():
                    self.mapped.pop(event.endpoint, None)
                case portmap.Refused():
                    self.refusals.append(event)
        self.reach.mapped(self.mapped)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
