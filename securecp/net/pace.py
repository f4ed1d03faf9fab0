"""How fast content may leave: what a person chose, as the controller that does it (SPEC §7.4)."""

from dataclasses import dataclass
from typing import Literal

from securecp.transport.congestion import Controller
from securecp.transport.limit import Limited

Congestion = Literal["bbr", "cubic"]


@dataclass(frozen=True, slots=True)
class Pace:
    """A controller for each connection, and a rate that none exceeds."""

    congestion: Congestion = "bbr"
    background: bool = False
    """Give way to everything else on the path, whatever `congestion` says."""
    limit: int | None = None
    """Bytes per second."""

    def controller(self) -> Controller:
        """A new one, with nothing known of the path."""
        chosen = self._chosen()
        return chosen if self.limit is None else Limited(chosen, self.limit)

    def _chosen(self) -> Controller:
        # Imported where they are used: a program that starts needs one of them.
        if self.background:
            from securecp.transport.ledbat import Ledbat

            return Ledbat()
        if self.congestion == "cubic":
            from securecp.transport.cubic import Cubic

            return Cubic()
        from securecp.transport.bbr import Bbr

        return Bbr()
