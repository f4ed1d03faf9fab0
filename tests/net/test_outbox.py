"""What waits for a server: order, limits, and what is too old to be sent."""

from securecp.net.outbox import QUEUE, STALE, TOLD, Outbox


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_messages_keep_their_order_and_have_a_limit() -> None:
    rung: list[int] = []
    box = Outbox(lambda: rung.append(1))
    for number in range(TOLD + 10):
        box.tell(b"%d" % number)
    assert len(rung) == TOLD + 10
    told = []
    while (message := box.message()) is not None:
        told.append(message)
    assert told == [b"%d" % number for number in range(TOLD)]
    assert box.empty()


def test_rl07_datagrams_beyond_the_queue_are_lost() -> None:
    box = Outbox(lambda: None)
    taken = [box.put(bytes(60_000)) for _ in range(10)]
    assert taken == [True] * (QUEUE // 60_000) + [False] * (10 - QUEUE // 60_000)
    assert box.datagrams(0.0) is not None
    assert box.put(bytes(60_000))


def test_rl07_stale_datagrams_go_and_make_room() -> None:
    clock = Clock()
    box = Outbox(lambda: None, clock)
    box.put(b"old")
    clock.now += STALE / 2
    box.put(b"young")
    clock.now += STALE * 0.75
    assert box.datagrams(0.0) == b"young"
    assert box.datagrams(0.0) is None
    assert box.empty()
    assert box.put(bytes(QUEUE))


def test_what_waits_for_the_channel_ages_from_when_it_stands() -> None:
    clock = Clock()
    box = Outbox(lambda: None, clock)
    box.put(b"hello")
    clock.now += 10 * STALE
    assert box.datagrams(clock.now) == b"hello"


def test_clearing_forgets_everything() -> None:
    box = Outbox(lambda: None)
    box.tell(b"one")
    box.put(bytes(QUEUE))
    box.clear()
    assert box.empty() and box.message() is None and box.datagrams(0.0) is None
    assert box.put(bytes(QUEUE))
