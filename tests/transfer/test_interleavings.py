"""Any order of steps, damage, changes and failures: what is published is what was offered.

published  = one of the states the source file has had, never a mixture
otherwise  = reported as failed, on both sides
"""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from securecp.transfer import effects as fx
from securecp.transfer import receiver as receiving
from securecp.transfer import sender as sending
from tests.transfer.pair import Pair, file, folder, small_chunks

SIZES = st.lists(st.sampled_from([0, 1, 7, 8, 9, 16, 30]), min_size=1, max_size=6)
NUMBERS = st.integers(0, 1_000)


class Transfer(RuleBasedStateMachine):
    """Every rule is one thing that can happen next."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = small_chunks(8)
        self.patch.__enter__()
        self.harm = 0

    @initialize(sizes=SIZES)
    def offer(self, sizes: list[int]) -> None:
        entries = [folder("d")]
        entries += [file(f"{index}", size, index % 2) for index, size in enumerate(sizes)]
        self.pair = Pair(entries)
        self.pair.pump()

    @rule(towards_receiver=st.booleans(), length=st.integers(1, 200))
    def talk(self, towards_receiver: bool, length: int) -> None:
        self.pair.talk(towards_receiver=towards_receiver, length=length)

    @precondition(lambda self: self.pair.to_send)
    @rule(which=NUMBERS, length=st.integers(1, 40))
    def send(self, which: int, length: int) -> None:
        self.pair.send_piece(which, length)

    @precondition(lambda self: self.pair.in_flight)
    @rule(which=NUMBERS, again=st.booleans())
    def deliver(self, which: int, again: bool) -> None:
        self.pair.deliver(which, again=again)

    @precondition(lambda self: self.pair.in_flight and self.harm < 4)
    @rule(which=NUMBERS)
    def damage(self, which: int) -> None:
        self.harm += 1
        self.pair.deliver(which, damage=True)

    @precondition(lambda self: self.pair.to_digest)
    @rule(count=st.integers(1, 4))
    def digest(self, count: int) -> None:
        for _ in range(count):
            self.pair.digest_one()

    @precondition(lambda self: self.pair.to_verify)
    @rule()
    def verify(self) -> None:
        self.pair.verify_one()

    @precondition(lambda self: self.harm < 4)
    @rule(which=NUMBERS)
    def change(self, which: int) -> None:
        self.harm += 1
        files = list(self.pair.files)
        self.pair.change(files[which % len(files)])

    @precondition(lambda self: self.harm < 4)
    @rule(which=NUMBERS)
    def vanish(self, which: int) -> None:
        self.harm += 1
        entry = list(self.pair.files)[which % len(self.pair.files)]
        if self.pair.files[entry]:
            self.pair.unreadable.add(entry)

    @precondition(lambda self: self.harm < 4)
    @rule(which=NUMBERS)
    def give_up(self, which: int) -> None:
        self.harm += 1
        self.pair.sender.fail(list(self.pair.files)[which % len(self.pair.files)], "gone")
        self.pair.pump()

    @rule()
    def publish(self) -> None:
        self.pair.publish()

    @invariant()
    def nothing_ready_is_a_mixture(self) -> None:
        if hasattr(self, "pair"):
            for entry in self.pair.ready:
                start = self.pair.manifest.offset(entry)
                end = start + self.pair.manifest.entries[entry].size
                assert self.pair.stored[start:end] in self.pair.versions[entry]

    def teardown(self) -> None:
        try:
            if hasattr(self, "pair"):
                self.settle(self.pair.run())
        finally:
            self.patch.__exit__(None, None, None)

    def settle(self, pair: Any) -> None:
        assert pair.sender.state is sending.State.DELIVERED
        assert pair.receiver.state is receiving.State.COMPLETE
        failed = dict(pair.of(fx.Delivered)[0].failed)
        assert failed == dict(pair.of(fx.Complete)[0].failed)
        for entry, versions in pair.versions.items():
            if entry in failed:
                assert entry not in pair.published
            else:
                assert pair.published[entry] in versions
        if not self.harm:
            assert pair.published == pair.files


Transfer.TestCase.settings = settings(stateful_step_count=60)
TestInterleavings = Transfer.TestCase
