"""The connection as a whole: its clock, its patience, and what leaves it when."""

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from securecp import codec
from securecp.endpoint import Burst
from securecp.transport.connection import (
    CLOSE_CANCELLED,
    CLOSE_FAILED,
    CLOSE_PROTOCOL,
    IDLE_TIMEOUT,
    LAST_COPY_AFTER,
    STALL_TIMEOUT,
    Closed,
    Connection,
    ControlReceived,
    Lost,
    Quiet,
)
from securecp.transport.frames import (
    Ack,
    Challenge,
    Close,
    Control,
    Frame,
    Padding,
    Ping,
    Response,
    Window,
)
from securecp.transport.outgoing import KEEPALIVE
from securecp.transport.timers import Timer
from securecp.transport.wire import BASE_DATAGRAM, HEADER
from tests.sim.peer import LEFT, RIGHT
from tests.simulation.bench import Bench
from tests.transport.rig import Pair, Way


def heard(pair: Pair, connection: Connection) -> bytes:
    return b"".join(
        event.data for event in pair.events[connection] if isinstance(event, ControlReceived)
    )


# getting there


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.4])
@pytest.mark.parametrize("size", [1, 1_153, 100_000])
def test_content_and_control_arrive(size: int, loss: float) -> None:
    pair, rng = Pair(), Random(1)
    for way in (pair.forth, pair.back):
        way.judge = lambda _way, _datagram: rng.random() >= loss
    message = rng.randbytes(30_000)
    pair.left.write(message)
    pair.right.write(message[::-1])
    pair.ask(size)
    pair.run(
        60.0,
        lambda: (
            not pair.left.content_out.unfinished
            and pair.left.control_idle
            and pair.right.control_idle
        ),
    )
    assert heard(pair, pair.right) == message
    assert heard(pair, pair.left) == message[::-1]
    assert pair.content.stored == size
    assert pair.now < (40.0 if loss else 1.0)


@settings(max_examples=12)
@given(
    st.integers(0, 1 << 32),
    st.sampled_from([0.0001, 0.02, 0.3]),
    st.sampled_from([2e4, 1e6, 1e8]),
    st.sampled_from([0.0, 0.02, 0.2]),
    st.sampled_from([1_200, 1_500, 9_000, 65_507]),
)
def test_it_gets_there_over_any_path_without_a_busy_loop(
    seed: int, delay: float, rate: float, loss: float, carries: int
) -> None:
    pair, rng = Pair(seed=seed), Random(seed)
    pair.forth, pair.back = Way(delay, rate, carries), Way(delay, rate, carries)
    for way in (pair.forth, pair.back):
        way.judge = lambda _way, _datagram: rng.random() >= loss
    size = rng.randrange(1, 80_000)
    pair.left.write(bytes(3_000))
    pair.ask(size)
    pair.run(300.0, lambda: not pair.left.content_out.unfinished and pair.left.control_idle)
    assert pair.content.stored == size
    assert not pair.left.closed
    assert pair.wakes < 20_000
    pair.run(pair.now + 20.0)
    assert max(pair.left.in_flight, pair.right.in_flight) < 500  # a PING at most


def test_a_first_burst_on_a_slow_link_is_sent_once() -> None:
    """Ten datagrams take a tenth of a second of a link whose RTT is half of that."""
    pair = Pair(largest=BASE_DATAGRAM)
    pair.forth = Way(0.025, 125_000)
    pair.back = Way(0.025)
    pair.run(1.0)
    pair.ask(11_000)
    pair.run(3.0)
    assert pair.content.stored == 11_000
    assert pair.left._recovery.lost_bytes == 0
    assert pair.forth.bytes < 14_000


def test_control_alone_lets_the_window_grow() -> None:
    """A manifest of megabytes must not go at ten datagrams a round trip."""
    pair = Pair(largest=BASE_DATAGRAM)
    pair.forth, pair.back = Way(0.05), Way(0.05)
    left = 2_000_000
    while left or not pair.left.control_idle:
        part = min(left, pair.left.control_room())
        pair.left.write(bytes(part))
        left -= part
        assert pair.step(20.0)
    assert pair.now < 5.0
    assert pair.left._recovery.controller.window > 100_000


def test_with_nothing_to_say_the_window_does_not_grow() -> None:
    pair = Pair()
    before = pair.left._recovery.controller.window
    for _ in range(200):
        pair.left.write(b"x")
        pair.run(pair.now + 0.05)
    assert pair.left._recovery.controller.window <= before + 2 * BASE_DATAGRAM


