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
from securecp.transfer.manifest import LINK, Entry, Manifest
from tests.transfer.pair import Pair, file, folder, small_chunks

SIZES = st.lists(st.sampled_from([0, 1, 7, 8, 9, 16, 30]), min_size=1, max_size=6)
NUMBERS = st.integers(0, 1_000)
SOME = st.sets(st.integers(0, 20), max_size=8)


class Transfer(RuleBasedStateMachine):
    """Every rule is one thing that can happen next."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = small_chunks(8)
        self.patch.__enter__()
        self.harm = 0

    @initialize(
        sizes=SIZES,
        accepted=st.booleans(),
        held=SOME,
        wrong=SOME,
        holes=SOME,
        drops=SOME,
        known=st.booleans(),
    )
    def offer(
        self,
        sizes: list[int],
        accepted: bool,
        held: set[int],
        wrong: set[int],
        holes: set[int],
        drops: set[int],
        known: bool,
    ) -> None:
        entries = [folder("d")]
        entries += [file(f"{index}", size, index % 2) for index, size in enumerate(sizes)]
        entries.append(Entry(LINK, 0, b"link", 0, 0o777, 1, b"d"))
        count = Manifest(entries).chunk_count
        self.pair = Pair(entries, holes=sorted(n for n in holes if n < count))
        self.pair.hold((n for n in held if n < count), wrong=wrong, known=known)
        self.drops = {n for n in drops if 0 < n < len(entries)}
        self.pair.holdings = self.pair.holdings._replace(drops=tuple(self.drops))
        self.right = held - wrong
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
    @rule(kind=st.sampled_from(["damage", "change", "vanish", "give up", "refuse"]), which=NUMBERS)
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
            case "refuse":
                pair.refuse(entry)

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
        assert failed.keys() == dict(pair.of(fx.Complete)[0].failed).keys()
        assert not failed.keys() & self.drops
        for entry, versions in pair.versions.items():
            if entry in failed or entry in self.drops:
                assert entry not in pair.published
            else:
                assert pair.published[entry] in versions
        if not self.harm:
            self.judge_thrift(pair)
            kept = {entry: data for entry, data in pair.files.items() if entry not in self.drops}
            assert pair.published == kept

    def judge_thrift(self, pair: Any) -> None:
        """Nothing was sent that was there, is zeros, or was not wanted; all else once."""
        assert len(set(pair.sent)) == len(pair.sent)
        sent = {pair.manifest.chunk_at(offset).number for offset in pair.sent}
        holes = {number for hole in pair.sender._holes for number in hole}
        for number in range(pair.manifest.chunk_count):
            chunk = pair.manifest.chunk(number)
            held = any(number in numbers for numbers in pair.holdings.chunks)
            needless = number in self.right if held else number in holes
            assert (number in sent) == (not needless and chunk.entry not in self.drops)
        saved = pair.manifest.size - len(pair.sent)
        saved -= sum(pair.manifest.columns.size(entry) for entry in self.drops)
        assert pair.sender.saved == pair.receiver.saved == saved


Transfer.TestCase.settings = settings(stateful_step_count=80)
TestInterleavings = Transfer.TestCase
