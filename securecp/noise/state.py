"""The Noise Protocol Framework, revision 34: an interpreter over the tables in `patterns.py`.

This is not our protocol (`handshake.py` is): it knows tokens, keys and hashes, no datagram layouts,
retransmission or peers. Published vectors run through the very `HandshakeState` that we use.
Names are those of the specification: e and s are our key pairs, re and rs the remote public keys;
e1, re1 and ekem1 are of Noise HFS.

    write: tokens and payload -> bytes        read: bytes -> payload, or ProtocolError
    both work on a copy of the state and put it in place at the end: a failure leaves no trace
"""

import copy
from collections.abc import Callable, Sequence
from typing import TypeVar

from keys.errors import KeysError
from keys.identity import check_public
from securecp.errors import ProtocolError
from securecp.noise.keypairs import Entropy, Kem, KeyPair, MlKem768
from securecp.noise.patterns import parse_name
from securecp.noise.symmetric import TAGLEN, SymmetricState

DHLEN = 32
LARGEST_MESSAGE = 65_535

T = TypeVar("T")


class _Progress:
    """All that a message changes; copied before each message."""

    def __init__(self, symmetric: SymmetricState) -> None:
        self.symmetric = symmetric
        self.position = 0
        self.psks = 0
        self.e: KeyPair | None = None
        self.re: bytes | None = None
        self.rs: bytes | None = None
        self.decapsulate: Callable[[bytes], bytes] | None = None
        self.re1: bytes | None = None

    def copy(self) -> "_Progress":
        twin = copy.copy(self)
        twin.symmetric = self.symmetric.copy()
        return twin


