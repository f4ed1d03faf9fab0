"""Which pairs of homes there are, and how each should find its way.

    H  in the same network             M  by a port that the router has mapped
    P  by punching                     6  by IPv6, through firewalls
    Q  by punching predicted ports     R  over the relay
    B  by guessing ports

Sides meet each other in every combination; further cells have a topology of their own. Each has
nodes `a` and `b`, and the server, if there is one, at `srv`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import combinations_with_replacement

from tests.lab.routers import Router
from tests.lab.services import Proxy, connect_proxy, port_mapping, tls_proxy
from tests.lab.topology import CARRIER, SQUATTED, Lab

SIDES: dict[str, Router | None] = {
    "public": None,
    "fullcone": Router("fullcone"),
    "easy": Router("easy"),
    "remap": Router("remap"),
    "easy-accept": Router("easy", policy="accept"),
    "hard-seq": Router("hard-seq"),
    "hard": Router("hard"),
    "hard-addr": Router("hard-addr"),
    "no-udp": Router("easy", blocks="udp"),
}
_EASY = {"easy", "remap", "easy-accept"}
_OPEN = {"public", "fullcone"}


@dataclass
class Ground:
    """What has been built for a cell, as far as programs must know of it."""

    server: bool = True
    """Whether there is one to be started."""
    tls: Proxy | None = None
    """The only door to the server, if it is that."""
    env: dict[str, dict[str, str]] = field(default_factory=dict)
    """By node."""

    def of(self, node: str) -> dict[str, str]:
        trust = {"SSL_CERT_FILE": str(self.tls.authority)} if self.tls else {}
        return {**trust, **self.env.get(node, {})}


@dataclass(frozen=True)
class Cell:
    """A pair of homes; every letter of `expected` is as it should be."""

    name: str
    expected: str
    make: Callable[[Lab], Ground]
    tools: tuple[str, ...] = ()
    """Beyond what every lab needs."""


def build(lab: Lab, cell: Cell) -> Ground:
    """Make the topology of a cell in an empty lab."""
    return cell.make(lab)


def home(lab: Lab, name: str, router: Router | None, parent: str = "inet") -> None:
    """The node `name` behind a router `n…` of its own, or on the internet."""
    if router is None:
        lab.public(name)
        return
    lab.nat(f"n{name}", router, parent=parent)
    lab.host(name, f"n{name}")


def expected(left: str, right: str) -> str:
    """How two sides of the table should meet."""
    sides = {left, right}
    if "no-udp" in sides:
        return "R"
    if sides & _OPEN or sides <= _EASY:
        return "P"
    hard = sides - _EASY
    if hard == {"hard-seq"}:
        return "Q"
    return "B" if sides & _EASY else "R"


def _table() -> Iterator[Cell]:
    for left, right in combinations_with_replacement(SIDES, 2):

        def make(lab: Lab, left: str = left, right: str = right) -> Ground:
            home(lab, "a", SIDES[left])
            home(lab, "b", SIDES[right])
            return Ground()

        yield Cell(f"{left}/{right}", expected(left, right), make)


def _same_lan(lab: Lab, server: bool = True) -> Ground:
    lab.nat("na")
    lab.host("a", "na")
    lab.host("b", "na")
    return Ground(server)


def _no_internet(lab: Lab) -> Ground:
    lab.switch("lan")
    lab.host("a", "lan")
    lab.host("b", "lan")
    return Ground(server=False)


def _hairpin(lab: Lab) -> Ground:
    lab.nat("na", hairpin=True)
    lab.host("a", "na", isolated=True)
    lab.host("b", "na", isolated=True)
    return Ground()


def _carrier(lab: Lab, hairpin: bool = False, mapping: bool = False) -> Ground:
    lab.nat("ca", hairpin=hairpin, network=SQUATTED if mapping else CARRIER)
    for name in "ab":
        home(lab, name, Router(), parent="ca")
        if mapping:
            port_mapping(lab, f"n{name}")
    return Ground()


def _double(lab: Lab, carrier: Router) -> Ground:
    lab.nat("ca", carrier, network=CARRIER)
    home(lab, "a", Router(), parent="ca")
    home(lab, "b", Router())
    return Ground()


def _ipv6(lab: Lab) -> Ground:
    home(lab, "a", Router("hard", v6="firewall"))
    home(lab, "b", Router("hard", v6="firewall"))
    return Ground()


def _mapped(lab: Lab, other: str) -> Ground:
    home(lab, "a", Router("hard"))
    home(lab, "b", SIDES[other])
    port_mapping(lab, "na")
    return Ground()


def _only_tls(lab: Lab) -> Ground:
    home(lab, "a", Router(blocks="all but 443"))
    home(lab, "b", Router())
    return Ground(tls=tls_proxy(lab, "srv"))


def _only_proxy(lab: Lab) -> Ground:
    home(lab, "a", Router(blocks="everything"))
    home(lab, "b", Router())
    proxy = connect_proxy(lab, "na").url
    env = {"HTTPS_PROXY": proxy, "https_proxy": proxy}
    return Ground(tls=tls_proxy(lab, "srv"), env={"a": env})


_BLOCK = (30_000, 32_047)
_MINIUPNPD, _NGINX = ("miniupnpd",), ("nginx",)
_FURTHER = (
    Cell("same-lan", "H", _same_lan),
    Cell("same-lan-no-server", "H", lambda lab: _same_lan(lab, server=False)),
    Cell("same-lan-no-internet", "H", _no_internet),
    Cell("same-nat-hairpin", "P", _hairpin),
    Cell("same-carrier", "R", _carrier),
    Cell("same-carrier-hairpin", "P", lambda lab: _carrier(lab, hairpin=True)),
    Cell("same-carrier-mapping", "M", lambda lab: _carrier(lab, mapping=True), _MINIUPNPD),
    Cell("double-nat/easy", "P", lambda lab: _double(lab, Router("remap"))),
    Cell("double-nat-hard/easy", "B", lambda lab: _double(lab, Router("hard"))),
    Cell("port-block/easy", "B", lambda lab: _double(lab, Router("hard", ports=_BLOCK))),
    Cell("ipv6-firewalls", "6", _ipv6),
    Cell("mapped-hard/easy", "M", lambda lab: _mapped(lab, "easy"), _MINIUPNPD),
    Cell("mapped-hard/hard", "M", lambda lab: _mapped(lab, "hard"), _MINIUPNPD),
    Cell("only-443/easy", "R", _only_tls, _NGINX),
    Cell("only-proxy/easy", "R", _only_proxy, _NGINX),
)
CELLS: dict[str, Cell] = {cell.name: cell for cell in (*_table(), *_FURTHER)}
