"""Where probes may go (RV-05, RL-10), in which order, and where ports are guessed."""

from securecp.endpoint import Endpoint
from securecp.nat.candidate import Candidate, Kind
from securecp.nat.envelope import View
from securecp.nat.sampling import Nat
from securecp.nat.situation import Situation
from securecp.nat.targets import mark, targets

OURS = Candidate(Kind.REFLEXIVE, "11.0.2.1", 40_000)
SEEN = Candidate(Kind.REFLEXIVE, "11.0.1.1", 1)
HOST = Candidate(Kind.HOST, "192.168.1.11", 2)
SIX = Candidate(Kind.HOST, "2600::1", 3)
NEXT = Candidate(Kind.PREDICTED, "11.0.1.1", 4)
MAPPED = Candidate(Kind.MAPPED, "11.0.1.9", 5)


def situation(nat: Nat = Nat.EASY, address: str = "11.0.2.1", *, ipv6: bool = True) -> Situation:
    doors = {False: 0, True: 1} if ipv6 else {False: 0}
    return Situation(View(nat, 0, 0, ipv6), (OURS._replace(address=address),), doors)


def test_each_family_has_its_door() -> None:
    found = targets(situation(), [SEEN], [SEEN, SIX], [])
    assert found == [
        (Endpoint("2600::1", 3, 1), "host"), (Endpoint("11.0.1.1", 1, 0), "reflexive")
    ]  # fmt: skip
    assert len(targets(situation(ipv6=False), [SEEN], [SEEN, SIX], [])) == 1


def test_rv05_private_ones_only_among_neighbours() -> None:
    assert len(targets(situation(), [SEEN, HOST], [HOST], [])) == 0
    assert len(targets(situation(address="11.0.1.1"), [SEEN, HOST], [HOST], [])) == 1


def test_rl10_not_our_own_and_not_a_servers() -> None:
    server = Endpoint("11.0.1.1", 1)
    assert not targets(situation(), [], [OURS, SEEN], [server])


def test_behind_a_sequential_nat_those_come_first_that_count_on_our_ports() -> None:
    for nat, first in ((Nat.EASY, "reflexive"), (Nat.SEQUENTIAL, "predicted")):
        found = targets(situation(nat, ipv6=False), [SEEN], [SEEN, NEXT, MAPPED], [])
        assert found[0][1] == first


def test_rv05_ports_are_guessed_where_servers_see_the_peer() -> None:
    there = mark(situation(), [MAPPED, HOST, SIX, SEEN, NEXT], [])
    assert there is not None
    assert there.endpoint == Endpoint("11.0.1.1", 1, 0)
    assert there.ports == [1, 4]
    assert mark(situation(), [MAPPED, HOST, SIX], []) is None
    assert mark(situation(), [SEEN._replace(address="10.0.0.1")], []) is None


def test_rl10_no_ports_are_guessed_at_a_server_or_at_us() -> None:
    server = Endpoint(SEEN.address, 4480)
    assert mark(situation(), [SEEN, NEXT], [server]) is None
