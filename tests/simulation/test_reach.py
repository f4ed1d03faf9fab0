"""Two machines find each other through every pair of NATs, and do not lose each other again.

The cells and goals are those of the laboratory's matrix (tests/lab): P punched, Q predicted, B by
guessing, R by the relay.
"""

from collections.abc import Callable
from dataclasses import replace
from statistics import median

import pytest

from securecp.nat.actions import Way
from tests.sim.finder import Talk
from tests.sim.internet import Weather
from tests.sim.reach import BOXES, KINDS, Meet, Result, Scenario, expected, meet, run_swarm

GOAL = 3 * 0.04 + 0.1
"""Seconds until a direct path, where it takes no guessing: three round trips and a little."""
DIRECT = {"P", "Q", "B"}


def results(count: int, **fields: object) -> list[Result]:
    return [meet(Scenario(seed=seed, **fields)) for seed in range(count)]  # type: ignore[arg-type]


@pytest.mark.parametrize("left", KINDS)
def test_every_cell_of_the_matrix(left: str) -> None:
    for right in KINDS:
        result = meet(Scenario(left, right))
        letter = expected(left, right)
        assert (result.works is not None) == (letter in DIRECT), (left, right)
        if letter in "PQ":
            assert result.direct is not None
            assert result.direct < GOAL + 0.06, (left, right)  # a hard NAT: one probe more
        if letter in "BR":
            assert result.relayed is not None
            assert result.relayed < 0.5, (left, right)


@pytest.mark.parametrize("skew", [5.0, -5.0])
@pytest.mark.parametrize("left", ["easy", "accept", "seq", "hard", "blocked"])
def test_whoever_comes_first_waits(left: str, skew: float) -> None:
    for right in ("easy", "accept", "seq", "hard", "blocked"):
        result = meet(Scenario(left, right, skew=skew))
        assert (result.works is not None) == (expected(left, right) in DIRECT), (left, right)
        assert result.connected


@pytest.mark.parametrize("loss", [0.1, 0.3])
@pytest.mark.parametrize(
    ("left", "right"), [("easy", "easy"), ("seq", "easy"), ("accept", "remap")]
)
def test_punching_bears_loss(left: str, right: str, loss: float) -> None:
    times = [result.direct for result in results(8, left=left, right=right, loss=loss)]
    assert None not in times
    assert median(time for time in times if time is not None) < (GOAL if loss < 0.2 else 0.5)


def test_guessing_takes_a_second_or_two() -> None:
    times = [
        result.direct
        for left, right in (("easy", "hard"), ("hard", "accept"), ("hard-addr", "remap"))
        for result in results(8, left=left, right=right)
    ]
    assert None not in times
    found = sorted(time for time in times if time is not None)
    assert median(found) < 1.7
    assert found[-1] < 8.0


@pytest.mark.parametrize("delay", [0.0, 0.002, 0.08])
def test_two_accept_routers_at_any_distance(delay: float) -> None:
    assert all(one.works for one in results(4, left="accept", right="accept", delay=delay))


def test_a_nat_that_looks_easy_to_one_address_is_guessed_in_the_end() -> None:
    for left, right in (("hard-addr", "easy"), ("easy", "hard-addr")):
        result = meet(Scenario(left, right, addresses=1))
        assert result.direct is not None
        assert result.direct < 9.0


@pytest.mark.parametrize("kind", ["easy", "hard", "seq", "blocked"])
def test_one_network_with_and_without_beacon_and_server(kind: str) -> None:
    found = meet(Scenario(kind, kind, same_lan=True))
    alone = meet(Scenario(kind, kind, same_lan=True, servers=0))
    silent = meet(Scenario(kind, kind, same_lan=True, lan=False))
    assert found.works is not None
    assert found.works < 0.15
    assert alone.works is not None
    assert alone.works < 0.15
    assert silent.works is not None
    assert silent.works < 0.5


def test_one_carrier_for_both() -> None:
    assert meet(Scenario(carrier="easy", hairpin=True)).works is not None
    assert meet(Scenario(carrier="hard", mapped=True)).works is not None  # by 100.64.x
    assert meet(Scenario(carrier="hard")).relayed is not None


def test_a_nat_behind_a_nat() -> None:
    assert meet(Scenario(double="easy")).works is not None
    assert meet(Scenario("hard", "fullcone", double="remap")).relayed is not None


@pytest.mark.parametrize("right", ["easy", "accept"])
def test_guessing_through_a_carriers_hard_nat_behind_a_home_router(right: str) -> None:
    times = [one.direct for one in results(6, left="easy", right=right, above="hard")]
    assert None not in times
    assert max(time for time in times if time is not None) < 8.0


