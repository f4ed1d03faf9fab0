"""One station's traversal on a bench: a server that does as it is told, and a scripted peer."""

from collections.abc import Callable
from contextlib import suppress
from random import Random

from keys.identity import Identity
from securecp.endpoint import Burst, Endpoint
from securecp.errors import ProtocolError
from securecp.nat import envelope, probe, rendezvous, stun
from securecp.nat.actions import Action, Shoot, Tell
from securecp.nat.candidate import Candidate, Kind
from securecp.nat.envelope import Answer, Call, Letter, Sync, View
from securecp.nat.gather import Door
from securecp.nat.meeting import Meeting
from securecp.nat.probe import ProbeKeys
from securecp.nat.reach import Found, Reach
from securecp.nat.rendezvous import Deliver, Joined, Open, Post, Welcome
from securecp.nat.sampling import Nat
from securecp.nat.tags import PairKeys, tag_of
from tests.keys.samples import identity

US, THEM, STRANGER = identity("us"), identity("them"), identity("stranger")
DAY = 20_000
SERVER = Endpoint("11.0.113.1", 443)
STUN = [Endpoint("11.0.113.1", 3_478), Endpoint("11.0.113.1", 3_479)]
SEEN = Endpoint("11.0.2.1", 40_000)
THEIRS = Candidate(Kind.REFLEXIVE, "11.0.1.1", 50_000)
THERE = Endpoint(*THEIRS.endpoint)
EASY = View(Nat.EASY, 0, 20, ipv6=False)
HARD = View(Nat.HARD, 0, 20, ipv6=False)


class Bench:
    """We, and everything that we say, by kind."""

    def __init__(
        self,
        *,
        waiting: bool = True,
        seen: Callable[[int, int], int] = lambda via, server: SEEN.port,
        stun_answers: bool = True,
        stun: list[Endpoint] | None = None,
        addresses: tuple[str, ...] = ("192.168.1.10",),
        contacts: tuple[Identity, ...] = (THEM,),
        lan: bool = False,
    ) -> None:
        """`seen(via, server)`: which port that STUN server sees."""
        self.now = 100.0
        self.entropy = Random(1).randbytes
        self.reach = Reach(
            self.now, US, self.entropy, lambda: DAY,
            contacts=lambda: [bytes(one.public) for one in contacts], waiting=waiting, lan=lan,
        )  # fmt: skip
        self.shots: list[Shoot] = []
        self.told: list[rendezvous.FromClient] = []
        self.others: list[Action] = []
        self.found: list[Found] = []
        self._seen = seen
        self._stun_answers = stun_answers
        self._stun = STUN if stun is None else stun
        self.reach.doors(self.now, [Door(0, 4, 40_000)])
        self.reach.addresses(self.now, addresses)
        self.server_up()

    def server_up(self, number: int = 0) -> None:
        welcome = Welcome(0, Endpoint(SEEN.address, 1), tuple(self._stun)).encode()
        self.reach.server_up(self.now, number, welcome, SERVER, 0.02)
        self.turn()

    def turn(self) -> None:
        """Wake, and sort what is wanted; STUN is answered at once."""
        asked = []
        self.reach.wake(self.now)
        for action in self.reach.actions():
            if isinstance(action, Tell):
                self.told.append(rendezvous.parse_from_client(action.message))
            elif isinstance(action, Shoot) and action.data[0] < 4:
                asked.append(action)
                self.others.append(action)
            elif isinstance(action, Shoot):
                self.shots.append(action)
            else:
                self.others.append(action)
        self.found += self.reach.events()
        if asked and self._stun_answers:
            for shot in asked:
                self._answer(shot)
            self.turn()

    def _answer(self, shot: Shoot) -> None:
        request = stun.parse(shot.data)
        server = next((n for n, one in enumerate(self._stun) if one[:2] == shot.endpoint[:2]), -1)
        if server < 0:
            return
        port = self._seen(shot.endpoint.via, server)
        answer = stun.encode_response(request.transaction, SEEN._replace(port=port))
        self.receive(shot.endpoint, answer, turn=False)

    def wait(self, seconds: float, most: int = 100_000) -> None:
        """Let time pass, and be woken whenever it is asked for."""
        until, idle = self.now + seconds, 0
        while (due := self.reach.deadline()) is not None and due <= until:
            before = len(self.shots) + len(self.told) + len(self.others) + len(self.found)
            idle = idle + 1 if due <= self.now else 0
            assert idle < 8, "it wakes without end"
            self.now = max(self.now, due)
            self.turn()
            if len(self.shots) + len(self.told) + len(self.others) + len(self.found) > before:
                idle = 0
            most -= 1
            assert most, "it wakes too often"
        self.now = until
        self.turn()

    def receive(self, endpoint: Endpoint, datagram: bytes, *, turn: bool = True) -> None:
        self.reach.receive(self.now, Burst(endpoint, memoryview(datagram), max(len(datagram), 1)))
        if turn:
            self.turn()

    def deliver(self, tag: bytes, sealed: bytes, server: int = 0) -> None:
        self.reach.server_message(self.now, server, Deliver(tag, sealed).encode())
        self.turn()

    def say(self, message: rendezvous.FromServer, server: int = 0) -> None:
        self.reach.server_message(self.now, server, message.encode())
        self.turn()

    def join(self, leg: int) -> None:
        """The server has taken our JOIN, and the peer's."""
        self.say(Joined(leg, bytes(8)))
        self.say(Open(leg))

    @property
    def meeting(self) -> Meeting:
        (meeting,) = self.reach.meetings.values()
        return meeting

    def take(self) -> list[Shoot]:
        """Probes since the last call."""
        shots, self.shots = [one for one in self.shots if one.data[0] == probe.PROBE], []
        return shots

    def posts(self) -> list[Post]:
        """Envelopes since the last call."""
        posts = [one for one in self.told if isinstance(one, Post)]
        self.told = [one for one in self.told if not isinstance(one, Post)]
        return posts


