"""The gatherer against servers and NATs made of a few lines, on virtual time."""

from collections.abc import Callable, Iterator
from itertools import count, pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp.endpoint import Endpoint
from securecp.nat import stun
from securecp.nat.gather import (
    KEEPALIVE,
    KEEPALIVE_FLOOR,
    MOST_SERVERS,
    RETEST,
    SILENCE,
    Door,
    Gatherer,
    Reflexive,
    believable,
)
from securecp.nat.sampling import Nat

US = "11.0.113.21"
A1, A2, B1, B2 = (Endpoint(f"11.0.113.{n}", port) for n in (10, 11) for port in (3478, 3479))
SERVERS = ((A1, A2), (B1, B2))
V6 = Endpoint("2600:ab8:ffff::10", 3478)
DOOR = Door(0, 4, 47_167)

Mapping = Callable[[Endpoint], int | None]
"""The port that a server sees; None if the request gets lost."""


def easy(_: Endpoint) -> int:
    return 23_206


def silent(_: Endpoint) -> None:
    return None


def sequential() -> Mapping:
    ports: dict[Endpoint, int] = {}
    following = count(20_000)
    return lambda server: (
        ports[server] if server in ports else ports.setdefault(server, next(following))
    )


class World:
    """Virtual time, one gatherer, and an internet that is 20 ms wide."""

    def __init__(
        self, nat: Mapping, servers: tuple[tuple[Endpoint, ...], ...] = SERVERS, *doors: Door
    ) -> None:
        self.now = 100.0
        self.nat = nat
        self.asked: list[tuple[float, Endpoint]] = []
        self.requests: list[bytes] = []
        self.under_way: list[tuple[float, Endpoint, bytes]] = []
        self.gatherer = Gatherer(self.now, doors or (DOOR,), servers, Random(1).randbytes)

    def answer(self, server: Endpoint, request: bytes) -> bytes | None:
        port = self.nat(server)
        parsed = stun.parse(request)
        address = US if ":" not in server.address else "2600:ab8:21::10"
        if port is None:
            return None
        return stun.encode_response(parsed.transaction, Endpoint(address, port))

    def turn(self) -> None:
        self.gatherer.wake(self.now)
        while sent := self.gatherer.transmit(self.now):
            server, request = sent
            self.asked.append((round(self.now - 100, 3), server))
            self.requests.append(request)
            if response := self.answer(server, request):
                self.under_way.append((self.now + 0.04, server, response))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            self.turn()
            times = [at for at, _, _ in self.under_way]
            deadline = self.gatherer.deadline()
            assert deadline is None or deadline > self.now
            following = min([*times, deadline if deadline is not None else end])
            if following > end:
                self.now = end
                return
            self.now = following
            due = [item for item in self.under_way if item[0] <= self.now]
            self.under_way = [item for item in self.under_way if item[0] > self.now]
            for _, server, response in due:
                assert self.gatherer.receive(self.now, server, response)
            if not due and following == end:
                self.turn()
                return


def test_all_are_asked_at_once_in_the_order_listed() -> None:
    world = World(easy)
    world.turn()
    assert world.asked == [(0.0, server) for server in (A1, A2, B1, B2)]
    assert {len(request) for request in world.requests} == {stun.PADDED}
    assert world.gatherer.transmit(world.now) is None


@pytest.mark.parametrize(
    ("nat", "kind"),
    [
        (easy, Nat.EASY),
        (sequential(), Nat.SEQUENTIAL),
        (lambda server: 20_000 + hash(server.address) % 4_001, Nat.HARD),
        (lambda server: 20_000 + (server.port * int(server.address[-1])) ** 2 % 9_973, Nat.HARD),
    ],
)
def test_a_round_tells_the_kind_after_one_round_trip(nat: Mapping, kind: Nat) -> None:
    world = World(nat)
    world.run(0.05)
    assert world.gatherer.done
    assert world.gatherer.view(0).nat is kind
    assert len(world.gatherer.samples(0)) == 4
    assert world.gatherer.rtt(A1) == pytest.approx(0.04)
    assert len(world.asked) == 4


def test_the_first_answer_is_an_event_at_once() -> None:
    world = World(easy)
    world.turn()
    world.now += 0.04
    _, server, response = world.under_way.pop(0)
    assert world.gatherer.receive(world.now, server, response)
    assert world.gatherer.events() == [Reflexive(0, Endpoint(US, 23_206))]
    assert not world.gatherer.done
    world.run(1)
    assert world.gatherer.events() == []