# path MTU


def test_f29_larger_datagrams_are_used_once_they_are_known_to_fit() -> None:
    pair = Pair()
    pair.forth.carries = 1_472
    pair.ask(3_000_000)
    pair.run(20.0, lambda: not pair.left.content_out.unfinished)
    assert pair.left.datagram_size == 1_472
    assert pair.content.stored == 3_000_000


def test_mtu_probes_take_no_more_than_half_the_window_and_are_no_congestion() -> None:
    pair = Pair()
    pair.forth.carries = BASE_DATAGRAM
    pair.ask(2_000_000)
    while pair.left.content_out.unfinished:
        assert pair.step(30.0)
        recovery = pair.left._recovery
        probing = sum(record.size for record in recovery.flight if record.probe)
        assert probing <= recovery.controller.window // 2
    assert pair.left.datagram_size == BASE_DATAGRAM
    assert pair.left._recovery.lost_bytes == 0


def test_an_idle_connection_probes_nothing() -> None:
    pair = Pair()
    pair.run(10.0)
    assert pair.forth.bytes < 2_000
    assert pair.left.datagram_size == BASE_DATAGRAM


def test_f29_a_path_that_shrinks_is_found_within_three_ptos() -> None:
    """Long datagrams are in flight when the path begins to swallow them."""
    pair = Pair(content_window=64 << 20)
    pair.ask(150_000_000)
    pair.run(60.0, lambda: pair.left.datagram_size == 65_507)
    pair.run(pair.now + 0.05)
    pto = pair.left._recovery.rtt.pto(0.025)
    pair.forth.carries = BASE_DATAGRAM
    began = pair.now
    pair.run(began + 60.0, lambda: pair.left.datagram_size == BASE_DATAGRAM)
    assert pair.now - began < 9 * pto  # 1 + 2 + 4: they double
    pair.run(pair.now + 60.0, lambda: not pair.left.content_out.unfinished)
    assert pair.content.stored == 150_000_000


def test_f29_a_black_hole_is_found_though_short_datagrams_pass() -> None:
    """Control goes on all the while, so that no PTO ever expires three times in a row."""
    pair = Pair(largest=1_472)
    pair.ask(3_000_000)
    pair.run(60.0, lambda: pair.left.datagram_size == 1_472)
    pair.forth.carries = 1_400
    began = pair.now
    while pair.left.content_out.unfinished and pair.now < began + 60:
        pair.left.write(b"digest")
        pair.run(pair.now + 0.03, lambda: not pair.left.content_out.unfinished)
    assert pair.content.stored == 3_000_000
    assert pair.now - began < 10


# timers


def test_a_silent_connection_says_something_now_and_then() -> None:
    pair = Pair()
    pair.run(100.0)
    assert not pair.left.closed
    assert 100 / KEEPALIVE * 0.5 < pair.forth.count < 100 / KEEPALIVE * 3


@pytest.mark.parametrize("begin", [1.0 + 0.37 * number for number in range(8)])
@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize("length", [20.0, 60.0])
def test_f33_an_outage_of_a_minute_is_survived(begin: float, lost: int, length: float) -> None:
    """Even if the next datagrams of each side after it are lost as well."""
    pair = Pair()
    spared = {id(way): lost for way in (pair.forth, pair.back)}

    def judge(way: Way, _datagram: bytes) -> bool:
        if begin <= way.now < begin + length:
            return False
        if way.now >= begin and spared[id(way)]:
            spared[id(way)] -= 1
            return False
        return True

    pair.forth.judge = pair.back.judge = judge
    pair.ask(5_000_000)
    pair.run(begin + length + 15.0, lambda: not pair.left.content_out.unfinished)
    assert pair.content.stored == 5_000_000


def test_a_peer_that_is_gone_is_lost_after_the_idle_time() -> None:
    pair = Pair()
    pair.run(2.0)
    pair.back.judge = lambda _way, _datagram: False
    pair.left.write(b"anyone?")
    pair.run(100.0, lambda: pair.left.closed)
    assert pair.events[pair.left] == [Quiet(), Lost()]
    assert IDLE_TIMEOUT - KEEPALIVE < pair.now - 2.0 <= IDLE_TIMEOUT + 0.1
    assert pair.left.deadline() is None


