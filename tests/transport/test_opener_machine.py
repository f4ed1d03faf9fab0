"""Any bursts, made of genuine, forged and joined datagrams, against a model of SPEC §5.2 to §5.5.

The model opens datagrams one at a time and knows no bursts, views or fast paths. What it opens the
opener must open; what the opener opens besides (a train that came in one piece, though forged
fragments of it had come before) must be genuine all the same, and nothing counts twice. Bursts lie
in four buffers that are used again and again, as those of the socket.
"""

from random import Random

from cryptography.exceptions import InvalidTag
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from securecp.endpoint import Burst
from securecp.transport.fragments import WHOLES, whole_length
from securecp.transport.frames import CHUNK_HEAD_LENGTH
from securecp.transport.layout import CHUNK_OVERHEAD, VOLLEY
from securecp.transport.opening import EARLIEST_PHASE_SECONDS, Opened, Opener
from securecp.transport.ratchet import Aead, Ratchet
from securecp.transport.seal import PHASE_SECONDS, Sealer
from securecp.transport.wire import HEADER_LENGTH, LARGEST_DATAGRAM, OVERHEAD
from tests.sim.peer import RIGHT, agreed_keys, parameters
from tests.transport.test_fragments import train
from tests.transport.test_seal import KEEP, PING, content_burst, flat

STRIDES = (48, 100, 1_472)
BUFFER = 65_536


class Model:
    """What the specification says of one datagram after another."""

    def __init__(self, root: bytes) -> None:
        self._ratchet = Ratchet(root, aes=True)
        self._keys: list[Aead] = []
        self.turn, self._since, self._until = 0, 0.0, 0.0
        self.seen: set[int] = set()
        self.plain: dict[int, bytes] = {}
        self.wholes: dict[int, tuple[int, dict[int, tuple[bytes, bytes]]]] = {}

    def key(self, turn: int) -> Aead:
        while len(self._keys) <= turn:
            self._keys.append(self._ratchet.draw())
        return self._keys[turn]

    def turn_of(self, now: float, phase: int) -> int | None:
        """How often the key has been turned where this phase belongs, if we have that key."""
        if phase == (self.turn - 1) & 0xFF and self.turn:
            return self.turn - 1 if now < self._until else None
        if phase == (self.turn + 1) & 0xFF:
            return self.turn + 1 if now - self._since >= EARLIEST_PHASE_SECONDS else None
        return self.turn if phase == self.turn & 0xFF else None

    def accept(self, now: float, counter: int, turn: int) -> None:
        self.seen.add(counter)
        if turn > self.turn:
            self.turn, self._since, self._until = turn, now, now + KEEP

    def take(self, now: float, datagram: bytes) -> int | None:
        """The counter of what one more datagram opens."""
        if len(datagram) < OVERHEAD:
            return None
        counter, (phase, number, last) = int.from_bytes(datagram[8:16]), datagram[1:4]
        if counter in self.seen or self.turn_of(now, phase) is None or (number and not last):
            return None
        if not last:
            return self.open(now, datagram)
        if last > 63 or number > last:
            return None
        want, pieces = self.wholes.setdefault(counter, (last, {}))
        room = LARGEST_DATAGRAM - HEADER_LENGTH - sum(len(piece) for _, piece in pieces.values())
        if last != want or number in pieces or len(datagram) - HEADER_LENGTH > room:
            return None
        pieces[number] = datagram[:HEADER_LENGTH], datagram[HEADER_LENGTH:]
        if len(pieces) <= last:
            return None
        del self.wholes[counter]
        body = b"".join(pieces[at][1] for at in range(last + 1))
        return self.open(now, pieces[0][0] + body)

    def open(self, now: float, whole: bytes) -> int | None:
        header, sealed = whole[:HEADER_LENGTH], whole[HEADER_LENGTH:]
        counter, turn = int.from_bytes(header[8:]), self.turn_of(now, header[1])
        if turn is None:
            return None
        try:
            self.plain[counter] = self.key(turn).decrypt(header[4:], sealed, header)
        except InvalidTag:
            return None
        self.accept(now, counter, turn)
        return counter


