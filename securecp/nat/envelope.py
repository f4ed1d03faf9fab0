"""Letters that two peers exchange through a server that cannot read them, all of one length.

    envelope     e 32 | sealed ( length u16 | body | zeros ) 976 | tag 16                    1,024

It is one message of Noise K: only the two can make it, only the other can open it. The prologue
holds the tag to which the envelope is posted, so that a server cannot deliver it elsewhere: what
goes to a tag that was made for one session opens in no other, and a recorded SYNC makes nobody send
anything ever again (RV-04, RV-09).

    CALL      0, session 16, round, secret 32, reply 16, view, candidates     to the tag of the day
    ANSWER    1, session 16, round, secret 32, reply 16, view, candidates     to the caller's reply
    SYNC      2, session 16, round                                            to the called's reply
    MORE      3, session 16, view, candidates                                 to a reply, both ways
    BYE       4, session 16                                                   to a reply, both ways

The body is one array of strict msgpack. `reply` is a claim of the session: who writes it listens
there already. A CALL alone may be a recording, of up to three days ago; what follows it cannot.

Measured on one core on which X25519 alone takes 65 µs: seal 0.4 ms, open 0.3 ms, both with 16
candidates.
"""

from typing import Any, NamedTuple, TypeAlias

from keys.identity import Identity
from securecp import codec
from securecp.errors import ProtocolError
from securecp.nat.candidate import MOST_CANDIDATES, Candidate
from securecp.nat.sampling import Nat
from securecp.nat.tags import CLAIM_LENGTH, TAG_LENGTH
from securecp.noise.keypairs import Entropy, KeyPair
from securecp.noise.state import HandshakeState

PROTOCOL = "Noise_K_25519_ChaChaPoly_SHA256"
PROLOGUE = b"securecp envelope 1"
ENVELOPE_LENGTH = 1_024
SESSION_LENGTH = 16
SECRET_LENGTH = 32
ROUND_LIMIT = 65_535
STEP_LIMIT = 1_024
RTT_LIMIT = 65_535

_PLAIN_LENGTH = ENVELOPE_LENGTH - 32 - 16
_BODY_LIMIT = _PLAIN_LENGTH - 2


class View(NamedTuple):
    """How a peer sees its own situation."""

    nat: Nat
    step: int
    """Between the outside ports of a sequential NAT."""
    rtt: int
    """To the server, in milliseconds."""
    ipv6: bool

    @classmethod
    def parse(cls, value: object) -> "View":
        nat, step, rtt, ipv6 = codec.array(value, 4)
        if type(ipv6) is not bool:
            raise ProtocolError("a letter holds something else than a truth value")
        return cls(
            Nat(codec.integer(nat, Nat.UNKNOWN, Nat.NO_UDP)),
            codec.integer(step, -STEP_LIMIT, STEP_LIMIT),
            codec.integer(rtt, 0, RTT_LIMIT),
            ipv6,
        )


class Call(NamedTuple):
    """Let us meet."""

    session: bytes
    round: int
    secret: bytes
    reply: bytes
    view: View
    candidates: tuple[Candidate, ...]

    def __repr__(self) -> str:
        return f"<Call {self.session.hex()} {self.round} {len(self.candidates)} candidates>"


class Answer(NamedTuple):
    """Yes; this is where I am."""

    session: bytes
    round: int
    secret: bytes
    reply: bytes
    view: View
    candidates: tuple[Candidate, ...]

    def __repr__(self) -> str:
        return f"<Answer {self.session.hex()} {self.round} {len(self.candidates)} candidates>"


class Sync(NamedTuple):
    """Now."""

    session: bytes
    round: int


class More(NamedTuple):
    """What was found later: how we see our situation now, and further candidates."""

    session: bytes
    view: View
    candidates: tuple[Candidate, ...]


class Bye(NamedTuple):
    """I am no longer there."""

    session: bytes


Letter: TypeAlias = Call | Answer | Sync | More | Bye


def seal(identity: Identity, peer: bytes, letter: Letter, *, tag: bytes, entropy: Entropy) -> bytes:
    """Seal a letter to `peer`, to be posted to `tag`; one beyond its limits is our mistake."""
    body = encode(letter)
    assert parse(body) == letter
    plain = len(body).to_bytes(2) + body.ljust(_BODY_LIMIT, b"\0")
    envelope = _noise(identity, peer, tag, entropy, initiator=True).write(plain)
    assert len(envelope) == ENVELOPE_LENGTH
    return envelope


def open(identity: Identity, peer: bytes, data: bytes, *, tag: bytes) -> Letter:
    """Open what was delivered with `tag`, which only `peer` can have sealed; or ProtocolError."""
    if len(data) != ENVELOPE_LENGTH:
        raise ProtocolError("an envelope has the wrong length")
    plain = _noise(identity, peer, tag, _no_entropy, initiator=False).read(bytes(data))
    length = int.from_bytes(plain[:2])
    body, padding = plain[2 : 2 + length], plain[2 + length :]
    if length > _BODY_LIMIT or any(padding):
        raise ProtocolError("an envelope is padded wrongly")
    return parse(body)


def encode(letter: Letter) -> bytes:
    """The body of an envelope."""
    return codec.encode([_NUMBERS[type(letter)], *map(_item, letter)])


def parse(body: bytes) -> Letter:
    """Read the body of an envelope, or raise ProtocolError."""
    items = codec.array(codec.decode(body, limit=_BODY_LIMIT), 2, 7)
    match codec.integer(items[0], 0, len(_KINDS) - 1):
        case 0:
            return Call(*_meeting(items))
        case 1:
            return Answer(*_meeting(items))
        case 2:
            _, session, number = codec.array(items, 3)
            return Sync(_session(session), _round(number))
        case 3:
            _, session, view, candidates = codec.array(items, 4)
            return More(_session(session), View.parse(view), _candidates(candidates))
        case _:
            _, session = codec.array(items, 2)
            return Bye(_session(session))


_KINDS: tuple[type[Letter], ...] = (Call, Answer, Sync, More, Bye)
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}


def _item(value: Any) -> Any:
    """A field of a letter as the codec takes it."""
    if isinstance(value, View):
        return [int(value.nat), value.step, value.rtt, value.ipv6]
    if isinstance(value, tuple):
        return [candidate.encode() for candidate in value]
    return value


def _meeting(items: list[Any]) -> tuple[bytes, int, bytes, bytes, View, tuple[Candidate, ...]]:
    _, session, number, secret, reply, view, candidates = codec.array(items, 7)
    return (
        _session(session),
        _round(number),
        codec.binary(secret, SECRET_LENGTH),
        codec.binary(reply, CLAIM_LENGTH),
        View.parse(view),
        _candidates(candidates),
    )


def _session(value: object) -> bytes:
    return codec.binary(value, SESSION_LENGTH)


def _round(value: object) -> int:
    return codec.integer(value, 0, ROUND_LIMIT)


def _candidates(value: object) -> tuple[Candidate, ...]:
    return tuple(Candidate.parse(one) for one in codec.array(value, 0, MOST_CANDIDATES))


def _noise(
    identity: Identity, peer: bytes, tag: bytes, entropy: Entropy, *, initiator: bool
) -> HandshakeState:
    assert len(tag) == TAG_LENGTH
    return HandshakeState(
        PROTOCOL,
        initiator=initiator,
        entropy=entropy,
        prologue=PROLOGUE + tag,
        s=KeyPair(bytes(identity.public), identity.exchange),
        rs=peer,
    )


def _no_entropy(count: int) -> bytes:
    raise AssertionError(f"opening draws no random bytes, least of all {count}")