def test_the_initiator_asks_until_it_is_answered() -> None:
    """Its first datagram is the key confirmation that the responder waits for."""
    pair = Pair()
    pair.forth.judge = lambda way, _datagram: way.count > 3
    pair.run(10.0, lambda: pair.right.established)
    assert pair.right.established
    assert pair.now < 3.3  # two PTOs; the next keepalive would be later


def test_a_pto_sends_two_datagrams_and_no_more() -> None:
    pair = Pair(largest=BASE_DATAGRAM)
    pair.ask(200_000)
    sampled = pair.left._recovery.rtt
    pair.run(0.5, lambda: sampled.sampled and pair.left.in_flight > 20_000)
    pair.back.judge = lambda _way, _datagram: False
    pair.run(pair.now + 0.1)
    before, probes = pair.forth.count, 0
    while pair.left._recovery.probes < 4:
        assert pair.step(20.0)
        if pair.left._recovery.probes > probes:
            probes = pair.left._recovery.probes
            count = pair.forth.count
            pair.pump()
            assert 1 <= pair.forth.count - count <= 2
    assert pair.forth.count - before <= 12


def test_a_full_socket_leaves_no_timer_ringing() -> None:
    """`transmit` is not called for a minute; every wake-up moves the next one ahead."""
    pair = Pair()
    pair.ask(1_000_000)
    pair.run(0.2)
    left, now = pair.left, pair.now
    for _ in range(200):
        deadline = left.deadline()
        if deadline is None:
            break
        assert deadline > now - 1.0
        now = max(now, deadline)
        left.wake(now)
        following = left.deadline()
        assert following is None or following > now
    assert left.closed
    assert now <= pair.now + IDLE_TIMEOUT + 0.1


# patience


def keep_alive(bench: Bench, until: float, *, acknowledge: bool) -> None:
    """A peer that says it is there, and acknowledges all or nothing."""
    while not bench.victim.closed and bench.now < until:
        bench.wait(bench.now + 1.0)
        bench.deliver(bench.forger.frames(Ping()))
        sent = bench.victim._sealer.next_counter
        if acknowledge and sent and not bench.victim.closed:
            skipped = bench.victim._recovery._skipped
            start = skipped[-1] + 1 if skipped else 0
            bench.deliver(bench.forger.ack((start, sent)))


SHUT: list[dict[str, Any]] = [{"content_window": 0}, {"control_window": 0}]


@pytest.mark.parametrize("shut", SHUT, ids=["content", "control"])
def test_tr08_a_window_that_stays_shut_ends_it_in_time(shut: dict[str, Any]) -> None:
    bench = Bench(**shut)
    bench.victim.send_content(0, 10_000)
    bench.victim.write(b"offer")
    keep_alive(bench, 400.0, acknowledge=True)
    assert Lost() in bench.events
    assert STALL_TIMEOUT <= bench.now <= STALL_TIMEOUT + 5
    assert bench.victim.closed


def test_tr09_a_peer_that_acknowledges_nothing_ends_it_in_time() -> None:
    """It says that it is there, all the while."""
    bench = Bench()
    bench.victim.send_content(0, 1 << 20)
    keep_alive(bench, 400.0, acknowledge=False)
    assert Lost() in bench.events
    assert STALL_TIMEOUT <= bench.now <= STALL_TIMEOUT + 5
    assert len(bench.victim._recovery.flight) < 250


def test_tr09_even_when_there_is_nothing_to_send() -> None:
    bench = Bench()
    keep_alive(bench, 400.0, acknowledge=False)
    assert Lost() in bench.events
    assert bench.now <= STALL_TIMEOUT + 5


def test_tr09_pings_that_get_through_are_no_progress_of_content() -> None:
    """A path that carries short datagrams only: all that is long is lost, for ever."""
    pair = Pair(largest=BASE_DATAGRAM)
    pair.run(1.0)
    pair.forth.carries = 600
    pair.ask(100_000)
    while not pair.left.closed and pair.now < 400.0:
        pair.left._due.ping = True
        pair.run(pair.now + 1.0, lambda: pair.left.closed)
    assert Lost() in pair.events[pair.left]
    assert STALL_TIMEOUT <= pair.now <= STALL_TIMEOUT + 10
    pair.run(pair.now + 1.0)
    assert Closed(CLOSE_FAILED, "no progress", remote=True) in pair.events[pair.right]


def test_a_question_that_waits_for_half_an_hour_is_no_stall() -> None:
    """Everything is acknowledged; it is a person whom we wait for."""
    pair = Pair()
    pair.left.write(b"offer")
    pair.run(1_800.0)
    assert not pair.left.closed
    assert not pair.right.closed