class HandshakeState:
    """One side of one handshake (§5.3): `write` and `read` in the order of the pattern."""

    def __init__(
        self,
        protocol: str,
        *,
        initiator: bool,
        entropy: Entropy,
        prologue: bytes = b"",
        s: KeyPair | None = None,
        rs: bytes | None = None,
        psks: Sequence[bytes] = (),
        kem: Kem | None = None,
    ) -> None:
        self.suite = parse_name(protocol)
        self._initiator = initiator
        self._entropy = entropy
        self._kem = kem or MlKem768()
        self._psks = psks
        self.s = s
        self._now = _Progress(SymmetricState(self.suite))
        self._now.rs = rs
        self._now.symmetric.mix_hash(prologue)
        for message in self.suite.pattern.before:
            own = message.from_initiator == initiator
            self._now.symmetric.mix_hash(_present(s).public if own else _present(rs))

    def __repr__(self) -> str:
        role = "initiator" if self._initiator else "responder"
        return f"<HandshakeState {self.suite.name} {role} {self._now.position}>"

    def fork(self) -> "HandshakeState":
        """A twin that goes on by itself, for a reader with checks of its own after the tag."""
        return copy.copy(self)

    @property
    def rs(self) -> bytes | None:
        """The remote static public key, once known."""
        return self._now.rs

    @property
    def hash(self) -> bytes:
        """The transcript hash; final when `finished`."""
        return self._now.symmetric.h

    @property
    def finished(self) -> bool:
        return self._now.position == len(self.suite.pattern.messages)

    def write(self, payload: bytes = b"") -> bytes:
        """Write our next message; ValueError if it is not our turn."""
        state = self._now.copy()
        tokens = self._turn(state, writing=True)
        if payload and "payload" not in tokens:
            raise ValueError("this message has no payload")
        message = b"".join(self._write(state, token, payload) for token in tokens)
        self._now = state
        return message

    def read(self, message: bytes) -> bytes:
        """Read their next message and return its payload; ProtocolError leaves no trace."""
        if len(message) > LARGEST_MESSAGE:
            raise ProtocolError("a handshake message is too long")
        state = self._now.copy()
        rest, payload = message, b""
        for word in self._turn(state, writing=False):
            length = len(rest) if word == "payload" else self._length(state, word)
            if length > len(rest):
                raise ProtocolError("a handshake message is too short")
            payload = self._read(state, word, rest[:length])
            rest = rest[length:]
        if rest:
            raise ProtocolError("a handshake message is too long")
        self._now = state
        return payload

    def split(self) -> tuple[bytes, bytes]:
        """Give the two keys of 32 bytes: initiator's to send with, responder's to send with."""
        if not self.finished:
            raise ValueError("the handshake is not finished")
        return self._now.symmetric.split()

    def _turn(self, state: _Progress, *, writing: bool) -> tuple[str, ...]:
        if self.finished:
            raise ValueError("the handshake is finished")
        message = self.suite.pattern.messages[state.position]
        if (message.from_initiator == self._initiator) != writing:
            raise ValueError("it is the other side's turn")
        state.position += 1
        return message.tokens

    def _write(self, state: _Progress, token: str, payload: bytes) -> bytes:
        """Carry out one token of a message of ours; return what it adds to the message."""
        symmetric = state.symmetric
        match token:
            case "e":
                state.e = KeyPair.from_seed(self._entropy(DHLEN))
                self._mix_ephemeral(symmetric, state.e.public)
                return state.e.public
            case "s":
                return symmetric.encrypt_and_hash(_present(self.s).public)
            case "e1":
                public, state.decapsulate = self._kem.generate(self._entropy)
                return symmetric.encrypt_and_hash(public)
            case "ekem1":
                secret, ciphertext = self._encapsulate(_present(state.re1))
                sealed = symmetric.encrypt_and_hash(ciphertext)
                symmetric.mix_key(secret)
                return sealed
            case "payload":
                return symmetric.encrypt_and_hash(payload)
            case _:
                self._mix(state, token)
                return b""

    def _read(self, state: _Progress, token: str, piece: bytes) -> bytes:
        """Carry out one token of a message of theirs; return the payload if the token is that."""
        symmetric = state.symmetric
        match token:
            case "e":
                state.re = _canonical(piece)
                self._mix_ephemeral(symmetric, state.re)
            case "s":
                state.rs = _canonical(symmetric.decrypt_and_hash(piece))
            case "e1":
                state.re1 = symmetric.decrypt_and_hash(piece)
            case "ekem1":
                ciphertext = symmetric.decrypt_and_hash(piece)
                symmetric.mix_key(_present(state.decapsulate)(ciphertext))
            case "payload":
                return symmetric.decrypt_and_hash(piece)
            case _:
                self._mix(state, token)
        return b""

    def _length(self, state: _Progress, word: str) -> int:
        """Bytes that a token takes in a message, as the keys stand now."""
        if word == "e":
            return DHLEN
        plain = {
            "s": DHLEN,
            "e1": self._kem.public_length,
            "ekem1": self._kem.ciphertext_length,
        }.get(word)
        if plain is None:
            return 0
        return plain + TAGLEN if state.symmetric.cipher.has_key() else plain

    def _mix(self, state: _Progress, word: str) -> None:
        """Carry out a token that adds nothing to the message: a Diffie-Hellman, or a psk."""
        if word == "psk":
            state.symmetric.mix_key_and_hash(self._psks[state.psks])
            state.psks += 1
            return
        # The first letter is the initiator's key, the second the responder's.
        mine, theirs = (word[0], word[1]) if self._initiator else (word[1], word[0])
        pair = _present(state.e if mine == "e" else self.s)
        remote = _present(state.re if theirs == "e" else state.rs)
        try:
            secret = pair.exchange(remote)
        except (ValueError, KeysError):
            raise ProtocolError("a public key is of low order") from None
        state.symmetric.mix_key(secret)

    def _mix_ephemeral(self, symmetric: SymmetricState, public: bytes) -> None:
        symmetric.mix_hash(public)
        if self.suite.pattern.uses_psk:
            symmetric.mix_key(public)

    def _encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        try:
            return self._kem.encapsulate(public)
        except ValueError:
            raise ProtocolError("an ML-KEM public key is malformed") from None


def _canonical(public: bytes) -> bytes:
    """The one encoding of a public key that is not of low order (HS-04, HS-05)."""
    try:
        check_public(public)
    except KeysError:
        raise ProtocolError("a public key is not acceptable") from None
    return public


def _present(value: T | None) -> T:
    """What the pattern says must be there by now; its absence is misuse of ours."""
    if value is None:
        raise ValueError("the pattern needs a key that was not given")
    return value
