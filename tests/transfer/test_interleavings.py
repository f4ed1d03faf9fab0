"""Any order of steps, damage, changes and failures: what is published is what was offered.

published  = one of the states the source file has had, never a mixture
otherwise  = reported as failed, on both sides
"""

from collections.abc import Callable
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

    @initialize(sizes=SIZES, accepted=st.booleans())
    def offer(self, sizes: list[int], accepted: bool) -> None:
        entries = [folder("d")]
        entries += [file(f"{index}", size, index % 2) for index, size in enumerate(sizes)]
        self.pair = Pair(entries)
        self.pair.pump()
        if accepted:
            self.pair.talk(towards_receiver=True)
            self.pair.talk(towards_receiver=False)

    @rule(choice=NUMBERS, which=NUMBERS)
    def step(self, choice: int, which: int) -> None:
        """One of the things that can happen now, so that no step is wasted."""
        pair = self.pair
        possible: list[Callable[[], None]] = []
        if pair.to_receiver:
            length = (7, 100, 1_000, 1 << 20)[which % 4]
            possible.append(lambda: pair.talk(towards_receiver=True, length=length))
        if pair.to_sender:
            possible.append(lambda: pair.talk(towards_receiver=False, length=1 + which))
        if pair.to_send:
            possible.append(lambda: pair.send_piece(which, (3, 8, 1_000)[which % 3]))
        if pair.in_flight:
            possible.append(lambda: pair.deliver(which, again=which % 5 == 0))
        if pair.to_digest:
            possible.append(pair.digest_one)
        if pair.to_verify:
            possible.append(pair.verify_one)
        if pair.publishing:
            possible.append(pair.publish)
        if possible:
            possible[choice % len(possible)]()

    @precondition(lambda self: self.harm < 3 and self.pair.of(fx.SendContent))
    @rule(kind=st.sampled_from(["damage", "change", "vanish", "give up"]), which=NUMBERS)
    def do_harm(self, kind: str, which: int) -> None:
        pair, entry = self.pair, self.entry(which)
        if which % 4:  # seldom, so that there is something to harm
            return
        self.harm += 1
        match kind:
            case "damage":
                pair.deliver(which // 4, damage=True)
            case "change":
                pair.change(entry)
            case "vanish" if pair.files[entry]:
                pair.unreadable.add(entry)
            case "give up":
                pair.sender.fail(entry, "gone")
                pair.pump()

    def entry(self, which: int) -> int:
        files = list(self.pair.files)
        return files[which % len(files)]

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


Transfer.TestCase.settings = settings(stateful_step_count=80)
TestInterleavings = Transfer.TestCase
