"""What may be used to find a peer, and to be found: what a person chose."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from securecp.nat.serveraddress import ServerAddress


class Means(NamedTuple):
    """Everything but a typed address."""

    servers: "tuple[ServerAddress, ...]" = ()
    lan: bool = True
    port_mapping: bool = True
    relay: bool = True
