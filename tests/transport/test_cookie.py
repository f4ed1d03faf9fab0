"""mac1, mac2 and cookies: who must know what, and for how long."""

import pytest

from securecp.endpoint import Endpoint
from securecp.errors import ProtocolError
from securecp.transport.cookie import (
    COOKIE_LIFE,
    Gate,
    Proof,
    mac1_key,
    open_cookie,
    with_mac1,
    with_macs,
)
from securecp.transport.load import (
    HELLOS_PER_SECOND,
    NETWORKS,
    TRIES_PER_SECOND,
    Load,
    network,
)
from securecp.transport.wire import COOKIE_LENGTH, HELLO_B_LENGTH
from tests.transport.handshakes import BOB, EVE, initiator, place, public, seeded

BODY = bytes(range(176))


def gate() -> Gate:
    return Gate(public(BOB), seeded("gate"))


def test_mac1_says_that_the_sender_knows_our_key() -> None:
    gate().check_mac1(with_mac1(BODY, mac1_key(public(BOB))))
    with pytest.raises(ProtocolError):
        gate().check_mac1(with_mac1(BODY, mac1_key(public(EVE))))


def test_hs11_every_flip_of_every_hello_byte_fails_mac1() -> None:
    """All bits of HELLO-A and HELLO-B, macs included."""
    guard = gate()
    for datagram in initiator().hello():
        for i in range(len(datagram) * 8):
            edited = bytearray(datagram)
            edited[i // 8] ^= 1 << i % 8
            with pytest.raises(ProtocolError):
                guard.check_mac1(bytes(edited))


def test_a_cookie_comes_back_as_proof_of_the_endpoint() -> None:
    guard = gate()
    hello = with_macs(BODY, mac1_key(public(BOB)), None)
    assert guard.proof(0.0, place(1), hello) is Proof.ABSENT
    datagram = guard.make_cookie(0.0, place(1), 7, hello)
    assert len(datagram) == COOKIE_LENGTH
    assert COOKIE_LENGTH <= HELLO_B_LENGTH, "DG-05"
    cookie = open_cookie(datagram, public(BOB), hello[-16:])
    proved = with_macs(BODY, mac1_key(public(BOB)), cookie)
    assert guard.proof(1.0, place(1), proved) is Proof.RIGHT
    for other in (place(2), place(1, 4401)):
        assert guard.proof(1.0, other, proved) is Proof.WRONG


def test_a_cookie_is_good_for_its_whole_life_and_not_for_three() -> None:
    for given_at in (0.0, COOKIE_LIFE - 1):
        guard = gate()
        hello = with_macs(BODY, mac1_key(public(BOB)), None)
        guard.make_cookie(0.0, place(1), 7, hello)
        datagram = guard.make_cookie(given_at, place(1), 7, hello)
        cookie = open_cookie(datagram, public(BOB), hello[-16:])
        proved = with_macs(BODY, mac1_key(public(BOB)), cookie)
        assert guard.proof(given_at + COOKIE_LIFE - 0.1, place(1), proved) is Proof.RIGHT
        assert guard.proof(given_at + 3 * COOKIE_LIFE, place(1), proved) is Proof.WRONG


def test_an_old_secret_dies_though_nobody_called_meanwhile() -> None:
    guard = gate()
    hello = with_macs(BODY, mac1_key(public(BOB)), None)
    datagram = guard.make_cookie(0.0, place(1), 7, hello)
    cookie = open_cookie(datagram, public(BOB), hello[-16:])
    proved = with_macs(BODY, mac1_key(public(BOB)), cookie)
    assert guard.proof(2 * COOKIE_LIFE, place(1), proved) is Proof.WRONG


def test_hs11_every_flip_of_a_cookie_datagram_fails() -> None:
    """All bits of nonce and sealed cookie; the head is the exchange's to check."""
    hello = with_macs(BODY, mac1_key(public(BOB)), None)
    datagram = gate().make_cookie(0.0, place(1), 7, hello)
    for i in range(8 * 8, len(datagram) * 8):
        edited = bytearray(datagram)
        edited[i // 8] ^= 1 << i % 8
        with pytest.raises(ProtocolError):
            open_cookie(bytes(edited), public(BOB), hello[-16:])


def test_a_cookie_opens_only_for_its_hello_and_its_responder() -> None:
    hello = with_macs(BODY, mac1_key(public(BOB)), None)
    datagram = gate().make_cookie(0.0, place(1), 7, hello)
    with pytest.raises(ProtocolError):
        open_cookie(datagram, public(EVE), hello[-16:])
    with pytest.raises(ProtocolError):
        open_cookie(datagram, public(BOB), bytes(16))
    for cut in (0, 8, 51):
        with pytest.raises(ProtocolError):
            open_cookie(datagram[:cut], public(BOB), hello[-16:])


def test_every_cookie_datagram_has_a_nonce_of_its_own() -> None:
    guard = gate()
    hello = with_macs(BODY, mac1_key(public(BOB)), None)
    nonces = {guard.make_cookie(0.0, place(1), 7, hello)[8:20] for _ in range(100)}
    assert len(nonces) == 100


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:1:2:3", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("2001:db8::1", "2001:0db8:0:0:7::1", True),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("not an address", "not an address", True),
    ],
)
def test_hs01_caps_count_by_slash_32_and_slash_64(one: str, other: str, same: bool) -> None:
    assert (network(Endpoint(one, 1)) == network(Endpoint(other, 2))) is same


def test_hs01_load_rises_with_calls_and_drains_in_a_second() -> None:
    load = Load()
    for i in range(HELLOS_PER_SECOND):
        load.count(i * 0.02)
    assert not load.high(2.0), "a call every 20 ms is no load"
    for _ in range(10 * HELLOS_PER_SECOND):
        load.count(2.0)
    assert load.high(2.0)
    assert load.high(2.5)
    assert not load.high(3.1)


def test_hs01_tries_per_network_and_second_are_bounded_and_so_is_their_table() -> None:
    load = Load()
    tried = [load.may_try(0.5, "192.0.2.1") for _ in range(100)]
    assert sum(tried) == TRIES_PER_SECOND
    assert load.may_try(0.5, "192.0.2.2")
    assert load.may_try(1.0, "192.0.2.1")
    let_in = sum(load.may_try(1.0, str(i)) for i in range(3 * NETWORKS))
    assert let_in == NETWORKS - 1
    assert load.may_try(1.0, "192.0.2.1"), "known networks go on"