def test_slow_progress_is_no_stall() -> None:
    """A byte of window every hundred seconds: slow, and the person at the screen sees it."""
    bench = Bench(content_window=1)
    bench.victim.send_content(0, 10_000)
    for number in range(6):
        bench.deliver(bench.forger.frames(Window(0, number + 1)))
        keep_alive(bench, bench.now + 100.0, acknowledge=True)
    assert not bench.victim.closed
    assert bench.victim.content_out.acked == 6


# hostile peers


@pytest.mark.parametrize("count", [1, 8, 20])
def test_tr11_a_challenge_is_answered_with_its_own_token(count: int) -> None:
    bench = Bench(initiator=False)
    tokens = [number.to_bytes(8) for number in range(count)]
    bench.deliver(bench.forger.frames(*map(Challenge, tokens)))
    replies = [frame for frame in bench.wait(1.0) if isinstance(frame, Response)]
    assert replies == [Response(token) for token in tokens[:8]]


def test_an_ack_that_comes_just_before_the_probes_leave_makes_them_needless() -> None:
    bench = Bench()
    bench.drain()
    bench.deliver(bench.forger.ack((0, 1)))
    bench.victim.send_content(0, 20_000)
    bench.drain()
    deadline = bench.victim._timers.at(Timer.PROBE)
    bench.now = deadline
    bench.victim.wake(deadline)
    assert bench.victim._due.probes == 2
    sent = bench.victim._sealer.next_counter
    bench.deliver(bench.forger.ack((0, sent)))
    assert bench.victim._due.probes == 0


def test_tr11_replies_that_nobody_acknowledges_do_not_pile_up() -> None:
    bench = Bench(initiator=False)
    for number in range(2_000):
        bench.now += 0.01
        bench.deliver(bench.forger.frames(Challenge(number.to_bytes(8))))
        bench.wait(bench.now)
    assert len(bench.victim._recovery.flight) < 30
    assert bench.victim.in_flight < 10_000


FLOODS: dict[str, list[Frame]] = {
    "PING": [Ping()] * 32,
    "CHALLENGE": [Challenge(b"8 bytes!")] * 32,
    "WINDOW": [Window(1 << 40, 1 << 40)] * 32,
    "PADDING": [Padding(1_000)],
    "CONTROL that has come": [Control(0, b"x")] * 32,
    "ACK": [Ack(((0, 1),), 0)],
}


@pytest.mark.parametrize("name", FLOODS)
def test_tr11_a_flood_costs_no_more_than_it_brings(name: str) -> None:
    """Bytes out, records, queues and timers: in bursts of 30 datagrams, as a socket gives them."""
    bench = Bench()
    bench.drain()
    bench.deliver(bench.forger.ack((0, 1)))
    bench.wait(1.0)
    victim = bench.victim
    bench.bytes_out = arrived = 0
    for _ in range(20):
        bench.now += 0.001
        datagrams = [bench.forger.frames(*FLOODS[name]) for _ in range(30)]
        arrived += sum(map(len, datagrams))
        victim.receive(
            bench.now,
            Burst(RIGHT, memoryview(bytearray(b"".join(datagrams))), len(datagrams[0])),
        )
        bench.wait(bench.now)
    assert bench.bytes_out * 4 < arrived
    assert len(victim._recovery.flight) < 10
    assert len(victim._acks._received) <= 2
    assert len(victim._due.responses) <= 8
    assert not victim.closed


def test_tr09_control_that_nobody_reads_stays_within_a_window() -> None:
    """The transfer is over and its session gone, but the peer goes on."""
    bench = Bench(initiator=False)
    victim, sent = bench.victim, 0
    while not victim.closed and sent < 4 << 20:
        datagram = bench.forger.frames(Control(sent, bytes(16_000)))
        victim.receive(0.0, Burst(RIGHT, memoryview(bytearray(datagram)), len(datagram)))
        sent += 16_000
        bench.drain()
    assert victim.closed
    held = sum(len(event.data) for event in victim._events if isinstance(event, ControlReceived))
    assert held <= 1 << 20


def test_control_that_is_read_in_pieces_makes_room_again_at_once() -> None:
    """More than a window in all, read only when the peer may send no more."""
    pair = Pair()
    message = Random(1).randbytes(3_000_000)
    written, got = 0, b""
    while len(got) < len(message):
        part = message[written : written + pair.left.control_room()]
        pair.left.write(part)
        written += len(part)
        held = pair.right._control_in.taken - len(got)
        if held > 900_000 or written == len(message):
            got += b"".join(e.data for e in pair.right.events() if isinstance(e, ControlReceived))
        pair.step(30.0, read=False)
        assert pair.now < 10.0
    assert got == message


