"""What a peer with valid keys, or somebody on the path, cannot do with the path of a connection."""

from random import Random

import pytest

from securecp.endpoint import Burst, Endpoint
from securecp.transport.connection import Connection, Moved
from securecp.transport.frames import Challenge, Frame, Padding, Ping, Response, parse
from securecp.transport.opening import Opener
from securecp.transport.paths import SWITCHES, SWITCHES_TIME
from securecp.transport.validation import (
    CANDIDATES,
    CHALLENGES,
    PATIENCE,
    REST,
    SMALLEST_CHALLENGE,
    TRUSTED_FOR,
)
from securecp.transport.wire import DATA, HEADER
from tests.sim.host import Host
from tests.sim.invariants import Watcher
from tests.sim.options import LinkOptions
from tests.sim.peer import RIGHT, agreed_keys, parameters
from tests.sim.world import World
from tests.simulation.bench import Bench
from tests.simulation.twopaths import RIGHT_0, TwoPaths

VICTIM = Endpoint("203.0.113.9", 53)
OTHER = Endpoint("203.0.113.10", 53)


class Scene:
    """A bench that sees where each datagram goes."""

    def __init__(self) -> None:
        self.bench = Bench(initiator=False)
        self.out: list[tuple[Endpoint, int, list[Frame]]] = []
        self._opener = Opener(agreed_keys(parameters(), parameters())[0], 0.0)
        self.came(RIGHT, self.bench.forger.frames(Ping()))

    @property
    def connection(self) -> Connection:
        return self.bench.victim

    def came(self, source: Endpoint, *datagrams: bytes) -> None:
        for datagram in datagrams:
            data = memoryview(bytearray(datagram))
            self.connection.receive(self.bench.now, Burst(source, data, max(len(data), 1)))
        self._drain()

    def ping(self, length: int = 1_200) -> bytes:
        return self.bench.forger.frames(Ping(), Padding(length - 32 - 2 - 5))

    def wait(self, seconds: float) -> None:
        until = self.bench.now + seconds
        while (deadline := self.connection.deadline()) is not None and deadline <= until:
            self.bench.now = max(self.bench.now, deadline)
            self.connection.wake(self.bench.now)
            self._drain()
        self.bench.now = until

    def _drain(self) -> None:
        self.bench.events += self.connection.events()
        while (burst := self.connection.transmit(self.bench.now)) is not None:
            copy = Burst(RIGHT, memoryview(bytearray(burst.data)), burst.stride)
            frames: list[Frame] = []
            for _, plain in self._opener.open(self.bench.now, copy, 1.0).frames:
                frames += parse(plain)
            self.out.append((burst.endpoint, len(burst.data), frames))

    def to(self, endpoint: Endpoint) -> list[tuple[int, list[Frame]]]:
        return [(length, frames) for where, length, frames in self.out if where == endpoint]

    def token(self, endpoint: Endpoint) -> bytes:
        (token,) = {
            frame.token
            for _, frames in self.to(endpoint)
            for frame in frames
            if isinstance(frame, Challenge)
        }
        return token

    @property
    def moves(self) -> list[Endpoint]:
        return [event.endpoint for event in self.bench.events if isinstance(event, Moved)]


# a peer that names somebody else's address


def test_tr12_an_address_that_does_not_answer_gets_three_challenges_and_nothing_else() -> None:
    scene = Scene()
    scene.connection.send_content(0, 100_000)
    scene.came(VICTIM, *(scene.ping() for _ in range(50)))
    scene.wait(PATIENCE * 1.2)
    assert len(scene.to(VICTIM)) == CHALLENGES
    for length, frames in scene.to(VICTIM):
        assert length <= 1_200
        assert [type(frame) for frame in frames] == [Challenge, Padding]
    assert scene.connection.endpoint == RIGHT
    assert scene.moves == []
    assert any(length > 1_000 for length, _ in scene.to(RIGHT))  # content goes where it went


@pytest.mark.parametrize("length", [44, 60, 130, 299, 300, 301, 1_199, 1_200])
def test_tr12_it_gets_no_more_bytes_than_came_from_it(length: int) -> None:
    """However long that goes on, and whatever the lengths."""
    scene, came = Scene(), 0
    for _ in range(400):
        datagram = scene.bench.forger.frames(Ping(), *[Padding(max(length - 42, 0))])
        came += len(datagram)
        scene.came(VICTIM, datagram)
        assert sum(size for size, _ in scene.to(VICTIM)) <= came
        scene.wait(0.1)
    rounds = 1 + 40 / (PATIENCE * 0.333 + REST)
    assert 0 < len(scene.to(VICTIM)) <= CHALLENGES * rounds
    assert scene.moves == []


