"""An internet of the kernel: one namespace that routes between all nodes. No delay; it can lose."""

from tests.lab.namespaces import Space

GATEWAY = "11.0.113.1"
NEAR, FAR = "fe80::2", "fe80::1"


class KernelInternet:
    """As fast as the machine; loss, cut links, and nothing else."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._loss = 0.0
        self._cut: set[str] = set()
        self._links: dict[str, tuple[Space, str, list[str]]] = {}
        space.sysctl({"ipv4/ip_forward": 1, "ipv6/conf/all/forwarding": 1})

    def join(
        self, name: str, space: Space, device: str, addresses: list[str], prefixes: list[str]
    ) -> None:
        far = f"x-{name}"
        self._links[name] = space, device, []
        self._space.ip(
            f"link add {far} type veth peer name {device} netns {space.name}",
            f"addr add {GATEWAY}/32 dev {far}",
            f"link set {far} up",
            f"addr add {FAR}/64 nodad dev {far}",
        )
        self._space.eager(far)
        space.eager(device)
        space.ip(
            f"link set {device} up",
            f"addr add {NEAR}/64 nodad dev {device}",
            f"route add {GATEWAY} dev {device}",
            f"route add default via {GATEWAY} dev {device}",
            f"route add ::/0 via {FAR} dev {device}",
        )
        self.move(name, addresses, prefixes)
        self._space.await_words("state UP", far)

    def move(self, name: str, addresses: list[str], prefixes: list[str]) -> None:
        space, device, old = self._links[name]
        routes = [
            f"route replace {a} via {NEAR} dev x-{name}" if ":" in a else
            f"route replace {a} dev x-{name}"
            for a in [*addresses, *prefixes]
        ]  # fmt: skip
        # New before old: without any address, a device would lose its routes as well.
        space.ip(*(f"addr add {host(a)} dev {device}" for a in addresses))
        space.ip(*(f"addr del {host(a)} dev {device}" for a in old))
        self._space.ip(*routes)
        self._links[name] = space, device, addresses

    def conditions(self, name: str, **values: float | bool) -> None:
        """Of all links with an empty name."""
        if set(values) - ({"up"} if name else {"loss"}):
            raise ValueError("this internet knows loss, and cut links; others need Lab(delay=…)")
        if name:
            (self._cut.discard if values["up"] else self._cut.add)(f"x-{name}")
        else:
            self._loss = float(values.get("loss", self._loss))
        cut = "".join(
            f"iifname {each} drop\n    oifname {each} drop\n    " for each in sorted(self._cut)
        )
        share = int(self._loss * 10_000)
        self._space.nft(f"""
table inet weather
delete table inet weather
table inet weather {{
  chain forw {{
    type filter hook forward priority 0; policy accept;
    {cut}meta l4proto udp numgen random mod 10001 < {share} drop
  }}
}}""")

    def close(self) -> None:
        """Everything is in the namespace, which goes by itself."""


def host(address: str) -> str:
    """As `ip addr` has it; IPv6 without the moment in which nobody may use it yet."""
    return f"{address}/128 nodad" if ":" in address else f"{address}/32"