def test_a_mapped_port_beats_two_hard_nats() -> None:
    for result in results(4, left="hard", right="hard", mapped=True):
        assert result.direct is not None
        assert result.direct < 0.5


@pytest.mark.parametrize(("left", "right"), [("hard", "hard"), ("seq", "hard"), ("easy", "easy")])
def test_ipv6_needs_no_luck(left: str, right: str) -> None:
    result = meet(Scenario(left, right, ipv6=True))
    assert result.direct is not None
    assert result.direct < GOAL


@pytest.mark.parametrize("days", [-1, 1])
def test_f20_a_clock_that_is_a_day_off(days: int) -> None:
    assert meet(Scenario(days_off=days)).works is not None


@pytest.mark.parametrize(("left", "right"), [("easy", "easy"), ("hard", "easy"), ("seq", "seq")])
def test_hs13_both_call_at_once(left: str, right: str) -> None:
    world = Meet(Scenario(left, right, both_call=True, lasts=6.0, until_direct=False))
    world.run()
    assert len(world.left.talks) == len(world.right.talks) == 2
    for talk in (*world.left.talks.values(), *world.right.talks.values()):
        assert any(way.kind == "direct" for way in talk.ways), talk.caller


def test_a_second_server_that_comes_late_takes_no_predicted_port_for_good() -> None:
    for early in (True, False):
        result = meet(Scenario("seq", "seq", servers=2, early=early))
        assert result.works is not None


def test_random_networks() -> None:
    assert run_swarm(range(200), verbose=False) == 0


# what happens later


def running(**fields: object) -> Meet:
    world = Meet(Scenario(until_direct=False, **fields))  # type: ignore[arg-type]
    world.start()
    world.go(4.0, lambda: False)
    return world


def on(world: Meet, seconds: float) -> Talk:
    world.go(world.clock.now + seconds, lambda: False)
    assert world.talk is not None
    return world.talk


def kind(talk: Talk) -> str:
    return next((way.kind for way in talk.ways if way.endpoint == talk.endpoint), "?")


def lives(world: Meet) -> bool:
    """Whether both still hear each other."""
    assert world.talk is not None
    both = (world.talk, world.right.talks[world.talk.session])
    return all(one.heard_at and world.clock.now - one.heard_at < 0.5 for one in both)


def longest(talk: Talk) -> float:
    return max((seconds for _, seconds in talk.pauses), default=0.0)


def test_f06_a_direct_path_does_not_need_the_server() -> None:
    world = running()
    world.servers[0].stop()
    talk = on(world, 60.0)
    assert kind(talk) == "direct"
    assert not talk.pauses
    world.servers[0].start()
    talk = on(world, 60.0)
    assert not talk.pauses
    assert world.watch.letters["Call"] == 1


@pytest.mark.parametrize("left", ["hard", "blocked"])
def test_f07_a_relay_that_comes_back_is_used_again(left: str) -> None:
    world = running(left=left, right="hard")
    world.servers[0].stop()
    on(world, 2.0)
    world.servers[0].start()
    assert 1.5 < longest(on(world, 10.0)) < 4.0
    assert lives(world)


@pytest.mark.parametrize("dies", [0, 1])
@pytest.mark.parametrize("left", ["hard", "blocked"])
def test_f07_another_relay_within_ten_seconds(left: str, dies: int) -> None:
    world = running(left=left, right="hard", servers=2)
    world.servers[dies].stop()
    talk = on(world, 12.0)
    assert longest(talk) < 3.0
    assert lives(world)
    at = talk.endpoint
    assert at is not None
    assert at.address in world.servers[1 - dies].addresses


def move(world: Meet, side: str, box: str = "easy") -> None:
    router = world.router(f"new {side}", BOXES[box], world.internet, "11.0.7.1")
    getattr(world, side).move(router, ("10.0.0.5",), ("11.0.7.1", 1))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(("left", "right"), [("easy", "easy"), ("hard", "hard")])
def test_f24_another_network(left: str, right: str, side: str) -> None:
    world = running(left=left, right=right)
    move(world, side)
    talk = on(world, 6.0)
    assert longest(talk) < 3.0
    assert kind(talk) == "direct"
    assert lives(world)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(
    ("left", "right"),
    [("easy", "easy"), ("accept", "accept"), ("hard", "fullcone"), ("fullcone", "hard"),
     ("easy", "hard"), ("hard", "easy"), ("seq", "easy"), ("seq", "seq")],
)  # fmt: skip
def test_f23_a_router_that_forgets_its_table(left: str, right: str, side: str) -> None:
    world = running(left=left, right=right)
    getattr(world, side).host.outside.table.flush()
    talk = on(world, 8.0)
    assert longest(talk) < 2.0  # of which one is until it is noticed
    assert kind(talk) == "direct"
    assert lives(world)


