"""Probes: they open at one end of one session, once, and are never longer than what they answer."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp.endpoint import Endpoint
from securecp.errors import ProtocolError
from securecp.nat import probe
from securecp.nat.probe import COUNTERS, PROBE_LENGTH, Ping, Pong, ProbeKeys
from securecp.nat.tags import PairKeys
from tests.transport.handshakes import identity, public

ALICE, BOB, CAROL = 1, 2, 3
SESSION = b"session of alice"
FIRST, SECOND = b"1" * 32, b"2" * 32
SOURCE = Endpoint("11.0.113.5", 61_000, via=3)


def end(
    us: int = ALICE,
    them: int = BOB,
    *,
    session: bytes = SESSION,
    first: bytes = FIRST,
    second: bytes = SECOND,
    caller: bool = True,
) -> ProbeKeys:
    return ProbeKeys.derive(
        PairKeys.of(identity(us), public(them)), session, first, second, caller=caller
    )


def ends() -> tuple[ProbeKeys, ProbeKeys]:
    return end(), end(BOB, ALICE, caller=False)


def test_a_ping_is_answered_by_its_pong() -> None:
    caller, called = ends()
    for us, them in ((caller, called), (called, caller)):
        for _ in range(3):
            txid, ping = us.ping()
            assert them.open(ping) == Ping(txid)
            assert us.open(them.pong(txid, SOURCE)) == Pong(txid, ("11.0.113.5", 61_000))


@pytest.mark.parametrize(
    ("address", "seen"),
    [
        ("11.0.113.5", ("11.0.113.5", 7)),
        ("::ffff:11.0.113.5", ("11.0.113.5", 7)),
        ("2600:ab8:1::20", ("2600:ab8:1::20", 7)),
        ("fe80::1%eth0", ("fe80::1", 7)),
        ("circuit", None),
        ("", None),
    ],
)
def test_a_pong_tells_where_the_ping_came_from(address: str, seen: tuple[str, int] | None) -> None:
    caller, called = ends()
    caller.ping()
    assert caller.open(called.pong(0, Endpoint(address, 7))) == Pong(0, seen)


@given(st.ip_addresses(), st.integers(0, 65_535), st.integers(0, 50))
def test_rl02_a_pong_is_never_longer_than_its_ping(address: object, port: int, made: int) -> None:
    caller, called = ends()
    for _ in range(made):
        caller.ping(), called.ping()
    txid, ping = caller.ping()
    assert called.open(ping) == Ping(txid)
    assert len(called.pong(txid, Endpoint(str(address), port))) == len(ping) == PROBE_LENGTH


def test_rv05_every_flipped_bit_is_noticed() -> None:
    caller, called = ends()
    data = bytearray(caller.ping()[1])
    for at in range(len(data) * 8):
        data[at >> 3] ^= 1 << (at & 7)
        with pytest.raises(ProtocolError):
            called.open(bytes(data))
        data[at >> 3] ^= 1 << (at & 7)
    assert called.open(bytes(data)) == Ping(0)


def test_rv03_a_counter_is_taken_once_in_any_order() -> None:
    caller, called = ends()
    pings = [caller.ping()[1] for _ in range(20)]
    for order in (pings[1::2], pings[0::2]):
        for ping in order:
            called.open(ping)
            with pytest.raises(ProtocolError):
                called.open(ping)
    for ping in pings:
        with pytest.raises(ProtocolError):
            called.open(ping)


def test_rv03_a_forged_counter_does_not_use_up_the_true_one() -> None:
    caller, called = ends()
    ping = caller.ping()[1]
    with pytest.raises(ProtocolError):
        called.open(ping[:-1] + bytes([ping[-1] ^ 1]))
    assert called.open(ping) == Ping(0)


def test_rv05_a_probe_does_not_open_in_its_own_direction() -> None:
    caller, called = ends()
    for us in (caller, called):
        with pytest.raises(ProtocolError):
            us.open(us.ping()[1])


def test_rv05_a_probe_sent_back_under_our_own_tag_does_not_open() -> None:
    """Whoever watches may write the other tag into it: the key is another as well."""
    caller, called = ends()
    caller.ping()
    ping = bytearray(caller.ping()[1])
    ping[4:12] = caller.our_tag
    with pytest.raises(ProtocolError):
        caller.open(bytes(ping))
    pong = bytearray(called.pong(0, SOURCE))
    pong[4:12] = called.our_tag
    called.ping()
    with pytest.raises(ProtocolError):
        called.open(bytes(pong))


@pytest.mark.parametrize(
    "other",
    [
        end(BOB, ALICE, session=b"another session!", caller=False),
        end(BOB, ALICE, first=b"3" * 32, caller=False),
        end(BOB, ALICE, second=b"3" * 32, caller=False),
        end(BOB, ALICE, first=SECOND, second=FIRST, caller=False),
        end(BOB, CAROL, caller=False),
        end(CAROL, ALICE, caller=False),
        end(BOB, ALICE, caller=True),
    ],
    ids=["session", "caller", "called", "swapped", "contact", "stranger", "role"],
)
def test_rv05_a_probe_opens_in_its_own_session_only(other: ProbeKeys) -> None:
    caller, called = ends()
    ping = bytearray(caller.ping()[1])
    assert called.our_tag != other.our_tag
    with pytest.raises(ProtocolError):
        other.open(bytes(ping))
    ping[4:12] = other.our_tag
    with pytest.raises(ProtocolError):
        other.open(bytes(ping))


def test_everything_derived_differs() -> None:
    caller, called = ends()
    assert caller.ticket == called.ticket and len(caller.ticket) == 16
    assert caller.our_tag == called.their_tag and called.our_tag == caller.their_tag
    assert len(caller.our_tag) == len(called.our_tag) == 8
    assert len({caller.our_tag, called.our_tag, caller.ticket[:8], SESSION[:8]}) == 4
    assert end(session=bytes(16)).ticket != caller.ticket


def test_the_receiver_tag_finds_the_session() -> None:
    caller, called = ends()
    assert probe.receiver(memoryview(caller.ping()[1])) == called.our_tag
    for data in (b"", b"\x60", bytes(68), b"\x60" * 67, b"\x60" * 69):
        with pytest.raises(ProtocolError):
            probe.receiver(data)


def test_a_session_runs_out_of_counters_and_reuses_none() -> None:
    caller, called = ends()
    last = b""
    while not caller.spent:
        last = caller.ping()[1]
    assert caller.sent == COUNTERS
    assert called.open(last) == Ping(COUNTERS - 1)
    with pytest.raises(ProtocolError):
        caller.ping()
    with pytest.raises(ProtocolError):
        caller.pong(0, SOURCE)


def test_a_pong_to_a_ping_that_we_never_sent_is_refused() -> None:
    caller, called = ends()
    caller.ping()
    with pytest.raises(ProtocolError):
        caller.open(called.pong(1, SOURCE))
    assert caller.open(called.pong(0, SOURCE))


@given(st.binary(max_size=80) | st.binary(min_size=68, max_size=68))
def test_rv05_any_bytes_are_no_probe(data: bytes) -> None:
    called = ends()[1]
    with pytest.raises(ProtocolError):
        called.open(data)
    with suppress(ProtocolError):
        assert len(probe.receiver(data)) == 8
    with pytest.raises(ProtocolError):
        called.open((b"\x60\0\0\0" + called.our_tag + data)[:PROBE_LENGTH])


def test_keys_and_ticket_are_not_printed() -> None:
    caller = end()
    assert repr(caller) == f"<ProbeKeys {caller.our_tag.hex()} 0>"
