"""What a router does to packets, as rules for nft.

Mapping: which outer port a home's socket gets. Filtering: whose packets may come in by it. These
are words of RFC 4787; `easy` and `hard` are ours, for whether the port depends on the destination.

The device `wan` leads out, the bridge `lan` into the home.
"""

from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["easy", "remap", "fullcone", "hard", "hard-addr", "hard-seq"]
Policy = Literal["drop", "accept", "reject"]
Blocks = Literal["nothing", "udp", "all but 443", "everything"]
V6 = Literal["none", "firewall", "open"]

KINDS: dict[Kind, str] = {
    "easy": "one port for all destinations, the inner one (what Linux does by itself)",
    "remap": "one port for all destinations, another than the inner one",
    "fullcone": "as easy, and anybody may come in by it",
    "hard": "another random port for each destination",
    "hard-addr": "another port for each destination address",
    "hard-seq": "another port for each destination, in sequence, so that one can predict it",
}
assert tuple(KINDS) == get_args(Kind)

PORTS = (20_000, 24_095)
"""Outer ports of kinds that count or hash, unless a port block says otherwise."""

_SNAT = "meta l4proto udp snat ip to {address} : "
_POST: dict[Kind, str] = {
    "easy": "masquerade",
    "fullcone": "masquerade",
    "hard": "masquerade fully-random",
    "remap": _SNAT + "jhash ip saddr . udp sport mod {count} seed 0x7 map {{ {ports} }}",
    "hard-addr": _SNAT
    + "jhash ip saddr . udp sport . ip daddr mod {count} seed 0x7 map {{ {ports} }}",
    "hard-seq": _SNAT + "numgen inc mod {count} map {{ {ports} }}",
}
_CONE = """
  map cone {
    type inet_service : ipv4_addr . inet_service; flags dynamic,timeout; timeout 300s; size 65535;
  }"""
_BLOCKED: dict[Blocks, str] = {
    "nothing": "",
    "udp": "iifname lan meta l4proto udp drop",
    "all but 443": "iifname lan tcp dport != 443 drop\n    iifname lan meta l4proto != tcp drop",
    "everything": "iifname lan drop",
}


@dataclass(frozen=True)
class Router:
    """How one router behaves."""

    kind: Kind = "easy"
    policy: Policy = "drop"
    """Towards what comes unasked for the router itself. `accept` is a trap: the kernel remembers
    who came early, and gives our own later packet to the same peer another port."""
    hairpin: bool = False
    """Whether two homes behind it reach each other by their outer endpoints."""
    ports: tuple[int, int] | None = None
    """The block of outer ports that a carrier leaves to it."""
    blocks: Blocks = "nothing"
    udp_timeout: int | None = None
    """Seconds that a mapping lives on one packet …"""
    udp_stream: int | None = None
    """… and with traffic in both directions."""
    v6: V6 = "none"

    def __post_init__(self) -> None:
        if self.hairpin and self.kind not in {"easy", "fullcone"}:
            raise ValueError("the rules for hairpin know the outer port only where it is the inner")

    def sysctls(self) -> dict[str, int]:
        lives = {
            "netfilter/nf_conntrack_udp_timeout": self.udp_timeout,
            "netfilter/nf_conntrack_udp_timeout_stream": self.udp_stream,
        }
        return {name: value for name, value in lives.items() if value is not None}

    def rules(self, address: str) -> str:
        """All tables of the router with this outer address; replaces those it had."""
        return f"""
table ip nat
delete table ip nat
table ip nat {{{_CONE if self._cone else ""}
  chain pre {{
    type nat hook prerouting priority -100; policy accept;
    {self._inbound(address)}
  }}
  chain post {{
    type nat hook postrouting priority 100; policy accept;
    {self._outbound(address)}
  }}
}}
table ip filter
delete table ip filter
table ip filter {{
  chain forw {{
    type filter hook forward priority 0; policy drop;
    {_BLOCKED[self.blocks]}
    iifname lan accept
    ct state established,related accept
    {"ct status dnat accept" if self.kind == "fullcone" else ""}
  }}
  chain input {{
    type filter hook input priority 0; policy {"accept" if self.policy == "accept" else "drop"};
    iifname {{ lan, lo }} accept
    ct state established,related accept
    {"iifname wan reject" if self.policy == "reject" else ""}
  }}
}}
table ip6 filter
delete table ip6 filter
table ip6 filter {{
  chain forw {{
    type filter hook forward priority 0; policy drop;
    {_BLOCKED[self.blocks]}
    iifname lan accept
    {"accept" if self.v6 == "open" else "ct state established,related accept"}
  }}
}}
"""

    @property
    def _cone(self) -> bool:
        """Whether live mappings must be looked up from outside: outer port -> inner endpoint."""
        return self.hairpin or self.kind == "fullcone"

    def _inbound(self, address: str) -> str:
        if not self._cone:
            return ""
        whose = "" if self.kind == "fullcone" else "iifname lan "
        return f"{whose}ip daddr {address} meta l4proto udp dnat ip to udp dport map @cone"

    def _outbound(self, address: str) -> str:
        first, last = self.ports or PORTS
        count = last - first + 1
        ports = ", ".join(f"{n} : {first + n}" for n in range(count))
        post = _POST[self.kind].format(address=address, count=count, ports=ports)
        if self.ports and post.startswith("masquerade"):
            # A range of ports needs a rule that matches a transport protocol.
            way = post.removeprefix("masquerade")
            post = f"meta l4proto udp masquerade to :{first}-{last}{way}"
        rules = [f"oifname wan {post}", "oifname wan masquerade"]
        if self._cone:
            learn = "meta l4proto udp update @cone { udp sport : ip saddr . udp sport }"
            rules.insert(0, f"oifname wan {learn}")
        if self.hairpin:
            rules.append(f"oifname lan ct status dnat snat to {address}")
        return "\n    ".join(rules)