def test_who_does_not_answer_is_asked_six_times() -> None:
    world = World(lambda server: None if server == A2 else 23_206)
    world.run(SILENCE + 0.01)
    assert [at for at, server in world.asked if server == A2] == pytest.approx(
        [0, 0.06, 0.12, 0.24, 0.48, 0.96]
    )
    assert world.gatherer.done
    assert world.gatherer.view(0).nat is Nat.EASY
    assert not world.gatherer.blocked(world.now)
    assert not world.gatherer.blocked(world.now + 1_000)


def test_each_request_has_a_transaction_of_its_own() -> None:
    world = World(silent)
    world.run(SILENCE)
    assert len({request[8:20] for request in world.requests}) == len(world.requests) == 24


def test_a_late_answer_counts_and_tells_its_own_round_trip() -> None:
    world = World(silent)
    world.run(0.2)
    transaction = stun.parse(world.requests[0]).transaction
    response = stun.encode_response(transaction, Endpoint(US, 23_206))
    assert world.gatherer.receive(world.now, A1, response)
    assert world.gatherer.rtt(A1) == pytest.approx(0.2)
    assert not world.gatherer.receive(world.now, A1, response)


def test_udp_is_called_blocked_after_a_round_of_silence() -> None:
    world = World(silent)
    world.run(SILENCE - 0.01)
    assert not world.gatherer.blocked(world.now)
    assert world.gatherer.view(0).nat is Nat.UNKNOWN
    world.run(0.02)
    assert world.gatherer.blocked(world.now)
    assert world.gatherer.done
    assert world.gatherer.view(0).nat is Nat.NO_UDP


def test_a_silent_door_is_tested_again_and_may_come_alive() -> None:
    world = World(silent)
    world.run(RETEST)
    assert world.gatherer.blocked(world.now)
    world.nat = easy
    world.run(SILENCE + 0.1)
    assert world.asked[-1][0] == pytest.approx(SILENCE + RETEST)
    assert not world.gatherer.blocked(world.now)
    assert world.gatherer.view(0).nat is Nat.EASY
    assert world.gatherer.events() == [Reflexive(0, Endpoint(US, 23_206))]


def test_one_family_without_answers_does_not_block_the_other() -> None:
    def only_v4(server: Endpoint) -> int | None:
        return None if ":" in server.address else 23_206

    world = World(only_v4, ((A1, A2, V6),), DOOR, Door(1, 6, 50_000))
    world.run(SILENCE + 1)
    assert not world.gatherer.blocked(world.now)
    assert world.gatherer.view(1).nat is Nat.NO_UDP
    assert world.gatherer.view(0).nat is Nat.EASY


def test_each_door_asks_the_servers_of_its_family() -> None:
    world = World(easy, ((A1, V6),), DOOR, Door(1, 6, 50_000), Door(7, 4, 50_001))
    world.turn()
    assert [server for _, server in world.asked] == [
        A1,
        V6._replace(via=1),
        A1._replace(via=7),
    ]


def keepalives(world: World) -> Iterator[float]:
    times = [at for at, _ in world.asked[4:]]
    return (b - a for a, b in pairwise(times))


def test_an_idle_door_keeps_one_binding_alive() -> None:
    world = World(easy)
    world.run(600)
    assert {server for _, server in world.asked[4:]} == {A1}
    gaps = list(keepalives(world))
    assert all(0.8 * KEEPALIVE <= gap <= 1.2 * KEEPALIVE + 0.1 for gap in gaps)
    assert max(gaps) - min(gaps) > 0.1 * KEEPALIVE


def test_a_busy_door_needs_no_keepalive() -> None:
    world = World(easy)
    for _ in range(100):
        world.run(1)
        world.gatherer.active(world.now, 0)
    assert len(world.asked) == 4


