"""Noise handshake patterns as tables, and protocol names taken apart (Noise revision 34, §7 to §9).

A pattern is its messages in order, `->` from the initiator, `<-` from the responder; those before
`...` are known beforehand. Tokens are e, s, ee, es, se, ss, psk, of Noise HFS e1 and ekem1, and
`payload`. Published patterns leave the payload out: it ends every message. A pattern that writes
`payload` has one there only, which is how ours puts e1 behind what authenticates the caller.
"""

from functools import cache
from typing import NamedTuple

PATTERNS = {
    "N": "<- s ... -> e es",
    "K": "-> s <- s ... -> e es ss",
    "X": "<- s ... -> e es s ss",
    "NN": "-> e <- e ee",
    "NK": "<- s ... -> e es <- e ee",
    "NX": "-> e <- e ee s es",
    "XN": "-> e <- e ee -> s se",
    "XK": "<- s ... -> e es <- e ee -> s se",
    "XK1": "<- s ... -> e <- e ee es -> s se",
    "XX": "-> e <- e ee s es -> s se",
    "XX1": "-> e <- e ee s -> es s se",
    "KN": "-> s ... -> e <- e ee se",
    "KK": "-> s <- s ... -> e es ss <- e ee se",
    "KK1": "-> s <- s ... -> e <- e ee se es",
    "KX": "-> s ... -> e <- e ee se s es",
    "IN": "-> e s <- e ee se",
    "IK": "<- s ... -> e es s ss <- e ee se",
    "IK1": "<- s ... -> e s <- e ee se es",
    "IX": "-> e s <- e ee se s es",
    # Ours (SPEC §4.3). Published IKhfs has "-> e es e1 s ss", which no 1,200-byte datagram holds;
    # the name says that this is another protocol.
    "IKsecurecp1": "<- s ... -> e es s ss payload -> e1 <- e ee ekem1 se payload",
}


class Message(NamedTuple):
    """One message: who writes it, and its tokens."""

    from_initiator: bool
    tokens: tuple[str, ...]


class Pattern(NamedTuple):
    """Messages before the handshake (public keys known beforehand) and those in it."""

    before: tuple[Message, ...]
    messages: tuple[Message, ...]

    @property
    def uses_psk(self) -> bool:
        return any("psk" in message.tokens for message in self.messages)


class Suite(NamedTuple):
    """A protocol name, and what it says."""

    name: str
    pattern: Pattern
    cipher: str
    hash: str


@cache
def parse_name(name: str) -> Suite:
    """Take apart "Noise_IKpsk2_25519_ChaChaPoly_SHA256"; ValueError if we have no such thing."""
    try:
        noise, pattern, curve, cipher, hash_name = name.split("_")
    except ValueError:
        raise ValueError(f"not a Noise protocol name: {name}") from None
    if noise != "Noise" or curve not in {"25519", "25519+MLKEM768"}:
        raise ValueError(f"unknown Noise protocol: {name}")
    return Suite(name, _pattern(pattern), cipher, hash_name)


def _pattern(name: str) -> Pattern:
    base, *modifiers = name.replace("+", "").split("psk")
    if base not in PATTERNS:
        raise ValueError(f"unknown Noise pattern: {name}")
    before, _, handshake = PATTERNS[base].rpartition("...")
    explicit = "payload" in handshake
    messages = [list(message.tokens) for message in _messages(handshake)]
    for place in modifiers:
        _insert_psk(messages, int(place))
    return Pattern(
        _messages(before),
        tuple(
            Message(message.from_initiator, tuple(tokens if explicit else [*tokens, "payload"]))
            for message, tokens in zip(_messages(handshake), messages, strict=True)
        ),
    )


def _insert_psk(messages: list[list[str]], place: int) -> None:
    """psk0 opens the first message, pskN ends the Nth (§9.4)."""
    if place == 0:
        messages[0].insert(0, "psk")
    else:
        messages[place - 1].append("psk")


def _messages(text: str) -> tuple[Message, ...]:
    messages: list[Message] = []
    for word in text.split():
        if word in {"->", "<-"}:
            messages.append(Message(word == "->", ()))
        else:
            last = messages.pop()
            messages.append(last._replace(tokens=(*last.tokens, word)))
    return tuple(messages)