def test_dg05_the_least_that_asks_for_an_answer_pays_for_one_challenge() -> None:
    """So a NAT that rebinds is noticed by one PING."""
    ours = Scene()
    ours.wait(3.0)
    asking = [length for length, frames in ours.to(RIGHT) if Ping() in frames]
    assert asking
    assert min(asking) >= SMALLEST_CHALLENGE
    scene = Scene()
    scene.came(VICTIM, scene.bench.forger.frames(Ping()))  # not so long
    assert scene.to(VICTIM) == []
    scene.came(VICTIM, scene.bench.forger.frames(Ping()))
    assert [length for length, _ in scene.to(VICTIM)] == [2 * 34]


def test_tr12_only_an_answer_from_there_moves_the_path() -> None:
    scene = Scene()
    forger = scene.bench.forger
    scene.came(VICTIM, scene.ping())
    token = scene.token(VICTIM)
    scene.came(RIGHT, forger.frames(Response(token)))
    scene.came(OTHER, forger.frames(Response(token)))
    scene.came(VICTIM, forger.frames(Response(bytes(8))), scene.ping())
    assert scene.connection.endpoint == RIGHT
    scene.came(VICTIM, forger.frames(Response(token)))
    assert scene.connection.endpoint == VICTIM
    assert scene.moves == [VICTIM]


def test_tr12_an_answer_that_nobody_asked_for_is_none() -> None:
    scene = Scene()
    for token in (bytes(8), b"\xff" * 8):
        scene.came(VICTIM, scene.bench.forger.frames(Response(token)))
    assert scene.moves == []
    assert len({frames[0] for _, frames in scene.to(VICTIM)}) == 1


def test_tr12_tokens_are_drawn_for_each_endpoint() -> None:
    scene = Scene()
    scene.came(VICTIM, scene.ping())
    scene.came(OTHER, scene.ping())
    assert scene.token(VICTIM) != scene.token(OTHER)
    scene.came(OTHER, scene.bench.forger.frames(Response(scene.token(VICTIM))))
    assert scene.moves == []


def test_tr12_endpoints_without_number_cost_little() -> None:
    scene = Scene()
    for number in range(1_000):
        scene.came(Endpoint(f"203.0.{number >> 8}.{number & 255}", 53), scene.ping(200))
        assert len(scene.connection._parts.validation.candidates) <= CANDIDATES
    assert max(len(scene.to(where)) for where, _, _ in scene.out if where != RIGHT) <= CHALLENGES
    assert scene.moves == []


def test_tr12_a_door_is_part_of_the_endpoint() -> None:
    scene = Scene()
    scene.came(RIGHT._replace(via=3), scene.ping())
    assert scene.connection.endpoint == RIGHT
    assert scene.to(RIGHT._replace(via=3))
    token = scene.token(RIGHT._replace(via=3))
    scene.came(RIGHT, scene.bench.forger.frames(Response(token)))
    assert scene.moves == []
    scene.came(RIGHT._replace(via=3), scene.bench.forger.frames(Response(token)))
    assert scene.moves == [RIGHT._replace(via=3)]


# somebody who copies datagrams


def test_tr13_an_old_datagram_from_elsewhere_is_no_move() -> None:
    scene = Scene()
    old = [scene.ping() for _ in range(5)]
    scene.connection.trust(scene.bench.now, OTHER)
    scene.came(RIGHT, scene.ping())
    for datagram in old:
        scene.came(VICTIM, datagram)
        scene.came(OTHER, datagram)
    assert scene.moves == []
    assert scene.to(VICTIM) == scene.to(OTHER) == []


def test_tr13_the_newest_counter_on_the_former_path_moves_it_back_at_once() -> None:
    scene = Scene()
    scene.came(VICTIM, scene.ping())
    scene.came(VICTIM, scene.bench.forger.frames(Response(scene.token(VICTIM))))
    assert scene.connection.endpoint == VICTIM
    scene.wait(TRUSTED_FOR - 1.0)
    scene.came(RIGHT, scene.bench.forger.frames(Ping()))
    assert scene.moves == [VICTIM, RIGHT]


def test_tr13_what_was_used_long_ago_is_challenged_like_any_other() -> None:
    scene = Scene()
    scene.came(VICTIM, scene.ping())
    scene.came(VICTIM, scene.bench.forger.frames(Response(scene.token(VICTIM))))
    scene.came(VICTIM, scene.ping())
    scene.wait(TRUSTED_FOR + 1.0)
    before = len(scene.to(RIGHT))
    scene.came(RIGHT, scene.ping())
    assert scene.moves == [VICTIM]
    assert [type(frames[0]) for _, frames in scene.to(RIGHT)[before:]] == [Challenge]


class Copier:
    """On the path: what goes to the right comes there from another endpoint first."""

    def __init__(self, world: World, share: float) -> None:
        self._world = world
        self._share = share
        self._rng = Random(7)

    def passing(self, source: Endpoint, destination: Endpoint, datagram: bytes) -> list[bytes]:
        if destination == RIGHT_0 and self._rng.random() < self._share:
            victim = self._world.hosts[RIGHT_0]
            self._world.spoof(VICTIM, victim, datagram, 0.001)
        return [datagram]