def test_a_changed_port_is_told_and_halves_the_interval_down_to_the_floor() -> None:
    ports = count(30_000)
    changed: dict[str, int] = {"port": 23_206}
    world = World(lambda _: changed["port"])
    world.run(1)
    world.gatherer.events()
    for halved in (10.0, 5.0, KEEPALIVE_FLOOR):
        before = changed["port"]
        changed["port"] = next(ports)
        world.run(1.2 * KEEPALIVE + 1)
        moved = Reflexive(0, Endpoint(US, changed["port"]), Endpoint(US, before))
        assert world.gatherer.events() == [moved]
        assert world.gatherer.view(0).reflexive == Endpoint(US, changed["port"])
        assert world.gatherer.view(0).nat is Nat.EASY
        start = len(world.asked)
        world.run(5 * halved)
        times = [at for at, _ in world.asked[start:]]
        gaps = [b - a for a, b in pairwise(times)]
        assert all(0.8 * halved <= gap <= 1.2 * halved + 0.1 for gap in gaps)


def test_a_keepalive_without_an_answer_asks_everybody() -> None:
    world = World(easy)
    world.run(1)
    world.nat = lambda server: None if server == A1 else 23_206
    world.run(2 * KEEPALIVE + SILENCE)
    assert world.gatherer.view(0).nat is Nat.EASY
    assert not world.gatherer.blocked(world.now)
    start = len(world.asked)
    world.run(60)
    assert {server for _, server in world.asked[start:]} == {A2}


def test_udp_that_dies_is_noticed_by_the_keepalive() -> None:
    world = World(easy)
    world.run(1)
    world.nat = silent
    world.run(1.2 * KEEPALIVE + 2 * SILENCE)
    assert world.gatherer.blocked(world.now)
    assert world.gatherer.view(0).nat is Nat.NO_UDP


def test_a_fresh_door_is_sampled_in_order() -> None:
    world = World(sequential())
    world.run(1)
    world.nat = sequential()
    world.gatherer.resample(world.now, Door(9, 4, 50_009))
    world.run(0.05)
    fresh = world.gatherer.view(9)
    assert (fresh.nat, fresh.step, fresh.predicted[0]) == (Nat.SEQUENTIAL, 1, 20_004)
    world.gatherer.forget(9)
    assert world.gatherer.view(9).nat is Nat.UNKNOWN
    assert not world.gatherer.receive(world.now, A1._replace(via=9), world.requests[-4])


def test_a_new_network_is_a_new_beginning() -> None:
    world = World(easy)
    world.run(1)
    world.nat = lambda _: 40_404
    world.gatherer.restart(world.now)
    assert not world.gatherer.done
    world.run(0.05)
    assert world.gatherer.done
    assert world.gatherer.events()[-1] == Reflexive(0, Endpoint(US, 40_404), Endpoint(US, 23_206))


def test_a_new_network_is_not_blocked_before_it_has_been_tried() -> None:
    world = World(silent)
    world.run(10)
    assert world.gatherer.blocked(world.now)
    world.gatherer.restart(world.now)
    assert not world.gatherer.blocked(world.now)
    world.run(SILENCE + 0.01)
    assert world.gatherer.blocked(world.now)


def test_after_a_change_the_server_that_noticed_comes_first() -> None:
    world = World(lambda server: None if server == A1 else sequence(server))
    sequence = sequential()
    world.run(SILENCE + 1)
    sequence = sequential()  # the NAT has forgotten everything
    world.run(1.2 * KEEPALIVE + 2 * SILENCE)
    assert [sample.server for sample in world.gatherer.samples(0)] == [A2, B1, B2]
    told = world.gatherer.view(0)
    assert (told.nat, told.step) == (Nat.SEQUENTIAL, 1)


def test_servers_that_are_told_later_are_asked_as_well_and_never_too_many() -> None:
    world = World(easy, ((A1,),))
    world.run(1)
    assert world.gatherer.view(0).nat is Nat.UNKNOWN
    world.gatherer.add_servers(world.now, (A1, A2, B1, B2))
    world.run(0.05)
    assert world.gatherer.view(0).nat is Nat.EASY
    flood = (Endpoint("11.0.113.10", port) for port in range(1, 300))
    world.gatherer.add_servers(world.now, flood)
    world.run(0.05)
    assert len(world.gatherer.samples(0)) == MOST_SERVERS


# What is not believed.