class OpenerMachine(RuleBasedStateMachine):
    """The sender seals, somebody on the path keeps and changes, the kernel joins."""

    def __init__(self) -> None:
        super().__init__()
        ours, theirs = agreed_keys(parameters(largest=LARGEST_DATAGRAM), parameters())
        self.now = 0.0
        self.sealer, self.opener = Sealer(ours, 0.0), Opener(theirs, 0.0)
        self.model = Model(theirs.receive_root)
        self.pool: dict[int, list[bytes]] = {stride: [] for stride in STRIDES}
        self.turns: dict[int, int] = {}
        self.truth: dict[int, bytes] = {}
        self.opened: set[int] = set()
        self.trains: dict[int, list[bytes]] = {}
        self.buffers = [memoryview(bytearray(BUFFER)) for _ in range(VOLLEY)]

    @property
    def offset(self) -> int:
        """A place in content space where nothing has been sent."""
        return self.sealer.next_counter << 20

    def sent(self, stride: int, datagrams: list[bytes], plains: list[bytes]) -> None:
        turn = self.sealer_turn()
        for counter, plain in enumerate(plains, self.sealer.next_counter - len(plains)):
            self.truth[counter], self.turns[counter] = plain, turn
        self.pool[stride] += datagrams

    def sealer_turn(self) -> int:
        """The sender's turns, from its phase: it is never 128 away from the last that we know."""
        last = max(self.turns.values(), default=0)
        return last + ((self.sealer._phase - last) & 0xFF)

    @rule(stride=st.sampled_from(STRIDES), seed=st.integers(0, 1 << 32))
    def send_train(self, stride: int, seed: int) -> None:
        if (
            len(self.trains) >= WHOLES
        ):  # more than are kept: which of them gives way is tested apart
            return
        counter = self.sealer.next_counter
        content = Random(seed).randbytes(whole_length(stride) - CHUNK_OVERHEAD)
        pieces = train(self.sealer, content, offset=self.offset, stride=stride, now=self.now)
        self.trains[counter] = pieces
        self.sent(stride, pieces, [content])

    @rule(stride=st.sampled_from(STRIDES), count=st.integers(1, 9), seed=st.integers(0, 1 << 32))
    def send_plain(self, stride: int, count: int, seed: int) -> None:
        slot = stride - CHUNK_OVERHEAD
        content = Random(seed).randbytes(slot * count)
        data = content_burst(self.sealer, stride, self.offset, content, self.now)
        pieces = [data[at : at + stride] for at in range(0, len(data), stride)]
        slots = [content[at : at + slot] for at in range(0, len(content), slot)]
        self.sent(stride, pieces, slots)

    @rule(stride=st.sampled_from(STRIDES))
    def send_frames(self, stride: int) -> None:
        plain = PING * 8
        self.sent(stride, [bytes(self.sealer.frames(self.now, plain))], [plain])

    @rule(stride=st.sampled_from(STRIDES), seed=st.integers(0, 1 << 32))
    def forge(self, stride: int, seed: int) -> None:
        """Change a few that were seen: any byte, or the pieces and headers of two."""
        pool, rng = self.pool[stride], Random(seed)
        full = [datagram for datagram in pool if len(datagram) == stride]
        for _ in range(rng.randrange(1, 6) if full else 0):
            one, two = bytearray(rng.choice(full)), rng.choice(full)
            match rng.randrange(5):
                case 0:
                    one[rng.randrange(len(one))] ^= 1 << rng.randrange(8)
                case 1:
                    one[rng.choice((1, 2, 3, 15))] = rng.choice((0, 1, 2, 43, 63, 64, 255))
                case 2:
                    one[HEADER_LENGTH:] = two[HEADER_LENGTH:]
                case 3:
                    one[2:4] = two[2:4]
                case _:
                    del one[rng.randrange(1, len(one)) :]
            # Fragments under the counters of trains only: no more of those than are kept.
            if len(one) < OVERHEAD or not one[3] or int.from_bytes(one[8:16]) in self.trains:
                pool.append(bytes(one))

    @rule(seconds=st.sampled_from((0.1, KEEP, EARLIEST_PHASE_SECONDS, PHASE_SECONDS)))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(stride=st.sampled_from(STRIDES), seed=st.integers(0, 1 << 32))
    def deliver(self, stride: int, seed: int) -> None:
        """A few bursts read at once: in order mostly, with losses, copies, and others between."""
        rng, pool = Random(seed), self.pool[stride]
        if not pool:
            return
        opened, before = Opened(), 0
        for buffer in self.buffers[: rng.randrange(1, VOLLEY + 1)]:
            run = self.choose(rng, pool)
            data = b"".join(run)
            buffer[: len(data)] = data
            self.opener.open(self.now, Burst(RIGHT, buffer[: len(data)], len(run[0])), KEEP, opened)
            counters = flat(opened)[0]
            self.compare(run, counters[before:])
            before = len(counters)
        self.check_content(opened)

    def choose(self, rng: Random, pool: list[bytes]) -> list[bytes]:
        """What a kernel may join: datagrams of one length, but for a shorter last one."""
        trains = [train for train in self.trains.values() if len(train[0]) == len(pool[0])]
        if trains and rng.random() < 0.4:
            run = list(rng.choice(trains))
            if rng.random() < 0.3:
                run[rng.randrange(len(run))] = rng.choice(run)
            return run[: rng.choice((len(run), len(run), len(run) // 2))]
        at = rng.randrange(len(pool))
        run = [pool[at]]
        for _ in range(rng.choice((0, 3, 43, 63))):
            at = rng.randrange(len(pool)) if rng.random() < 0.02 else at + (rng.random() < 0.98)
            more = pool[at % len(pool)]
            room = BUFFER - sum(map(len, run)) - len(more)
            if len(more) > len(run[0]) or room < 0:
                break
            run.append(more)
            if len(more) < len(run[0]):
                break
        return run

    def compare(self, run: list[bytes], counters: list[int]) -> None:
        assert len(set(counters)) == len(counters) and not self.opened & set(counters)
        self.opened.update(counters)
        expected = [self.model.take(self.now, datagram) for datagram in run]
        assert {counter for counter in expected if counter is not None} <= self.opened
        for counter in counters:
            assert counter in self.truth
            self.model.accept(self.now, counter, self.turns[counter])

    def check_content(self, opened: Opened) -> None:
        """After all bursts of one call: nothing has been written over."""
        counters, content, frames = flat(opened)
        for counter, plain in frames:
            assert plain == self.truth[counter]
        framed = {counter for counter, _ in frames}
        slots = [self.truth[counter] for counter in counters if counter not in framed]
        assert sorted(content.values()) == sorted(slots)
        for counter, plain in self.model.plain.items():
            assert plain in (self.truth[counter], plain[:CHUNK_HEAD_LENGTH] + self.truth[counter])

    @invariant()
    def what_is_kept_is_bounded(self) -> None:
        wholes = self.opener._assembly._wholes
        assert len(wholes) <= WHOLES
        for whole in wholes.values():
            size = sum(map(len, whole.pieces.values()))
            assert whole.size == size <= LARGEST_DATAGRAM - HEADER_LENGTH


TestOpener = OpenerMachine.TestCase
TestOpener.settings = settings(max_examples=60, stateful_step_count=40)
