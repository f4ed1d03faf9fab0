"""Letters and the servers that carry them: claims, tags, envelopes (SPEC §11.3, §12.4).

    contacts ─► claims of the days ─┐
    meetings ─► their own claims ───┴─► SUBSCRIBE, at every server
    letter   ─► envelope ─► POST         DELIVER ─► envelope ─► letter, and whose it is

Every server is told everything, so that one is enough.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from keys.identity import Identity
from securecp.endpoint import Endpoint
from securecp.errors import ProtocolError
from securecp.nat import envelope, rendezvous
from securecp.nat.actions import Action, Tell
from securecp.nat.envelope import Call, Letter
from securecp.nat.tags import Claims, PairKeys, tag_of

DAY_EVERY = 60.0
"""Seconds between two looks at the calendar and the contacts."""


class Server(NamedTuple):
    """A server whose link stands."""

    dialled: Endpoint
    relay: Endpoint | None
    rtt: float
    time: int
    """Its clock, in seconds since 1970."""


class Mail:
    """What is told to servers; `actions` is drained by the station."""

    def __init__(
        self,
        identity: Identity,
        entropy: Callable[[int], bytes],
        day: Callable[[], int],
        contacts: Callable[[], Iterable[bytes]],
    ) -> None:
        """`contacts`: who may call us."""
        self.servers: dict[int, Server] = {}
        self.actions: list[Action] = []
        self._identity = identity
        self._entropy = entropy
        self._day = day
        self._contacts = contacts
        self._pairs: dict[bytes, PairKeys] = {}
        self._claims = Claims()
        self._sessions: dict[bytes, tuple[bytes, bytes, PairKeys]] = {}
        """By tag: claim, session, and with whom."""

    # servers

    def up(self, number: int, server: Server) -> None:
        """The link to this one stands, and it knows nothing of us yet."""
        self.servers[number] = server
        held = (*self._claims.held, *(claim for claim, _, _ in self._sessions.values()))
        self._subscribe(number, held)

    def down(self, number: int) -> None:
        self.servers.pop(number, None)

    def tell(self, number: int, message: bytes) -> None:
        self.actions.append(Tell(number, message))

    # whom we wait for

    def pair(self, peer: bytes) -> PairKeys:
        """The keys that we share with this peer."""
        pair = self._pairs.get(peer)
        if pair is None:
            pair = self._pairs[peer] = PairKeys.of(self._identity, peer)
        return pair

    def callers(self) -> list[PairKeys]:
        """Who may call us."""
        return [self.pair(peer) for peer in self._contacts()]

    def refresh(self) -> None:
        """The contacts, or the day, may have changed."""
        change = self._claims.update(self.callers(), self._day())
        for number in self.servers:
            self._subscribe(number, change.subscribe)
            self._unsubscribe(number, change.unsubscribe)

    def listen(self, claim: bytes, session: bytes, pair: PairKeys) -> None:
        """Letters about this session come to the tag of this claim."""
        self._sessions[tag_of(claim)] = claim, session, pair
        for number in self.servers:
            self._subscribe(number, (claim,))

    def forget(self, claim: bytes) -> None:
        """No letter comes there any more."""
        if self._sessions.pop(tag_of(claim), None) is not None:
            for number in self.servers:
                self._unsubscribe(number, (claim,))

    # letters

    def their_tag(self, pair: PairKeys) -> bytes:
        """Where this contact is called today."""
        return pair.their_tag(self._day())

    def post(self, peer: bytes, tag: bytes, letter: Letter, server: int | None) -> None:
        """Seal and post; to all servers if none is named."""
        for number in self.servers if server is None else (server,):
            sealed = envelope.seal(self._identity, peer, letter, tag=tag, entropy=self._entropy)
            self.tell(number, rendezvous.Post(tag, sealed).encode())

    def open(self, tag: bytes, sealed: bytes) -> tuple[PairKeys, Letter]:
        """A letter, and whose it is; ProtocolError if it is none, or has no business there.

        To a tag of the day comes nothing but a CALL, to a session's tag only what is about it.
        """
        found = self._sessions.get(tag)
        if found is not None:
            _, session, pair = found
            letter = envelope.open(self._identity, pair.peer, sealed, tag=tag)
            if letter.session != session:
                raise ProtocolError("a letter is for another session")
            return pair, letter
        waited = self._claims.find(tag)
        if waited is None:
            raise ProtocolError("an envelope for nobody")
        letter = envelope.open(self._identity, waited.peer, sealed, tag=tag)
        if not isinstance(letter, Call):
            raise ProtocolError("no such letter comes to a tag of the day")
        return waited, letter

    def welcome(self, peer: bytes) -> bool:
        """Whether this peer may call us now."""
        return peer in set(self._contacts())

    def _subscribe(self, number: int, claims: tuple[bytes, ...]) -> None:
        for some in _batches(claims):
            self.tell(number, rendezvous.Subscribe(some).encode())

    def _unsubscribe(self, number: int, claims: tuple[bytes, ...]) -> None:
        for some in _batches(claims):
            self.tell(number, rendezvous.Unsubscribe(some).encode())


def _batches(claims: tuple[bytes, ...]) -> Iterator[tuple[bytes, ...]]:
    most = rendezvous.CLAIMS_PER_MESSAGE
    return (claims[at : at + most] for at in range(0, len(claims), most))
