"""Any letters, probes, servers and clocks, in any order: what a station's traversal never does.

Whatever comes, nothing escapes but what is counted as dropped; tables stay within their bounds; a
station that is woken when it asks for it gets to rest; and what it sends before the peer has shown
itself dies after two hops.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from securecp.endpoint import Endpoint
from securecp.errors import ProtocolError
from securecp.nat.actions import CloseDoors, OpenCircuit, OpenDoors
from securecp.nat.candidate import Candidate, Kind
from securecp.nat.envelope import Answer, Bye, Call, Letter, More, Sync, View
from securecp.nat.guessing import FAN
from securecp.nat.leg import MOST as MOST_LEGS
from securecp.nat.meeting import MOST_CANDIDATES
from securecp.nat.pairs import MOST as MOST_PAIRS
from securecp.nat.reach import MEETINGS_PER_PEER
from securecp.nat.rendezvous import Joined, Left, Open, Refused
from securecp.nat.sampling import Nat
from tests.nat.reachrig import SERVER, STUN, THEM, Bench, Script

CANDIDATES = st.lists(
    st.builds(
        Candidate,
        st.sampled_from(Kind),
        st.sampled_from(("11.0.1.1", "11.0.1.2", "192.168.1.11", "2600:ab8:1::10", "127.0.0.1")),
        st.integers(1, 65_535),
    ),
    max_size=16,
).map(tuple)
VIEWS = st.builds(
    View, st.sampled_from(Nat), st.integers(-4, 4), st.integers(0, 500), st.booleans()
)
ROUNDS = st.integers(0, 9)
SOURCES = st.builds(
    Endpoint, st.sampled_from(("11.0.1.1", "11.0.1.3")), st.integers(1, 9), st.integers(0, 300)
)


class MeetingMachine(RuleBasedStateMachine):
    """One station; its peer is a contact that says what it likes."""

    @initialize(caller=st.booleans(), hard=st.booleans(), stun=st.booleans())
    def begin(self, caller: bool, hard: bool, stun: bool) -> None:
        self.bench = Bench(
            seen=lambda via, server: 40_000 + hard * (server * 997 + via * 13),
            stun_answers=stun,
            lan=True,
        )
        self.script = Script(self.bench)
        self.caller = caller
        self.shown = False
        self.legs: list[int] = []
        self.open: set[int] = {0}
        if caller:
            self.bench.reach.call(self.bench.now, bytes(THEM.public))
            self.settle()
            self.bench.wait(0.3)
            self.script.read()

    def settle(self) -> None:
        self.bench.turn()
        self.script.read()

    def tag(self) -> bytes:
        return self.script.day_tag if self.script.their is None else self.script.tag

    def post(self, letter: Letter) -> None:
        tag = self.tag()
        self.bench.deliver(tag, self.script.seal(letter, tag))
        self.script.read()

    @rule(candidates=CANDIDATES, view=VIEWS, number=ROUNDS, again=st.booleans())
    def calls(
        self, candidates: tuple[Candidate, ...], view: View, number: int, again: bool
    ) -> None:
        script = self.script
        if not again:
            script.secret = script.entropy(32)
        script.round = number
        self.post(Call(script.session, number, script.secret, script.claim, view, candidates))

    @rule(candidates=CANDIDATES, view=VIEWS)
    def answers(self, candidates: tuple[Candidate, ...], view: View) -> None:
        if isinstance(self.script.their, Call):
            self.shown = True
            self.script.answer(*candidates, view=view)
            self.script.read()

    @rule(candidates=CANDIDATES, view=VIEWS, number=ROUNDS)
    def answers_nonsense(self, candidates: tuple[Candidate, ...], view: View, number: int) -> None:
        script = self.script
        self.shown |= self.caller
        self.post(Answer(script.session, number, bytes(32), script.claim, view, candidates))

    @rule(number=ROUNDS, right=st.booleans())
    def syncs(self, number: int, right: bool) -> None:
        self.shown = True
        self.post(Sync(self.script.session, self.script.round if right else number))

    @rule(candidates=CANDIDATES, view=VIEWS)
    def tells_more(self, candidates: tuple[Candidate, ...], view: View) -> None:
        self.post(More(self.script.session, view, candidates))

    @rule()
    def says_bye(self) -> None:
        self.post(Bye(self.script.session))

    @rule(session=st.binary(min_size=16, max_size=16))
    def begins_another_session(self, session: bytes) -> None:
        if not self.caller:
            self.script = Script(self.bench, session=session)
            self.script.call()

    @rule(source=SOURCES)
    def pings(self, source: Endpoint) -> None:
        if self.script.keys is not None:
            self.shown = True
            self.script.ping(source)

    @rule(count=st.integers(1, 5))
    def pongs(self, count: int) -> None:
        keys = self.script.keys
        for shot in self.bench.shots[-count:]:
            if keys is not None and shot.data[0] == 0x60:
                self.shown = True
                try:
                    self.script.pong(shot)
                except ProtocolError:
                    continue

    @rule(data=st.binary(max_size=120), source=SOURCES)
    def a_stranger_sends(self, data: bytes, source: Endpoint) -> None:
        self.bench.receive(source, data)

    @rule(data=st.binary(max_size=60))
    def the_server_babbles(self, data: bytes) -> None:
        self.bench.reach.server_message(self.bench.now, 0, data)
        self.settle()

    @rule(index=st.integers(0, 5), what=st.integers(0, 3))
    def the_relay_speaks(self, index: int, what: int) -> None:
        leg = self.legs[index % len(self.legs)] if self.legs else 17
        self.bench.say((Joined(leg, bytes(8)), Open(leg), Left(leg), Refused(4, 1, 5))[what])

    @rule(up=st.booleans(), number=st.integers(0, 1))
    def a_server_comes_or_goes(self, up: bool, number: int) -> None:
        if up:
            self.bench.server_up(number)
        else:
            self.bench.reach.server_down(self.bench.now, number)
        self.settle()

    @rule(seconds=st.sampled_from((0.01, 0.2, 1.0, 7.0, 70.0, 4_000.0)))
    def time_passes(self, seconds: float) -> None:
        self.bench.wait(seconds)
        self.script.read()

    @rule(seconds=st.floats(1.0, 1e6))
    def the_machine_sleeps(self, seconds: float) -> None:
        self.bench.now += seconds
        self.bench.wait(0.0)

    @rule(addresses=st.sampled_from(((), ("10.0.0.5",), ("10.0.0.6", "2600:ab8:2::10"))))
    def the_network_changes(self, addresses: tuple[str, ...]) -> None:
        self.bench.reach.addresses(self.bench.now, addresses, changed=True)
        self.settle()

    @rule(port=st.integers(1, 65_535))
    def the_router_maps(self, port: int) -> None:
        self.bench.reach.mapped([Endpoint("11.0.2.1", port)])
        self.settle()

    @rule(index=st.integers(0, 9), quiet=st.booleans())
    def the_session_says(self, index: int, quiet: bool) -> None:
        reach = self.bench.reach
        for session, meeting in list(reach.meetings.items()):
            ways = meeting.ways()
            if quiet:
                reach.quiet(self.bench.now, session)
            elif ways:
                reach.heard(session)
                reach.settled(session, ways[index % len(ways)].endpoint)
        self.settle()

    @rule()
    def nobody_wants_it(self) -> None:
        for session in list(self.bench.reach.meetings):
            self.bench.reach.end(session)
        self.settle()

    @invariant()
    def doors_are_few_and_accounted_for(self) -> None:
        for action in self.bench.others:
            if isinstance(action, OpenDoors):
                assert not self.open & set(action.vias)
                self.open |= set(action.vias)
            elif isinstance(action, OpenCircuit):
                self.legs.append(action.via)
                self.open.add(action.via)
            elif isinstance(action, CloseDoors):
                self.open -= set(action.vias)
        self.bench.others.clear()
        most = FAN + 2 * (MOST_LEGS + 1) + 8
        assert len(self.open) <= 1 + most * max(len(self.bench.reach.meetings), 0)

    @invariant()
    def tables_stay_within_bounds(self) -> None:
        reach = self.bench.reach
        assert len(reach.meetings) <= MEETINGS_PER_PEER + 1
        assert len(reach.mail._sessions) == len(reach.meetings)
        for meeting in reach.meetings.values():
            assert len(meeting.punchers) <= 3
            assert len(meeting.legs) <= MOST_LEGS + 1
            assert len(meeting.theirs) <= MOST_CANDIDATES
            for puncher in meeting.punchers:
                assert len(list(puncher.pairs)) <= MOST_PAIRS

    @invariant()
    def nothing_goes_far_before_the_peer_is_there(self) -> None:
        shots, self.bench.shots = self.bench.shots[:-5], self.bench.shots[-5:]
        for shot in (*shots, *self.bench.shots):
            if shot.data[0] == 0x60:
                assert self.shown or shot.ttl == 2
                assert shot.endpoint.address in {
                    "11.0.1.1", "11.0.1.2", "11.0.1.3", "192.168.1.11", "2600:ab8:1::10"
                }  # fmt: skip
            else:
                assert shot.endpoint[:2] in {one[:2] for one in (*STUN, SERVER)}

    @invariant()
    def it_comes_to_rest(self) -> None:
        self.bench.wait(0.0)
        due = self.bench.reach.deadline()
        assert due is None or due > self.bench.now


TestMeeting = MeetingMachine.TestCase
TestMeeting.settings = settings(max_examples=60, stateful_step_count=30)
