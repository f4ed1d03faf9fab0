"""The one thing to change: the first rule that has something to say about a report.

What keeps people apart altogether comes first, then what keeps them from a direct path, then what
will hurt one day. Each rule is a question about the report, and its answer a sentence; silence
passes the report on.
"""

from collections.abc import Callable

from securecp.cli import units
from securecp.cli.text import safe_text
from securecp.nat.report import Report, Server
from securecp.nat.sampling import Nat

NOTHING = "nothing"
_HALF_A_DAY = 43_200.0
"""Tags change with the day, and those of yesterday and tomorrow are understood as well."""
_LEAST_MTU = 1_280
"""A handshake takes datagrams of 1,200 bytes, and headers."""
_LAN_PORT = 4401
_MOVING = (Nat.SEQUENTIAL, Nat.HARD)


def advice(report: Report) -> str:
    """A sentence without a stop; `NOTHING` if all is well."""
    return next(filter(None, (rule(report) for rule in _RULES)), NOTHING)


def _no_network(report: Report) -> str:
    if any(interface.addresses for interface in report.interfaces):
        return ""
    return "connect this machine to a network: it has no address"


def _wrong_clock(report: Report) -> str:
    clocks = (one.clock for one in report.servers if one.key_ok and one.clock is not None)
    ahead = max(clocks, key=abs, default=0.0)
    if abs(ahead) < _HALF_A_DAY:
        return ""
    return f"set the clock of this machine: it is {off(-ahead)} the server's"


def _small_mtu(report: Report) -> str:
    for one in report.interfaces:
        if one.outward and one.mtu is not None and one.mtu < _LEAST_MTU:
            name = safe_text(one.name, 40)
            return f"raise the MTU of {name}: it is {one.mtu:,}, and {_LEAST_MTU:,} are needed"
    return ""


def _connected(report: Report) -> str:
    met = report.encounter
    return NOTHING if met is not None and met.way in {"lan", "direct"} else ""


def _no_server(report: Report) -> str:
    if report.servers:
        return ""
    return "name a server: `securecp serve` runs one, `securecp config add-server URL` names it"


def _no_server_up(report: Report) -> str:
    if any(one.up for one in report.servers):
        return ""
    return _wrong_key(report) or (
        "see why no server answers: does `securecp serve` run there, and may this machine "
        "reach it by TCP?"
    )


def _wrong_key(report: Report) -> str:
    for one in report.servers:
        if one.key_ok is False:
            return (
                f"ask who runs {_where(one)} for its URL: what answers there has another key, "
                "so it is not used"
            )
    return ""


def _peer_away(report: Report) -> str:
    met = report.encounter
    if met is None or met.theirs is not None or met.way is not None:
        return ""
    return (
        f"ask {met.name} to run `securecp receive`, with you in the contacts there and one of "
        "your servers in the settings"
    )


def _udp_blocked(report: Report) -> str:
    if report.udp is not False:
        return ""
    if report.firewall:
        return f"let UDP through the firewall of this machine ({safe_text(report.firewall, 40)})"
    if not report.relay:
        return f"let the relay help, as UDP is blocked here: {_ALLOW_RELAY}"
    return "use a network that lets UDP through; on this one everything goes through the relay"


def _their_udp_blocked(report: Report) -> str:
    met = report.encounter
    if met is None or met.theirs is None or met.theirs.nat is not Nat.NO_UDP:
        return ""
    if not report.relay:
        return f"let the relay help, as UDP is blocked where {met.name} is: {_ALLOW_RELAY}"
    return f"ask {met.name} to use a network that lets UDP through; here nothing is amiss"


def _moving_nat(report: Report) -> str:
    """A NAT that gives each peer another port; IPv6 or a mapping would go around it."""
    family = report.family(4)
    if family is None or family.nat not in _MOVING or report.ipv6:
        return ""
    if not report.mapping.asked:
        return "let the router open a port: securecp config set port_mapping true"
    if report.carrier:
        return (
            "ask your provider for IPv6 or a public address: a NAT of theirs stands beyond "
            "your router, and opening a port there does not help"
        )
    if report.mapping.protocol:
        return ""
    return "turn on port mapping in your router, where it is called UPnP, NAT-PMP or PCP"


def _their_moving_nat(report: Report) -> str:
    met = report.encounter
    if met is None or met.theirs is None or met.theirs.nat not in _MOVING:
        return ""
    return f"ask {met.name} to turn on port mapping or IPv6 in the router there"


def _relay_refused(report: Report) -> str:
    met = report.encounter
    if met is None or met.way is not None or report.relay:
        return ""
    return f"let the relay help: {_ALLOW_RELAY}"


def _filtered(report: Report) -> str:
    """Both NATs are kind, and still nothing came through: somebody drops it."""
    met = report.encounter
    if met is None:
        return ""
    if report.firewall:
        return f"let UDP in through the firewall of this machine ({safe_text(report.firewall, 40)})"
    return f"look for a firewall that drops UDP, here or where {met.name} is"


def _server_down(report: Report) -> str:
    for number, one in enumerate(report.servers, 1):
        if not one.up:
            return (
                f"start {_where(one)} again, or forget it: securecp config remove-server {number}"
            )
    return ""


def _deaf_lan(report: Report) -> str:
    if not report.lan.asked or report.lan.possible:
        return ""
    return f"let multicast by UDP port {_LAN_PORT} through, to find people on this network"


_ALLOW_RELAY = "securecp config set relay true"
_RULES: tuple[Callable[[Report], str], ...] = (
    _no_network,
    _wrong_clock,
    _small_mtu,
    _connected,
    _no_server,
    _no_server_up,
    _peer_away,
    _udp_blocked,
    _their_udp_blocked,
    _moving_nat,
    _their_moving_nat,
    _relay_refused,
    _filtered,
    _wrong_key,
    _server_down,
    _deaf_lan,
)


def off(ahead: float) -> str:
    """`2 days ahead of`, `12 s behind`: how one clock stands to another."""
    days = abs(ahead) / 86_400
    amount = f"{days:.0f} days" if days >= 1.5 else units.duration(abs(ahead))
    return f"{amount} {'ahead of' if ahead > 0 else 'behind'}"


def _where(server: Server) -> str:
    return safe_text(server.where, 80)
