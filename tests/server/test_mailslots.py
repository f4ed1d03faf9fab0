"""Who waits on which tag: a model, and what the rows of the list of attacks ask."""

import gc
from collections import defaultdict

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from securecp.server import mailslots
from securecp.server.mailslots import ENVELOPE_LIFE, HELD_PER_TAG, Mailslots

TAGS = [bytes([number]) * 16 for number in range(4)]
MOST = 6


class MailslotsMachine(RuleBasedStateMachine):
    """The slots beside the simplest thing that does the same."""

    def __init__(self) -> None:
        super().__init__()
        self.slots: Mailslots[str] = Mailslots(most_held=MOST)
        self.waiting: dict[bytes, list[str]] = defaultdict(list)
        self.held: list[tuple[bytes, bytes, str, float]] = []
        self.now = 0.0
        self.last = 0

    @rule(who=st.sampled_from("abc"), tags=st.lists(st.sampled_from(TAGS), unique=True))
    def subscribe(self, who: str, tags: list[bytes]) -> None:
        found = self.slots.subscribe(who, tags)
        expected = [one for tag in tags for one in self.held if one[0] == tag]
        assert [(one.tag, one.envelope) for one in found] == [one[:2] for one in expected]
        self.held = [one for one in self.held if one[0] not in tags]
        for tag in tags:
            if who not in self.waiting[tag]:
                self.waiting[tag].append(who)

    @rule(who=st.sampled_from("abc"), tags=st.lists(st.sampled_from(TAGS)))
    def unsubscribe(self, who: str, tags: list[bytes]) -> None:
        self.slots.unsubscribe(who, tags)
        for tag in tags:
            if who in self.waiting[tag]:
                self.waiting[tag].remove(who)

    @rule(tag=st.sampled_from(TAGS), where=st.sampled_from("xyz"))
    def post(self, tag: bytes, where: str) -> None:
        self.last += 1
        envelope = b"%d" % self.last
        there = self.slots.post(self.now, tag, envelope, where)
        assert sorted(there) == sorted(self.waiting[tag])
        if not there:
            self.hold((tag, envelope, where, self.now + ENVELOPE_LIFE))

    def hold(self, envelope: tuple[bytes, bytes, str, float]) -> None:
        same = [one for one in self.held if one[0] == envelope[0]]
        if len(same) >= HELD_PER_TAG:
            self.held.remove(same[0])
        elif len(self.held) >= MOST:
            own = [one for one in self.held if one[2] == envelope[2]]
            networks = len({one[2] for one in self.held})
            self.held.remove((own if len(own) * networks >= MOST else self.held)[0])
        self.held.append(envelope)

    @rule(seconds=st.sampled_from([0.5, 20.0, 59.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        expired = self.slots.expire(self.now)
        left = [one for one in self.held if one[3] > self.now]
        assert expired == len(self.held) - len(left)
        self.held = left

    @invariant()
    def counts_agree(self) -> None:
        assert self.slots.held == len(self.held) <= MOST
        assert self.slots.tags == sum(bool(there) for there in self.waiting.values())


TestMailslots = MailslotsMachine.TestCase
TestMailslots.settings = settings(stateful_step_count=40)


def test_rv10_what_has_ended_is_kept_nowhere() -> None:
    slots: Mailslots[str] = Mailslots()
    slots.subscribe("a", TAGS[:2])
    slots.unsubscribe("a", TAGS[:2])
    for number in range(20):
        slots.post(0.0, b"%016d" % number, b"a sealed envelope of the test", "where")
    slots.subscribe("b", [b"%016d" % number for number in range(10)])
    slots.unsubscribe("b", [b"%016d" % number for number in range(10)])
    slots.expire(ENVELOPE_LIFE)
    assert (slots.tags, slots.held) == (0, 0)
    gc.collect()
    kept = [value for table in vars(slots).values() if hasattr(table, "__len__") for value in table]
    assert kept == []


def test_rv06_a_network_that_floods_loses_its_own_envelopes_first() -> None:
    slots: Mailslots[str] = Mailslots(most_held=100)
    for number in range(10):
        slots.post(0.0, b"friend %9d" % number, b"", "friend")
    for number in range(1_000):
        slots.post(0.0, b"flood %10d" % number, b"", "flood")
    assert slots.held == 100
    assert len(slots.subscribe("b", [b"friend %9d" % number for number in range(10)])) == 10


def test_a_ninth_connection_on_a_tag_replaces_the_one_that_waited_longest() -> None:
    slots: Mailslots[int] = Mailslots()
    for number in range(9):
        slots.subscribe(number, TAGS[:1])
    there = slots.post(0.0, TAGS[0], b"", "where")
    assert there == tuple(range(1, 9)) and len(there) == mailslots.WAITING_PER_TAG