@pytest.mark.parametrize(
    ("case", "seen"),
    [
        ("private", Endpoint("192.168.1.10", 5_000)),
        ("carrier's", Endpoint("100.64.1.10", 5_000)),
        ("loopback", Endpoint("127.0.0.1", 5_000)),
        ("link-local", Endpoint("169.254.0.9", 5_000)),
        ("multicast", Endpoint("239.1.1.1", 5_000)),
        ("unspecified", Endpoint("0.0.0.0", 5_000)),
        ("broadcast", Endpoint("255.255.255.255", 5_000)),
        ("port 0", Endpoint("11.0.113.21", 0)),
        ("another family", Endpoint("2600:ab8::1", 5_000)),
    ],
)
def test_dg15_an_endpoint_that_cannot_be_ours_is_ignored(case: str, seen: Endpoint) -> None:
    world = World(silent)
    world.turn()
    response = stun.encode_response(stun.parse(world.requests[0]).transaction, seen)
    assert not world.gatherer.receive(world.now, A1, response)
    assert world.gatherer.samples(0) == []
    assert world.gatherer.events() == []


@pytest.mark.parametrize(
    ("server", "seen", "fine"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("::1", "::1", True),
        ("192.168.1.2", "192.168.1.10", True),
        ("100.64.0.1", "100.64.7.7", True),
        ("192.168.1.2", "11.0.113.21", True),
        ("192.168.1.2", "224.0.0.1", False),
        ("::1", "::", False),
        ("2600:ab8::1", "fe80::1", False),
        ("2600:ab8::1", "fc00::1", False),
        ("2600:ab8::1", "ff02::1", False),
        ("2600:ab8::1", "2600:ab8::2", True),
    ],
)
def test_dg15_a_private_server_may_see_private_endpoints(
    server: str, seen: str, fine: bool
) -> None:
    assert believable(Endpoint(seen, 1), Endpoint(server, 3_478)) is fine


def test_dg15_answers_to_nobodys_question_are_ignored() -> None:
    world = World(silent)
    world.turn()
    transaction = stun.parse(world.requests[0]).transaction
    good = stun.encode_response(transaction, Endpoint(US, 23_206))
    receive = world.gatherer.receive
    forged = stun.encode_response(bytes(12), Endpoint(US, 23_206))
    assert not receive(world.now, A1, forged)  # wrong transaction
    assert not receive(world.now, A2, good)  # a transaction, but of another question
    assert not receive(world.now, Endpoint("11.0.113.66", 3_478), good)  # spoofed source
    assert not receive(world.now, A1._replace(via=5), good)  # another door
    assert not receive(world.now, A1, good[:-1])
    assert not receive(world.now, A1, world.requests[0])  # reflected
    assert not receive(world.now, A1, good[:22] + b"\xff\xff" + good[24:])  # overrun
    assert world.gatherer.samples(0) == []
    assert receive(world.now, A1, good)


@given(st.data())
def test_dg15_whatever_comes_only_true_answers_change_anything(data: st.DataObject) -> None:
    world = World(silent)
    world.turn()
    transactions = [stun.parse(request).transaction for request in world.requests]
    for _ in range(data.draw(st.integers(1, 8))):
        source = data.draw(st.sampled_from((A1, A2, B1, B2, Endpoint("11.0.113.66", 9), V6)))
        which = data.draw(st.integers(0, 3))
        whole = bytearray(stun.encode_response(transactions[which], Endpoint(US, 23_206)))
        place = data.draw(st.integers(0, len(whole) - 1))
        whole[place] ^= data.draw(st.integers(0, 255))
        before = len(world.gatherer.samples(0))
        taken = world.gatherer.receive(world.now, source, bytes(whole))
        assert len(world.gatherer.samples(0)) == before + taken
        if taken:
            assert source == (A1, A2, B1, B2)[which]


@given(st.integers(0, 2**32), st.floats(0, 1))
def test_any_loss_and_any_nat_end_the_round_in_time(seed: int, loss: float) -> None:
    random = Random(seed)

    def nat(server: Endpoint) -> int | None:
        return None if random.random() < loss else random.choice((23_206, 20_000, 20_001))

    world = World(nat)
    world.run(SILENCE + 0.05)
    assert world.gatherer.done
    assert len(world.asked) <= 24
    told = world.gatherer.view(0)
    assert (told.nat is Nat.NO_UDP) == (not world.gatherer.samples(0))
    world.run(200)
    # A door asks no more than a round each keepalive of the floor, whatever the NAT does.
    assert len(world.asked) <= 24 + 30 * 200 / (0.8 * KEEPALIVE_FLOOR)