def test_control_that_brings_nothing_new_is_no_event() -> None:
    bench = Bench(initiator=False)
    for offset, data in ((0, b"ab"), (0, b"ab"), (1, b"b"), (3, b"d"), (3, b"d"), (2, b"c")):
        bench.deliver(bench.forger.frames(Control(offset, data)))
    assert bench.events == [ControlReceived(b"ab"), ControlReceived(b"cd")]


def test_tr17_frames_behind_a_close_are_not_acted_on() -> None:
    bench = Bench(initiator=False)
    bench.deliver(bench.forger.frames(Control(0, b"a"), Close(0, ""), Control(1, b"b"), Ping()))
    assert bench.events == [ControlReceived(b"a"), Closed(0, "", remote=True)]
    assert bench.victim._control_in.taken == 1


def test_tr11_a_flood_of_padding_and_acks_is_not_answered_at_all() -> None:
    bench = Bench(initiator=False)
    bench.deliver(bench.forger.frames(Ping()))
    bench.wait(0.5)
    before = bench.bytes_out
    for _ in range(500):
        bench.deliver(bench.forger.frames(Padding(100)))
        bench.drain()
    assert bench.bytes_out == before


def test_tr08_windows_that_fall_or_exceed_everything_are_taken_for_what_they_are() -> None:
    bench = Bench(content_window=100)
    victim = bench.victim
    for claim, expected in ((50, 100), (0, 100), (200, 200), (2**64 - 1, 2**63), (300, 2**63)):
        bench.deliver(bench.forger.frames(Window(0, claim)))
        assert victim.content_out.limit == expected
    victim.send_content(0, 1 << 20)
    bench.drain()
    assert victim.in_flight <= victim._recovery.controller.window + BASE_DATAGRAM


def test_tr17_a_close_of_each_kind_ends_it_once() -> None:
    for code in (0, 1, 4, 5, 255):
        bench = Bench(initiator=False)
        close = bench.forger.frames(Close(code, "x" * 200))
        bench.deliver(
            close, close, bench.forger.frames(Close(3, "no")), bench.forger.frames(Ping())
        )
        assert bench.events == [Closed(code, "x" * 200, remote=True)]
        assert bench.victim.closed
        assert bench.drain() == []
        assert bench.victim.deadline() is None


def test_tr17_a_close_that_breaks_the_rules_is_answered_with_one() -> None:
    bench = Bench(initiator=False)
    bench.deliver(bench.forger.raw(codec.encode([8, 256, ""])))
    assert bench.closed_with == CLOSE_PROTOCOL
    assert [frame for frame in bench.drain() if isinstance(frame, Close)]


def test_tr17_our_close_is_said_twice_and_then_nothing() -> None:
    bench = Bench()
    bench.drain()
    bench.victim.close(CLOSE_CANCELLED, "stopped")
    bench.victim.close(0, "too late")
    frames_sent = bench.drain()
    assert [frame for frame in frames_sent if isinstance(frame, Close)] == [
        Close(CLOSE_CANCELLED, "stopped")
    ] * 2
    assert bench.victim.closed
    bench.deliver(bench.forger.frames(Ping()))
    bench.now += LAST_COPY_AFTER / 2
    assert bench.drain() == []
    bench.now += LAST_COPY_AFTER
    assert [frame for frame in bench.drain() if isinstance(frame, Close)]  # once more, later
    bench.victim.wake(1e9)
    assert bench.drain() == []
    assert bench.victim.deadline() is None
    assert bench.events == []


def test_a_reason_that_is_no_text_or_too_long_is_said_all_the_same() -> None:
    bench = Bench()
    bench.drain()
    bench.victim.close(CLOSE_FAILED, "caf\udce9 " + "x" * 300)
    (first, _) = [frame for frame in bench.drain() if isinstance(frame, Close)]
    assert first.reason.startswith("caf? xxx")
    assert len(first.reason) == 200