class Script:
    """The peer: makes letters and probes by hand, and reads ours."""

    def __init__(self, bench: Bench, who: Identity = THEM, session: bytes = b"s" * 16) -> None:
        self.bench = bench
        self.who = who
        self.session = session
        self.pair = PairKeys.of(who, bytes(US.public))
        self.entropy = Random(f"script {session.hex()}").randbytes
        self.claim = self.entropy(16)
        self.secret = self.entropy(32)
        self.round = 0
        self.their: Call | Answer | None = None
        self.keys: ProbeKeys | None = None

    def seal(self, letter: Letter, tag: bytes) -> bytes:
        return envelope.seal(self.who, bytes(US.public), letter, tag=tag, entropy=self.entropy)

    @property
    def day_tag(self) -> bytes:
        return self.pair.their_tag(DAY)

    @property
    def tag(self) -> bytes:
        """Where we listen for this session."""
        assert self.their is not None
        return tag_of(self.their.reply)

    def call(
        self,
        *candidates: Candidate,
        view: View = EASY,
        number: int | None = None,
        secret: bytes | None = None,
    ) -> tuple[bytes, bytes]:
        """A CALL, delivered; gives tag and envelope."""
        if number is not None:
            self.round, self.secret = number, self.entropy(32)
        letter = Call(
            self.session, self.round, secret or self.secret, self.claim, view,
            candidates or (THEIRS,),
        )  # fmt: skip
        tag = self.day_tag if self.their is None else self.tag
        sealed = self.seal(letter, tag)
        self.bench.deliver(tag, sealed)
        self.read()
        return tag, sealed

    def read(self) -> list[Letter]:
        """What we have written to it."""
        letters: list[Letter] = []
        for post in self.bench.posts():
            with suppress(ProtocolError):  # it is for another peer
                letters.append(self._open(post))
        for letter in letters:
            if isinstance(letter, Answer):
                self.their = letter
                self.keys = ProbeKeys.derive(
                    self.pair, self.session, self.secret, letter.secret, caller=True
                )
            elif isinstance(letter, Call):
                self.their, self.session, self.round = letter, letter.session, letter.round
        return letters

    def _open(self, post: Post) -> Letter:
        return envelope.open(self.who, bytes(US.public), post.envelope, tag=post.tag)

    def answer(self, *candidates: Candidate, view: View = EASY) -> None:
        """To our CALL."""
        assert self.their is not None
        self.secret = self.entropy(32)
        self.keys = ProbeKeys.derive(
            self.pair, self.session, self.their.secret, self.secret, caller=False
        )
        self.post(
            Answer(self.session, self.round, self.secret, self.claim, view, candidates or (THEIRS,))
        )

    def post(self, letter: Letter) -> None:
        self.bench.deliver(self.tag, self.seal(letter, self.tag))

    def sync(self) -> None:
        self.post(Sync(self.session, self.round))

    def ping(self, source: Endpoint = THERE) -> bytes:
        assert self.keys is not None
        _, datagram = self.keys.ping()
        self.bench.receive(source, datagram)
        return datagram

    def pong(self, shot: Shoot, source: Endpoint | None = None) -> None:
        """Answer one of our PINGs."""
        assert self.keys is not None
        asked = self.keys.open(shot.data)
        where = source or shot.endpoint
        if isinstance(asked, probe.Ping):
            self.bench.receive(where, self.keys.pong(asked.counter, where))
