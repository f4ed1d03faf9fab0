"""What clients ask for, and what comes of it: subscriptions, posts, limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp.errors import ProtocolError
from securecp.nat.relay import encode_circuit
from securecp.nat.rendezvous import (
    CLAIMS_PER_CLIENT,
    Code,
    Deliver,
    Join,
    Joined,
    Leave,
    Left,
    Open,
    Post,
    Refused,
    Subscribe,
    Unsubscribe,
    What,
)
from securecp.server import desk
from securecp.server.circuits import Caps as CircuitCaps
from securecp.server.desk import Caps
from securecp.server.mailslots import ENVELOPE_LIFE
from securecp.server.tally import Event
from tests.server.people import House, claim, same, tag

LETTER = bytes(range(256)) * 4


def test_a_post_reaches_whoever_waits_and_the_poster_hears_nothing() -> None:
    house = House()
    alice, bob = house.visit(), house.visit("192.0.2.2")
    assert house.say(bob, Subscribe((claim(1), claim(2)))) == []
    assert same(house.say(alice, Post(tag(2), LETTER)), (bob, Deliver(tag(2), LETTER)))
    assert house.say(bob, Unsubscribe((claim(2),))) == []
    assert house.say(alice, Post(tag(2), LETTER)) == []


def test_a_post_is_held_for_a_minute() -> None:
    house = House()
    alice, bob = house.visit(), house.visit()
    house.say(alice, Post(tag(1), LETTER))
    house.say(alice, Post(tag(2), LETTER))
    house.now += ENVELOPE_LIFE - 1
    house.sweep()
    assert same(house.say(bob, Subscribe((claim(1),))), (bob, Deliver(tag(1), LETTER)))
    assert house.say(bob, Subscribe((claim(1),))) == []
    house.now += 1
    house.sweep()
    assert house.say(bob, Subscribe((claim(2),))) == []


def test_rv01_unknown_offline_full_and_online_are_the_same_nothing_for_the_poster() -> None:
    """Everything the poster is told, for each state of the tag, at each of 100 posts."""

    def heard(prepare: str) -> list[object]:
        house = House()
        alice, bob, mallory = house.visit(), house.visit("192.0.2.2"), house.visit("192.0.2.3")
        if prepare == "online":
            house.say(bob, Subscribe((claim(1),)))
        elif prepare == "offline":
            house.say(bob, Subscribe((claim(1),)))
            house.leave(bob)
        elif prepare == "full of others":
            for _ in range(10):
                house.say(mallory, Post(tag(1), LETTER))
        answers: list[object] = []
        for _ in range(100):
            house.now += 0.01
            answers.append([m for who, m in house.say(alice, Post(tag(1), LETTER)) if who is alice])
        return answers

    unknown = heard("unknown")
    assert heard("online") == heard("offline") == heard("full of others") == unknown
    assert unknown[:64] == [[]] * 64
    assert unknown[64] == [Refused(What.POST, Code.TOO_FAST, 1)]


def test_rv02_a_tag_that_was_seen_does_not_let_anybody_listen_there() -> None:
    house = House()
    alice, mallory = house.visit(), house.visit()
    house.say(mallory, Subscribe((tag(1),)))
    assert house.say(alice, Post(tag(1), LETTER)) == []


def test_rv03_a_recorded_subscription_is_worth_nothing_in_another_channel() -> None:
    # A SUBSCRIBE is read inside its channel only; see test_channel for replays there. What can be
    # subscribed anew by its holder has no sequence to replay, and ends with the connection.
    house = House()
    alice, bob = house.visit(), house.visit()
    house.say(bob, Subscribe((claim(1),)))
    house.leave(bob)
    assert house.say(alice, Post(tag(1), LETTER)) == []
    assert house.desk.slots.tags == 0


def test_rv06_one_network_cannot_take_all_places() -> None:
    house = House(Caps(clients=10, clients_per_network=4))
    for _ in range(4):
        house.visit("192.0.2.1")
    assert house.turned_away("192.0.2.1") is Event.TOO_MANY
    for number in range(6):
        house.visit(f"198.51.100.{number}")
    assert house.turned_away("203.0.113.1") is Event.FULL


def test_rv06_one_network_cannot_come_as_often_as_it_likes() -> None:
    house = House()
    for _ in range(100):
        house.leave(house.visit("192.0.2.1"))
    assert house.turned_away("192.0.2.1") is Event.TOO_FAST
    house.visit("192.0.2.2")
    house.now += 0.11
    house.visit("192.0.2.1")


def test_rv06_posts_are_limited_for_each_client_and_each_network() -> None:
    house = House()
    clients = [house.visit() for _ in range(20)]
    for client in clients:
        for number in range(desk.POSTS + 10):
            house.say(client, Post(tag(number), LETTER))
    assert house.desk.slots.held <= 8 * desk.POSTS
    other = house.visit("192.0.2.2")
    assert house.say(other, Post(tag(1), LETTER)) == []


def test_claims_are_limited() -> None:
    house = House()
    client = house.visit()
    most = CLAIMS_PER_CLIENT
    for begin in range(0, most, 512):
        house.now += 1.0
        assert house.say(client, Subscribe(tuple(map(claim, range(begin, begin + 512))))) == []
    assert house.say(client, Subscribe((claim(0),))) == []
    assert same(
        house.say(client, Subscribe((claim(most),))),
        (client, Refused(What.SUBSCRIBE, Code.TOO_MANY, 61)),
    )
    house.say(client, Unsubscribe((claim(7),)))
    assert house.say(client, Subscribe((claim(most),))) == []


def test_rv06_one_network_waits_on_so_many_tags_and_gets_them_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(desk, "TAGS_PER_NETWORK", 3)
    house = House()
    first, second = house.visit(), house.visit()
    assert house.say(first, Subscribe((claim(1), claim(2)))) == []
    refused = (second, Refused(What.SUBSCRIBE, Code.TOO_MANY, 61))
    assert same(house.say(second, Subscribe((claim(3), claim(4)))), refused)
    house.say(first, Unsubscribe((claim(1), claim(9))))
    assert house.say(second, Subscribe((claim(3), claim(4)))) == []
    assert same(house.say(second, Subscribe((claim(5),))), refused)
    house.leave(first)
    assert house.say(second, Subscribe((claim(5),))) == []


def test_rv06_messages_of_any_kind_are_limited() -> None:
    house = House()
    client = house.visit()
    answers = [house.say(client, Unsubscribe((claim(1),))) for _ in range(desk.MESSAGES + 1)]
    assert not any(answers[:-1])
    assert same(answers[-1], (client, Refused(What.UNSUBSCRIBE, Code.TOO_FAST, 1)))


def test_a_client_that_leaves_is_forgotten() -> None:
    house = House()
    alice, bob = house.visit(), house.visit()
    house.say(alice, Subscribe((claim(1),)))
    house.say(alice, Join(1, bytes(16)))
    house.say(bob, Join(5, bytes(16)))
    assert same(house.leave(alice), (bob, Left(5)))
    house.leave(bob)
    assert house.desk.clients == house.desk.slots.tags == len(house.desk.circuits) == 0


def test_joining_opens_a_circuit_for_both() -> None:
    house = House()
    alice, bob = house.visit(), house.visit()
    [(who, joined)] = house.say(alice, Join(1, bytes(16)))
    assert who is alice and isinstance(joined, Joined)
    assert same(
        [one for one in house.say(bob, Join(9, bytes(16))) if isinstance(one[1], Open)],
        (alice, Open(1)),
        (bob, Open(9)),
    )
    assert same(house.say(alice, Leave(1)), (bob, Left(9)))
    assert house.say(bob, Leave(9)) == []


def test_rl04_joins_are_limited_with_a_time_to_try_again() -> None:
    house = House(Caps(circuits=CircuitCaps(circuits=2, legs_per_network=2)))
    one, two = house.visit("192.0.2.1"), house.visit("192.0.2.2")
    for number in range(2):
        house.say(one, Join(number, claim(number)))
        house.say(two, Join(number, claim(number)))
    assert same(
        house.say(one, Join(7, claim(7))),
        (one, Refused(What.JOIN, Code.FULL, 10)),
        (one, Left(7)),
    )
    house.say(two, Leave(0))
    house.say(one, Join(7, claim(7)))
    [(_, refused), _] = house.say(one, Join(8, claim(8)))
    assert refused == Refused(What.JOIN, Code.TOO_MANY, 10)


def test_rl04_a_client_has_so_many_legs_and_joins_so_often() -> None:
    house = House()
    client = house.visit()
    for number in range(desk.LEGS):
        assert len(house.say(client, Join(number, claim(number)))) == 1
    [(_, refused), left] = house.say(client, Join(99, claim(99)))
    assert isinstance(refused, Refused) and refused.code == Code.TOO_MANY
    assert left == (client, Left(99))
    house.say(client, Leave(0))
    [(_, refused), _] = house.say(client, Join(99, claim(99)))
    assert isinstance(refused, Refused) and refused.code == Code.TOO_FAST


def test_a_leg_number_that_is_in_use_breaks_the_protocol() -> None:
    house = House()
    client = house.visit()
    house.say(client, Join(1, claim(1)))
    with pytest.raises(ProtocolError):
        house.say(client, Join(1, claim(2)))


def test_circuit_data_for_no_leg_is_dropped() -> None:
    house = House()
    client = house.visit()
    assert house.desk.circuit(house.now, client, encode_circuit(1, 100, bytes(100))) == []


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_rl06_any_bytes_are_a_message_or_the_one_error(messages: list[bytes]) -> None:
    house = House()
    client = house.visit()
    for message in messages:
        for read in (house.desk.receive, house.desk.circuit):
            try:
                read(house.now, client, message)
            except ProtocolError:
                continue
