"""What a person chose, as the controller that does it."""

from securecp.net.pace import Pace
from securecp.transport.bbr import Bbr
from securecp.transport.cubic import Cubic
from securecp.transport.ledbat import Ledbat
from securecp.transport.limit import Limited


def test_each_choice_is_its_controller() -> None:
    assert isinstance(Pace().controller(), Bbr)
    assert isinstance(Pace("cubic").controller(), Cubic)
    assert isinstance(Pace("bbr", background=True).controller(), Ledbat)
    assert isinstance(Pace("cubic", background=True).controller(), Ledbat)


def test_a_limit_holds_for_every_choice() -> None:
    for pace in (Pace("bbr", limit=2_000), Pace("cubic", limit=2_000), Pace("bbr", True, 2_000)):
        controller = pace.controller()
        assert isinstance(controller, Limited)
        assert controller.pacing_rate <= 2_000


def test_every_connection_has_a_controller_of_its_own() -> None:
    pace = Pace()
    assert pace.controller() is not pace.controller()