def test_dg09_nothing_is_decoded_before_its_tag_has_verified(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(initiator=False)
    good = bench.forger.frames(Ping())
    decoded: list[bytes] = []
    original = codec.decode_all

    def decode_all(data: memoryview, *, most: int) -> list[Any]:
        decoded.append(bytes(data))
        return original(data, most=most)

    monkeypatch.setattr(codec, "decode_all", decode_all)
    for position in range(len(good)):
        edited = bytearray(good)
        edited[position] ^= 1
        bench.deliver(bytes(edited), good[:position])
    assert decoded == []
    bench.deliver(good, good)
    assert decoded == [b"\x91\x05"]


BOMBS = {
    "nested arrays": b"\x91" * 60_000,
    "nested maps": b"\x81\x00" * 30_000,
    "arrays that claim much": b"\xdd\xff\xff\xff\xff" * 1_000,
    "a map that claims much": b"\xdf\xff\xff\xff\xff",
    "empty maps": b"\x80" * 60_000,
    "a string that claims much": b"\xc6\xff\xff\xff\xff",
    "an extension": b"\xc9\x00\x00\x00\x01\x05x",
    "never used": b"\xc1",
    "bad text": b"\x93\x08\x00\xa2\xff\xfe",
    "a timestamp": b"\xd6\xff\x00\x00\x00\x00",
    "nan": b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
    "nothing": b"",
}


@pytest.mark.parametrize("name", BOMBS)
def test_dg10_an_authentic_bomb_closes_this_connection_and_no_more(name: str) -> None:
    """Whatever msgpack would raise, a CLOSE comes of it (DG-11)."""
    bench = Bench(initiator=False)
    bench.deliver(bench.forger.raw(BOMBS[name]))
    assert bench.closed_with == CLOSE_PROTOCOL
    assert [frame for frame in bench.drain() if isinstance(frame, Close)]
    assert bench.victim.closed


def everything(value: object, seen: set[int] | None = None) -> object:
    """All that hangs on an object, as plain values; views, ciphers and functions by identity."""
    seen = set() if seen is None else seen
    if isinstance(value, int | float | str | bytes | bytearray | type(None)):
        return bytes(value) if isinstance(value, bytearray) else value
    if id(value) in seen:
        return "again"
    seen.add(id(value))
    if isinstance(value, dict):
        return {repr(key): everything(item, seen) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [everything(item, seen) for item in value]
    if not type(value).__module__.startswith(("securecp", "tests")):
        return f"{type(value).__name__} {id(value)}"
    names = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    fields = {name: getattr(value, name) for name in names if hasattr(value, name)}
    fields |= getattr(value, "__dict__", {})
    # What was dropped is counted, and slices of buffers are kept: neither is protocol state.
    fields = {key: item for key, item in fields.items() if key not in {"dropped", "_layouts"}}
    return {key: everything(item, seen) for key, item in sorted(fields.items())}


def test_dg07_not_one_value_anywhere_in_the_connection_changes_for_garbage() -> None:
    """In the middle of a transfer: every object that hangs on it is compared."""
    pair = Pair()
    pair.ask(500_000)
    pair.left.write(bytes(5_000))
    pair.run(0.08)
    assert pair.left.in_flight
    rng = Random(7)
    for connection in (pair.left, pair.right):
        before = everything(connection)
        for stride in (32, 33, 46, 100, 1_452):
            for _ in range(30):
                data = bytearray()
                for _ in range(rng.randrange(1, 40)):
                    counter = rng.choice([0, 5, 60, 1 << 20, 1 << 62, (1 << 64) - 1])
                    phase = rng.choice([0, 1, 255, 7])
                    head = HEADER.pack(0x50, phase, 0, connection.index, counter)
                    data += head + rng.randbytes(stride - 16)
                connection.receive(pair.now + 0.01, Burst(LEFT, memoryview(data), stride))
        assert everything(connection) == before
    pair.run(20.0, lambda: not pair.left.content_out.unfinished)
    assert pair.content.stored == 500_000


def test_dg14_garbage_is_not_spoken_of(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A hundred thousand bad datagrams: no line, no event, no byte."""
    caplog.set_level(0)
    bench = Bench(initiator=False)
    bench.deliver(bench.forger.frames(Ping()))
    bench.wait(1.0)
    before = bench.bytes_out
    stride = 64
    head = HEADER.pack(0x50, 0, 0, bench.victim.index, 9)
    data = bytearray((head + bytes(stride - len(head))) * 1_000)
    for _ in range(100):
        bench.victim.receive(bench.now, Burst(RIGHT, memoryview(data), stride))
    assert bench.victim._opener.dropped == 100_000
    assert bench.victim.events() == []
    assert bench.bytes_out == before
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