class PaidFor(Watcher):
    """DG-05: what goes to an endpoint that never answered is less than what came from it."""

    def __init__(self) -> None:
        self.credit = 0
        self.out = 0

    def arrived(self, host: Host, source: Endpoint, datagram: bytes) -> None:
        if source == VICTIM:
            self.credit += len(datagram)

    def sent(self, host: Host, destination: Endpoint, datagram: bytes) -> None:
        if destination == VICTIM:
            self.out += 1
            self.credit -= len(datagram)
            assert self.credit >= 0


@pytest.mark.parametrize("share", [0.1, 1.0])
@pytest.mark.parametrize("left_sends", [True, False])
def test_tr13_one_who_copies_all_datagrams_does_not_move_the_path(
    share: float, left_sends: bool
) -> None:
    paths = TwoPaths(size=1_500_000, left_sends=left_sends)
    watch = PaidFor()
    paths.world.taps.append(Copier(paths.world, share))
    paths.world.watches.append(watch)
    took = paths.run()
    assert paths.initiator.moves == paths.responder.moves == []
    assert paths.receiver.gap(0.5) < 0.3
    assert 0 < watch.out <= CHALLENGES * (1 + took / (PATIENCE * 0.333 + REST))


# flapping


def test_tr14_at_most_four_switches_in_ten_seconds() -> None:
    scene = Scene()
    times: list[float] = []
    for number in range(600):
        for endpoint in (OTHER, VICTIM):
            scene.connection.trust(scene.bench.now, endpoint)
        scene.came((OTHER, VICTIM)[number % 2], scene.bench.forger.frames(Ping()))
        times += [scene.bench.now] * (len(scene.moves) - len(times))
        scene.wait(0.1)
    assert len(times) >= SWITCHES * 6 - 1
    for first, fifth in zip(times, times[SWITCHES:], strict=False):
        assert fifth - first >= SWITCHES_TIME


def test_tr14_ports_that_change_count_as_well() -> None:
    scene = Scene()
    for number in range(50):
        endpoint = RIGHT._replace(port=1_000 + number)
        scene.connection.trust(scene.bench.now, endpoint)
        scene.came(endpoint, scene.bench.forger.frames(Ping()))
        scene.wait(0.1)
    assert len(scene.moves) == SWITCHES


def test_tr14_a_path_that_flaps_loses_nothing() -> None:
    link = LinkOptions(delay=0.03, rate=1e6, queue=60_000)
    paths = TwoPaths(size=3_000_000, first=link, second=link)
    for number in range(40):
        to = (RIGHT_0, Endpoint("198.51.100.66", 4_400, 1))[number % 2 == 0]
        paths.at(0.5 + number * 0.04, lambda to=to: paths.move(paths.ends[0], to))  # type: ignore[misc]
    paths.trust()
    paths.run()
    assert len(paths.initiator.moves) == 40
    assert len(paths.responder.moves) <= SWITCHES * 2


# challenges to us


def test_tr11_a_response_goes_where_its_challenge_came_from_and_is_no_longer() -> None:
    scene = Scene()
    forger = scene.bench.forger
    scene.came(OTHER, forger.frames(Ping()))  # the newest from now on is of no interest
    old = forger.frames(Challenge(b"8 bytes!"))
    scene.came(RIGHT, scene.ping())
    scene.came(VICTIM, old)
    assert scene.to(VICTIM) == [(SMALLEST_CHALLENGE, [Response(b"8 bytes!")])]
    many = forger.frames(*(Challenge(bytes((number,)) * 8) for number in range(30)))
    scene.came(RIGHT, scene.ping())
    scene.came(OTHER, many)
    responses = [frame for _, frames in scene.to(OTHER) for frame in frames]
    assert sum(isinstance(frame, Response) for frame in responses) == 8
    assert sum(length for length, _ in scene.to(OTHER)) <= len(many) + 34
    assert not any(isinstance(frame, Response) for _, frames in scene.to(RIGHT) for frame in frames)


def test_dg07_garbage_from_elsewhere_is_nothing() -> None:
    scene = Scene()
    before, sent = scene.bench.state(), len(scene.out)
    rng = Random(3)
    for counter in (0, 1, 5, 1 << 20, 1 << 61):
        head = HEADER.pack(DATA, 0, 0, scene.connection.index, counter)
        scene.came(VICTIM, head + rng.randbytes(40))
    assert scene.bench.state() == before
    assert len(scene.out) == sent
    assert not scene.connection._parts.validation.candidates


def test_tr15_a_move_is_no_way_to_another_connection() -> None:
    """The index alone says whose a datagram is: from the right endpoint, under a wrong one."""
    scene = Scene()
    foreign = bytearray(scene.ping())
    foreign[4] ^= 1
    scene.came(VICTIM, bytes(foreign))
    assert scene.to(VICTIM) == []