@pytest.mark.parametrize("seconds", [3.0, 10.0, 60.0])
def test_an_outage_of_udp_is_bridged_by_the_relay_and_ends(seconds: float) -> None:
    world = running()
    world.internet.weather = Weather(loss=1.0)
    on(world, seconds)
    world.internet.weather = Weather()
    talk = on(world, 8.0)
    assert longest(talk) < 3.5
    assert kind(talk) == "direct"
    assert lives(world)


def test_a_path_in_use_is_left_alone() -> None:
    world = running()
    before = world.left.shots + world.right.shots
    talk = on(world, 600.0)
    assert not talk.pauses
    assert world.watch.letters["Call"] == 1
    # STUN's keepalives and the leg's, each 20 s and on both sides; no probe
    assert world.left.shots + world.right.shots - before < 2 * 600 / 16 * 4
    assert talk.moves <= 2


def test_settling_stops_everything() -> None:
    world = running(left="hard", right="easy", lan=False)
    on(world, 6.0)
    for side in (world.left, world.right):
        sent = side.shots
        on(world, 12.0)
        assert side.shots - sent < 20
    assert len(world.left.host.ports) < 8  # the fan's losers are closed


def test_a_relayed_pair_tries_again_but_seldom() -> None:
    world = running(left="hard", right="hard")
    talk = on(world, 600.0)
    assert not talk.pauses
    assert 8 <= world.watch.letters["Call"] <= 14
    assert len(world.left.legs) <= 8


def test_ending_closes_every_door() -> None:
    for left, right in (("easy", "easy"), ("hard", "easy"), ("hard", "hard"), ("accept", "accept")):
        world = running(left=left, right=right)
        assert world.talk is not None
        session = world.talk.session
        for side in (world.left, world.right):  # each by what its transport says
            side.reach.end(session)
            side.turn()
        on(world, 5.0)
        for side in (world.left, world.right):
            assert set(side.host.ports) == {0}
            assert not side.legs
            assert not side.reach.meetings
            assert not side.reach.mail._sessions


def test_a_killed_caller_is_forgotten() -> None:
    world = running(left="hard", right="hard")
    world.left.stop()
    on(world, 400.0)
    for meeting in world.right.reach.meetings.values():
        assert not meeting.legs


# servers of ill will


Change = Callable[[bytes], list[tuple[float, bytes]]]


def meddled(change: str, seed: int) -> Result:
    """With a server that does this to its messages to clients, beside one that is honest."""
    world = Meet(Scenario(seed=seed, servers=2, lasts=30.0))
    rng, kept = world.random("meddling"), []

    def meddle(message: bytes) -> list[tuple[float, bytes]]:
        kept.append(message)
        match change:
            case "drops":
                return [(0.0, message)] if rng.random() < 0.5 else []
            case "delays":
                return [(rng.random() * 2.0 + 1e-9, message)]
            case "repeats":
                return [(0.0, message), (rng.random(), message), (5.0, rng.choice(kept))]
            case "swaps":
                other = rng.choice(kept)
                return [(0.0, message[:17] + other[17:]), (0.1, other)]
            case _:
                changed = bytearray(message)
                changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
                return [(0.0, bytes(changed))]

    world.servers[0].meddle = meddle
    return world.run()


@pytest.mark.parametrize("change", ["drops", "delays", "repeats", "swaps", "changes"])
def test_rv04_rl03_a_server_of_ill_will_can_only_delay(change: str) -> None:
    for seed in range(6):
        assert meddled(change, seed).works is not None, seed


def test_rl11_without_relays_nothing_is_relayed() -> None:
    world = Meet(Scenario("hard", "hard", until_direct=False))
    for side in (world.left, world.right):
        side.reach._relays = False
    result = world.run()
    assert not result.connected
    assert "relayed" not in result.first


def test_ways_are_told_best_first() -> None:
    world = running(ipv6=True)
    assert world.talk is not None
    ranks = [way.rank for way in world.talk.ways]
    assert ranks == sorted(ranks)
    assert [way.kind for way in world.talk.ways[:2]] == ["direct", "direct"]
    assert ":" in world.talk.ways[0].endpoint.address
    assert isinstance(world.talk.ways[0], Way)


def test_the_same_seed_gives_the_same_run() -> None:
    scenario = Scenario("hard", "easy", seed=3, loss=0.1, jitter=0.01)
    assert meet(scenario) == meet(replace(scenario))
