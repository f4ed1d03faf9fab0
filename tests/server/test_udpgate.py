"""Datagrams from anywhere: who is answered, with how much, and who never is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp.endpoint import Burst, Endpoint
from securecp.nat import relay, stun
from securecp.nat.rendezvous import Join, Joined
from securecp.server import udpgate
from securecp.server.circuits import Pass
from tests.server.people import STUN_REQUEST, House

SOURCE = Endpoint("192.0.2.1", 1001)
TRANSACTION = STUN_REQUEST[8:]
PADDED = stun.encode_request(TRANSACTION)


def test_stun_answers_where_a_request_came_from() -> None:
    house = House()
    for source in (SOURCE, Endpoint("2001:db8::1", 7), Endpoint("::ffff:192.0.2.1", 7)):
        for request in (PADDED, STUN_REQUEST):
            response = stun.parse(house.answer(source, request))
            assert isinstance(response, stun.Response)
            address = source.address.removeprefix("::ffff:")
            assert response == stun.Response(TRANSACTION, Endpoint(address, source.port))


def test_dg05_our_own_stun_request_is_never_shorter_than_the_answer() -> None:
    house = House()
    for address in ("192.0.2.1", "2001:db8::1"):
        for _ in range(10_000):
            answer = house.answer(Endpoint(address, 7), PADDED)
            assert 0 < len(answer) <= len(PADDED)


def test_dg05_bare_stun_requests_have_a_small_budget() -> None:
    house = House()
    answers = [house.answer(SOURCE, STUN_REQUEST) for _ in range(1_000)]
    assert sum(map(bool, answers)) == 4 * udpgate.BARE_STUN_PER_SECOND
    house.now += 10.0
    answers = [house.answer(Endpoint(f"10.{n >> 8}.{n & 255}.1", 1), STUN_REQUEST)
               for n in range(10_000)]  # fmt: skip
    assert sum(map(bool, answers)) <= udpgate.BARE_STUN_IN_ALL


def test_dg04_two_servers_do_not_answer_each_other() -> None:
    """A request with the other server's address as its source: one answer, and silence."""
    houses = [House(), House()]
    here, there = Endpoint("198.51.100.1", 4480), Endpoint("198.51.100.2", 4480)
    seeds = [
        PADDED, STUN_REQUEST, relay.encode_cookie_request(), relay.encode_cookie(bytes(16)),
        relay.encode_attached(bytes(8)), relay.encode_attach(bytes(8), bytes(16), bytes(16)),
        stun.encode_response(TRANSACTION, here),
        stun.encode_refusal(stun.Request(TRANSACTION, (1,))),
        *(bytes([kind]) + bytes(63) for kind in range(256)),
    ]  # fmt: skip
    for seed in seeds:
        datagram, sent, at = seed, 0, 0
        while datagram := houses[at].answer(there if at == 0 else here, datagram):
            sent, at = sent + 1, 1 - at
            assert sent <= 1


def test_dg04_stun_responses_and_errors_trigger_nothing() -> None:
    house = House()
    response = stun.encode_response(TRANSACTION, SOURCE)
    refusal = stun.encode_refusal(stun.Request(TRANSACTION, (1, 2, 3)))
    indication = b"\x00\x11" + STUN_REQUEST[2:]
    for datagram in (response, refusal, indication):
        assert house.answer(SOURCE, datagram) == b""


def test_dg15_a_request_that_wants_the_unknown_is_refused_briefly() -> None:
    request = bytes.fromhex("000100042112a442") + TRANSACTION + bytes.fromhex("70000000")
    answer = stun.parse(House().answer(SOURCE, request))
    assert answer == stun.Refusal(TRANSACTION, 420)


kinds = st.sampled_from([0x00, 0x01, 0x40, 0x50, 0x60, 0x70, 0x71, 0x72, 0x73, 0x80, 0xFF])
datagrams = st.one_of(
    st.builds(lambda kind, rest: bytes([kind]) + rest, kinds, st.binary(max_size=99)),
    st.sampled_from([PADDED, relay.encode_cookie_request(),
                     relay.encode_attach(bytes(8), bytes(16), bytes(16))]),
    st.builds(lambda data, at, byte: data[:at] + bytes([byte]) + data[at + 1:],
              st.just(PADDED), st.integers(0, 43), st.integers(0, 255)),
)  # fmt: skip


@given(st.lists(datagrams, max_size=20), st.integers(1, 100))
def test_rl02_dg05_bytes_out_never_exceed_bytes_in_for_who_has_not_shown_a_cookie(
    data: list[bytes], stride: int
) -> None:
    house = House()
    for one in data:
        outcome = house.udp(SOURCE, one, stride)
        assert isinstance(outcome, list)
        assert all(answer.endpoint == SOURCE for answer in outcome)
        out = sum(len(answer.data) for answer in outcome)
        # Bare STUN requests are the exception that has a budget of its own.
        bare = sum(
            one[at : at + stride][:1] <= b"\x03" and len(one[at : at + stride]) < len(PADDED)
            for at in range(0, len(one), stride)
        )
        assert out <= len(one) + 24 * bare


def test_rl02_what_passes_a_circuit_is_as_long_as_what_came() -> None:
    house = House()
    one, two = house.visit(), house.visit("192.0.2.2")
    [(_, first)] = house.say(one, Join(1, bytes(16)))
    second = house.say(two, Join(1, bytes(16)))[0][1]
    assert isinstance(first, Joined) and isinstance(second, Joined)
    other = Endpoint("192.0.2.2", 1002)
    assert house.attach(SOURCE, first.attach, bytes(16))
    assert house.attach(other, second.attach, bytes(16))
    data = b"\x50" * 64_000
    outcome = house.udp(SOURCE, data, 1_472)
    assert isinstance(outcome, Pass)
    assert outcome.leg.endpoint == other and outcome.data.nbytes == len(data)


def test_datagrams_that_the_kernel_laid_together_are_answered_one_by_one() -> None:
    house = House()
    request = relay.encode_cookie_request()
    answers = house.gate.receive(house.now, Burst(SOURCE, memoryview(request * 3), len(request)))
    assert isinstance(answers, list) and len(answers) == 3
    assert {bytes(one.data) for one in answers} == {bytes(answers[0].data)}


@pytest.mark.parametrize("first", [0x04, 0x20, 0x3F, 0x70, 0x71, 0x73, 0x74, 0x7F])
def test_what_is_for_nobody_is_dropped_in_silence(first: int) -> None:
    assert House().answer(SOURCE, bytes([first]) + b"\1" * 63) == b""


def test_an_empty_datagram_is_dropped() -> None:
    assert House().udp(SOURCE, b"") == []
