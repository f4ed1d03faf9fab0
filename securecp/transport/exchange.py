"""Who speaks when until a session has keys, and which session a datagram belongs to (SPEC §4.6).

    caller   HELLO-A + HELLO-B ── again at 0.25, 0.5, 1, 2, 2… s ── REPLY ─> its DATA ─┐
    called   HELLO-A ─> half-open ── HELLO-B ─> REPLY ── first DATA ─> Connected ─> its DATA
    caller                                        └─> Answered          Connected <─┘

This is no connection: what is inside DATA belongs to the channel that `connect` makes. All that
fails, whatever the reason, takes one way: nothing is sent, `dropped` goes up by one. Nothing of a
HELLO is acted upon, for it may be a recording: the caller counts from its first DATA on, which
only the owner of its key can seal. Connected means, on both sides, that DATA of the peer verified.

Both may call at once, and each may be answered. The smaller public key decides:

    while calling, it is silent to a HELLO from the very endpoint that it calls
    when its call is answered it forgets what it has half-open from that peer: its call stays
    when a call of the peer is confirmed first, it ends its own: the peer's call stays
    the larger, answered while it has answered the smaller too, waits for DATA of either session
    whoever is answered otherwise has decided, and for 5 s is silent to HELLOs of that peer
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import Generic, NamedTuple, TypeVar

from keys.identity import Identity, PublicKey
from securecp.endpoint import Burst, Endpoint
from securecp.errors import ProtocolError
from securecp.noise.keypairs import Entropy
from securecp.transport.calls import Call
from securecp.transport.cookie import Gate
from securecp.transport.demux import OTHERS, OTHERS_MASK, OURS, index_of
from securecp.transport.halfopen import HALF_OPEN_LIFE
from securecp.transport.handshake import MARK_LENGTH, REPLY_HEAD, Initiator, check_head
from securecp.transport.reception import Reception
from securecp.transport.wire import (
    COOKIE,
    COOKIE_LENGTH,
    DATA,
    HELLO_A,
    HELLO_A_LENGTH,
    HELLO_B,
    REPLY,
    REPLY_LENGTH,
    SMALLEST_DATAGRAM,
    Channel,
    Parameters,
    SessionKeys,
)

C = TypeVar("C", bound=Channel)

# SPEC §4.8
CALL_TIMEOUT = 10.0
SESSIONS = 256
SESSIONS_PER_PEER = 4
SILENCE = 20.0
"""Seconds after which a session gives way to a new one with the same peer, if there are so many."""
REPLY_QUEUE = 8

_INDEX = Struct(">I")


class Connected(NamedTuple, Generic[C]):
    """There is a session with `keys.peer`, who has proved to own that key."""

    channel: C
    keys: SessionKeys
    endpoint: Endpoint


class Answered(NamedTuple, Generic[C]):
    """A call of ours has had its REPLY: `keys.peer` has proved its key, and has yet to see ours.

    What is written now leaves with our first DATA. Another session with this peer may yet be
    `Connected` in place of this one, or the call may fail; then this one is over without a word.
    """

    channel: C
    keys: SessionKeys
    endpoint: Endpoint


class CallFailed(NamedTuple):
    """`peer` did not answer at `endpoint`; whether it exists, nobody says."""

    peer: bytes
    endpoint: Endpoint


@dataclass(slots=True, eq=False)
class _Session(Generic[C]):
    channel: C
    keys: SessionKeys
    endpoint: Endpoint
    since: float
    decided: bool
    """No call of the peer may take its place."""
    announced: bool = False


class Exchange(Generic[C]):
    """One identity on one socket: calls, half-open handshakes and sessions.

    `allowed(public key)` says who may reach us, `connect(keys, endpoint, now)` makes the channel
    of a session, `other(now, datagram)` takes what belongs to another protocol on our sockets.
    `dropped` counts the bursts and handshake datagrams that led to nothing.
    """

    def __init__(
        self,
        identity: Identity,
        allowed: Callable[[bytes], bool],
        connect: Callable[[SessionKeys, Endpoint, float], C],
        entropy: Entropy,
        parameters: Parameters,
        other: Callable[[float, Burst], None] | None = None,
    ) -> None:
        self.dropped = 0
        self._identity = identity
        self._public = bytes(identity.public)
        self._allowed = allowed
        self._connect = connect
        self._entropy = entropy
        self._parameters = parameters
        self._other = other
        self._gate = Gate(self._public, entropy)
        self._reception: Reception[C] = Reception(
            identity,
            self._gate,
            parameters=parameters,
            entropy=entropy,
            welcome=self._welcome,
            draw_index=self._draw_index,
            send=self._send,
        )
        self._half_open = self._reception.table
        self._calls: dict[int, Call] = {}
        self._sessions: dict[int, _Session[C]] = {}
        self._queue: deque[tuple[Endpoint, bytes]] = deque()
        self._events: list[Answered[C] | Connected[C] | CallFailed] = []
        self._handlers = {
            HELLO_A: self._reception.on_hello_a,
            HELLO_B: self._reception.on_hello_b,
            REPLY: self._on_reply,
            COOKIE: self._on_cookie,
        }

    def call(
        self,
        now: float,
        peer: PublicKey,
        endpoint: Endpoint,
        timeout: float = CALL_TIMEOUT,
        session_id: bytes | None = None,
    ) -> None:
        """Call `peer` at `endpoint`; ends in `Connected` or, after `timeout`, in `CallFailed`.

        Both sides find the beginning of `session_id` in `keys.mark`.
        """
        if bytes(peer) == self._public:
            raise ValueError("this is our own public key")
        mark = None if session_id is None else session_id[:MARK_LENGTH]
        index, initiator = self._begin(bytes(peer), mark)
        self._calls[index] = Call(now, initiator, endpoint, now + timeout, mark)

    def move_call(
        self, now: float, peer: PublicKey, endpoint: Endpoint, old: Endpoint | None = None
    ) -> None:
        """Calls to `peer`, or the one at `old`, go on at `endpoint` if they have no REPLY yet."""
        for call in self._calls.values():
            if call.peer == bytes(peer) and call.initiator and old in (None, call.endpoint):
                call.move(now, endpoint)

    def hang_up(self, peer: bytes | None = None) -> None:
        """End all calls, or those to one peer, as if they had not been made.

        Sessions that stand are not touched.
        """
        for index, call in list(self._calls.items()):
            if peer in (None, call.peer):
                self._sessions.pop(index, None)
                del self._calls[index]

    def stop_calling(self, peer: bytes) -> None:
        """End the calls to one peer that have no answer; one that has goes on to its session."""
        for index, call in list(self._calls.items()):
            if call.peer == peer and call.initiator is not None:
                del self._calls[index]

    def receive(self, now: float, *bursts: Burst) -> None:
        """Take datagrams from the socket; what does not verify leaves no trace but `dropped`."""
        indices = [index_of(burst) for burst in bursts]
        if None not in indices and len(set(indices)) == 1:
            self._quietly(self._on_data, now, *bursts)
            return
        for burst, index in zip(bursts, indices, strict=True):
            if index is not None:
                self._quietly(self._on_data, now, burst)
            else:
                self._receive_each(now, burst)

    def _receive_each(self, now: float, burst: Burst) -> None:
        for start in range(0, len(burst.data), max(burst.stride, 1)):
            datagram = burst.data[start : start + burst.stride]
            self._quietly(self._on_datagram, now, Burst(burst.endpoint, datagram, len(datagram)))
        if not burst.data:
            self.dropped += 1

    def wake(self, now: float) -> None:
        """A deadline has come."""
        self._half_open.expire(now)
        for index, call in list(self._calls.items()):
            if now >= call.ends_at:
                self._give_up(index, call)
            elif call.lapsed(now):
                anew, initiator = self._begin(call.peer, call.mark)
                self._calls[anew] = call.successor(now, initiator)
        for session in list(self._sessions.values()):
            due = session.channel.deadline()
            if due is not None and due <= now:
                session.channel.wake(now)
        self._forget_closed()

    def transmit(self, now: float) -> Burst | None:
        """Give the next burst to send: handshakes first, then the sessions in turn."""
        if self._queue:
            endpoint, datagram = self._queue.popleft()
            return Burst(endpoint, memoryview(datagram), len(datagram))
        for call in self._calls.values():
            hello = call.hello(now)
            if hello is not None:
                return Burst(call.endpoint, memoryview(hello), HELLO_A_LENGTH)
        for index, session in list(self._sessions.items()):
            burst = session.channel.transmit(now)
            if burst is not None:
                if len(self._sessions) > 1:  # last in the order of the dict, last in turn
                    self._sessions[index] = self._sessions.pop(index)
                return burst
        self._forget_closed()
        return None

    def deadline(self) -> float | None:
        """When `wake` is wanted next."""
        times = [call.next_at() for call in self._calls.values()]
        due = [session.channel.deadline() for session in self._sessions.values()]
        times += [time for time in (*due, self._half_open.deadline()) if time is not None]
        return min(times, default=None)

    def events(self) -> list[Answered[C] | Connected[C] | CallFailed]:
        """What has happened since the last call."""
        events, self._events = self._events, []
        return events

    # datagrams

    def _quietly(self, handle: Callable[..., None], now: float, *bursts: Burst) -> None:
        try:
            handle(now, *bursts)
        except ProtocolError:
            self.dropped += 1

    def _on_datagram(self, now: float, burst: Burst) -> None:
        kind = burst.data[0]
        if kind == DATA:
            self._on_data(now, burst)
        elif kind in self._handlers:
            self._handlers[kind](now, burst.endpoint, bytes(burst.data))
        elif self._other is not None and (kind < OURS or kind & OTHERS_MASK == OTHERS):
            self._other(now, burst)
        else:
            raise ProtocolError("a datagram of an unknown kind")

    def _on_data(self, now: float, *bursts: Burst) -> None:
        """Bursts that bear the index of the first."""
        if len(bursts[0].data) < SMALLEST_DATAGRAM:
            raise ProtocolError("a DATA datagram is too short")
        (index,) = _INDEX.unpack_from(bursts[0].data, 4)
        session = self._sessions.get(index)
        if session is None:
            self._on_first_data(now, index, *bursts)
            return
        session.channel.receive(now, *bursts)
        if not session.announced and session.channel.established:
            self._announce(session)

    def _on_first_data(self, now: float, index: int, *bursts: Burst) -> None:
        """Confirm a half-open handshake: the caller has shown that it owns its key."""
        half = self._half_open.at(index)
        if half is None or half.keys is None or now >= half.opened_at + HALF_OPEN_LIFE:
            raise ProtocolError("a DATA datagram for nobody")
        if half.channel is None:
            half.channel = self._connect(half.keys, half.endpoint, now)
        half.channel.receive(now, *bursts)
        if not half.channel.established:
            raise ProtocolError("a DATA datagram is not authentic")
        self._half_open.remove(half)
        if self._full(now, half.peer):
            raise ProtocolError("too many sessions")
        self._make_room(half.peer)
        session = _Session(half.channel, half.keys, half.endpoint, now, decided=True)
        self._sessions[index] = session
        self._announce(session)

    def _on_reply(self, now: float, _endpoint: Endpoint, datagram: bytes) -> None:
        """Complete a call; from wherever it came, we go on sending where we called."""
        check_head(datagram, REPLY, REPLY_LENGTH)
        *_, index = REPLY_HEAD.unpack_from(datagram)
        call = self._calls.get(index)
        if call is None or call.initiator is None:
            raise ProtocolError("a REPLY for no call")
        self._gate.check_mac1(datagram)
        keys = call.initiator.read_reply(datagram)
        call.answered(now)
        channel = self._connect(keys, call.endpoint, now)
        # The smaller key, having had our REPLY too, may have decided for its own call: then its
        # DATA comes there, and else here.
        decided = self._public < call.peer or not self._half_open.answered(call.peer)
        if decided:
            self._half_open.remove_peer(call.peer)
        self._sessions[index] = _Session(channel, keys, call.endpoint, now, decided)
        self._events.append(Answered(channel, keys, call.endpoint))

    def _on_cookie(self, now: float, endpoint: Endpoint, datagram: bytes) -> None:
        call = self._calls.get(check_head(datagram, COOKIE, COOKIE_LENGTH))
        if call is None:
            raise ProtocolError("a COOKIE for no call")
        call.take_cookie(now, endpoint, datagram)

    # who may call, and who is who

    def _welcome(self, now: float, peer: bytes, endpoint: Endpoint) -> bool:
        """Whether to answer `peer`, who may be a recording: ask only what changes nothing."""
        if peer == self._public or not self._allowed(peer) or self._full(now, peer):
            return False
        if any(
            session.keys.peer == peer
            and session.decided
            and not session.announced
            and not session.channel.closed
            and now < session.since + HALF_OPEN_LIFE
            for session in self._sessions.values()
        ):
            return False
        return not (
            self._public < peer
            and any(
                call.peer == peer and call.endpoint == endpoint and call.initiator is not None
                for call in self._calls.values()
            )
        )

    def _standing(self) -> list[_Session[C]]:
        return [s for s in self._sessions.values() if s.announced and not s.channel.closed]

    def _full(self, now: float, peer: bytes) -> bool:
        """Whether there is no room for another session, even if a silent one with the peer goes."""
        standing = self._standing()
        lively = [s for s in standing if now < s.channel.heard_at + SILENCE and s.keys.peer == peer]
        return len(standing) >= SESSIONS or len(lively) >= SESSIONS_PER_PEER

    def _make_room(self, peer: bytes) -> None:
        """A program that was killed and started again has left sessions behind (TR-19)."""
        theirs = [s.channel for s in self._standing() if s.keys.peer == peer]
        if len(theirs) >= SESSIONS_PER_PEER:
            min(theirs, key=lambda channel: channel.heard_at).lose()

    def _announce(self, session: _Session[C]) -> None:
        """The session stands: what else we tried with this peer ends."""
        session.announced = True
        peer = session.keys.peer
        for index, call in list(self._calls.items()):
            if call.peer == peer:
                del self._calls[index]
                if index != session.keys.our_index:
                    self._sessions.pop(index, None)
        self._events.append(Connected(session.channel, session.keys, session.endpoint))

    def _begin(self, peer: bytes, mark: bytes | None) -> tuple[int, Initiator]:
        index = self._draw_index()
        initiator = Initiator(
            self._identity,
            peer,
            index=index,
            parameters=self._parameters,
            entropy=self._entropy,
            mark=mark,
        )
        return index, initiator

    def _give_up(self, index: int, call: Call) -> None:
        del self._calls[index]
        self._sessions.pop(index, None)
        if not call.replaced:
            self._events.append(CallFailed(call.peer, call.endpoint))

    def _forget_closed(self) -> None:
        """What is closed and has had its last word."""
        channels = {index: session.channel for index, session in self._sessions.items()}
        for index, channel in channels.items():
            if channel.closed and channel.deadline() is None:
                del self._sessions[index]

    def _draw_index(self) -> int:
        """An index that leads nowhere yet (DG-08)."""
        while True:
            (index,) = _INDEX.unpack(self._entropy(_INDEX.size))
            if (
                index not in self._calls
                and index not in self._sessions
                and self._half_open.at(index) is None
            ):
                return int(index)

    def _send(self, endpoint: Endpoint, datagram: bytes) -> bool:
        """Queue an answer; a caller whose answer finds no room calls again."""
        if len(self._queue) >= REPLY_QUEUE:
            return False
        self._queue.append((endpoint, datagram))
        return True
