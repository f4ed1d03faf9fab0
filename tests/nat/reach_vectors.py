"""Make `tests/vectors/reach.json` anew: python -m tests.nat.reach_vectors

Tags, letters, probes and beacons with all their keys and randomness; those that must be refused
too. Only a change of the protocol may change the file.
"""

import json
from hashlib import shake_256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from keys.identity import Identity
from keys.secret import Secret
from securecp import codec
from securecp.endpoint import Endpoint
from securecp.nat import beacon, envelope, probe
from securecp.nat.candidate import Candidate, Kind, allowed
from securecp.nat.envelope import Answer, Bye, Call, Letter, More, Sync, View
from securecp.nat.sampling import Nat
from securecp.nat.tags import PairKeys, hkdf, tag_of
from securecp.noise.keypairs import KeyPair
from securecp.noise.state import HandshakeState

FILE = Path(__file__).parents[1] / "vectors" / "reach.json"
DAY = 20_783


def seed(label: str, length: int) -> bytes:
    return shake_256(f"securecp reach vector: {label}".encode()).digest(length)


def padded(body: bytes, length: int | None = None) -> bytes:
    """The plaintext of an envelope."""
    return (len(body) if length is None else length).to_bytes(2) + body.ljust(974, b"\0")


CALLER = Identity(Secret(seed("caller identity", 32)))
CALLED = Identity(Secret(seed("called identity", 32)))
OTHER = Identity(Secret(seed("other identity", 32)))
CALLER_PAIR = PairKeys.of(CALLER, bytes(CALLED.public))
CALLED_PAIR = PairKeys.of(CALLED, bytes(CALLER.public))

SESSION = seed("session", 16)
CALLER_SECRET = seed("caller secret", 32)
CALLED_SECRET = seed("called secret", 32)
CALLER_REPLY = seed("caller reply", 16)
CALLED_REPLY = seed("called reply", 16)

CANDIDATES = (
    Candidate.at(Kind.HOST, "192.168.1.20", 50_001),
    Candidate.at(Kind.HOST, "2600:ab8:1::20", 50_002),
    Candidate.at(Kind.REFLEXIVE, "11.0.113.5", 61_000),
    Candidate.at(Kind.MAPPED, "11.0.113.5", 4_400),
    Candidate.at(Kind.PREDICTED, "11.0.113.5", 61_002),
)
FULL = tuple(
    Candidate.at(Kind.PREDICTED, f"ffff:ffff:ffff:ffff:ffff:ffff:ffff:{n:x}", 65_535)
    for n in range(0xFFF0, 0x10000)
)

LETTERS: dict[str, tuple[Letter, bytes]] = {
    "call": (
        Call(SESSION, 0, CALLER_SECRET, CALLER_REPLY, View(Nat.EASY, 0, 23, True), CANDIDATES),
        CALLER_PAIR.their_tag(DAY),
    ),
    "call, the longest": (
        Call(
            SESSION,
            65_535,
            CALLER_SECRET,
            CALLER_REPLY,
            View(Nat.HARD, -1_024, 65_535, False),
            FULL,
        ),
        CALLER_PAIR.their_tag(DAY),
    ),
    "answer": (
        Answer(SESSION, 0, CALLED_SECRET, CALLED_REPLY, View(Nat.SEQUENTIAL, 2, 0, False), ()),
        tag_of(CALLER_REPLY),
    ),
    "sync": (Sync(SESSION, 0), tag_of(CALLED_REPLY)),
    "more": (More(SESSION, View(Nat.HARD, 0, 23, True), CANDIDATES[-1:]), tag_of(CALLED_REPLY)),
    "bye": (Bye(SESSION), tag_of(CALLED_REPLY)),
}
BODIES: dict[str, Any] = {
    "an unknown letter": [5, SESSION],
    "a truth value as the kind": [True, SESSION],
    "an item too many": [4, SESSION, 0],
    "an item too few": [2, SESSION],
    "no array": SESSION,
    "a short session": [4, SESSION[:15]],
    "a round beyond its limit": [2, SESSION, 65_536],
    "a negative round": [2, SESSION, -1],
    "a text for the session": [4, "0123456789abcdef"],
    "17 candidates": [3, SESSION, [[0, b"\x0b\x00\x71\x05", 1]] * 17],
    "an unknown kind of candidate": [3, SESSION, [[4, b"\x0b\x00\x71\x05", 1]]],
    "an address of 5 bytes": [3, SESSION, [[0, b"\x0b\x00\x71\x05\x00", 1]]],
    "IPv4 inside IPv6": [3, SESSION, [[0, bytes(10) + b"\xff\xff\x0b\x00\x71\x05", 1]]],
    "port 0": [3, SESSION, [[0, b"\x0b\x00\x71\x05", 0]]],
    "port 65,536": [3, SESSION, [[0, b"\x0b\x00\x71\x05", 65_536]]],
    "an unknown NAT": [0, SESSION, 0, CALLER_SECRET, CALLER_REPLY, [5, 0, 0, False], []],
    "a step beyond its limit": [
        0, SESSION, 0, CALLER_SECRET, CALLER_REPLY, [2, 1_025, 0, False], [],
    ],
    "a number as truth value": [0, SESSION, 0, CALLER_SECRET, CALLER_REPLY, [1, 0, 0, 1], []],
    "a secret of 31 bytes": [
        0, SESSION, 0, CALLER_SECRET[:31], CALLER_REPLY, [1, 0, 0, False], [],
    ],
}  # fmt: skip
BYE = codec.encode([4, SESSION])
PLAINTEXTS = {
    "a number that is not canonical": padded(b"\x93\x02\xc4\x10" + SESSION + b"\xcc\x00"),
    "padding that is not zero": padded(BYE)[:-1] + b"\1",
    "a length beyond the end": padded(BYE, 975),
    "a length that cuts the letter": padded(BYE, len(BYE) - 1),
    "a length into the padding": padded(BYE, len(BYE) + 1),
    "no letter": padded(b""),
    "a plaintext too short": padded(BYE)[:-1],
    "a plaintext too long": padded(BYE) + b"\0",
}


def seal_plain(name: str, content: bytes, tag: bytes, *, sender: Identity, peer: Identity) -> bytes:
    """A plaintext of any content as an envelope, by Noise alone."""
    noise = HandshakeState(
        "Noise_K_25519_ChaChaPoly_SHA256",
        initiator=True,
        entropy=lambda n: seed(f"{name} ephemeral", n),
        prologue=b"securecp envelope 1" + tag,
        s=KeyPair(bytes(sender.public), sender.exchange),
        rs=bytes(peer.public),
    )
    return noise.write(content)


def pair() -> dict[str, Any]:
    publics = sorted((bytes(CALLER.public), bytes(CALLED.public)))
    shared = CALLER.exchange(bytes(CALLED.public))
    return {
        "caller_identity_seed": seed("caller identity", 32),
        "called_identity_seed": seed("called identity", 32),
        "other_identity_seed": seed("other identity", 32),
        "caller_public": bytes(CALLER.public),
        "called_public": bytes(CALLED.public),
        "other_public": bytes(OTHER.public),
        "shared": shared,
        "pair": hkdf(shared, b"securecp pair 1" + b"".join(publics)),
        "days": [
            {
                "day": day,
                "called_waits_with_claim": CALLED_PAIR.our_claim(day),
                "caller_posts_to_tag": CALLER_PAIR.their_tag(day),
                "caller_waits_with_claim": CALLER_PAIR.our_claim(day),
                "called_posts_to_tag": CALLED_PAIR.their_tag(day),
            }
            for day in (0, DAY, DAY + 1, 2**32 - 1)
        ],
    }


def envelopes() -> list[dict[str, Any]]:
    return [
        *(_letter(name, letter, tag) for name, (letter, tag) in LETTERS.items()),
        *(_refused(name, padded(codec.encode(body))) for name, body in BODIES.items()),
        *(_refused(name, plain) for name, plain in PLAINTEXTS.items()),
        *_misdelivered(),
    ]


def _letter(name: str, letter: Letter, tag: bytes) -> dict[str, Any]:
    sender, peer = (CALLED, CALLER) if isinstance(letter, Answer) else (CALLER, CALLED)
    data = envelope.seal(
        sender,
        bytes(peer.public),
        letter,
        tag=tag,
        entropy=lambda n: seed(f"{name} ephemeral", n),
    )
    return _entry(name, "opens", data, tag, sender, peer) | {
        "ephemeral": seed(f"{name} ephemeral", 32),
        "body": envelope.encode(letter),
    }


def _refused(name: str, content: bytes) -> dict[str, Any]:
    tag = tag_of(CALLED_REPLY)
    data = seal_plain(name, content, tag, sender=CALLER, peer=CALLED)
    return _entry(name, "refused", data, tag, CALLER, CALLED)


def _misdelivered() -> list[dict[str, Any]]:
    """A good envelope in the wrong place, or hurt on its way."""
    tag = tag_of(CALLED_REPLY)
    data = seal_plain("good", padded(BYE), tag, sender=CALLER, peer=CALLED)
    return [
        _entry("the good one", "opens", data, tag, CALLER, CALLED),
        _entry("another tag", "refused", data, tag_of(CALLER_REPLY), CALLER, CALLED),
        _entry("back to its sender", "refused", data, tag, CALLED, CALLER),
        _entry("as another contact's", "refused", data, tag, OTHER, CALLED),
        _entry("to another contact", "refused", data, tag, CALLER, OTHER),
        _entry("a bit of e", "refused", b"\x01" + data[1:], tag, CALLER, CALLED),
        _entry("an e of low order", "refused", bytes(32) + data[32:], tag, CALLER, CALLED),
        _entry("e in another spelling", "refused", b"\xff" * 32 + data[32:], tag, CALLER, CALLED),
        _entry("a byte too few", "refused", data[:-1], tag, CALLER, CALLED),
        _entry("a byte too many", "refused", data + b"\0", tag, CALLER, CALLED),
    ]


def _entry(
    name: str, expect: str, data: bytes, tag: bytes, sender: Identity, peer: Identity
) -> dict[str, Any]:
    return {
        "name": name,
        "expect": expect,
        "sender": NAMES[bytes(sender.public)],
        "receiver": NAMES[bytes(peer.public)],
        "tag": tag,
        "envelope": data,
    }


NAMES = {
    bytes(CALLER.public): "caller",
    bytes(CALLED.public): "called",
    bytes(OTHER.public): "other",
}
IDENTITIES = {"caller": CALLER, "called": CALLED, "other": OTHER}

ADDRESSES = {
    "never": (
        "0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.255", "192.0.0.9", "224.0.0.1",
        "239.255.83.67", "240.0.0.1", "255.255.255.255", "::", "::1", "::b00:7105",
        "64:ff9b::b00:7105", "64:ff9b:1::1", "100::1", "2001::1", "2002:b00:7105::1", "ff02::1",
        "ff0e::1",
    ),
    "same public address": (
        "10.0.0.1", "100.64.0.1", "100.127.255.255", "169.254.1.1", "172.16.0.1",
        "172.31.255.255", "192.168.0.1", "fc00::1", "fd12:3456::1", "fe80::1", "fec0::1",
    ),
    "always": (
        "1.1.1.1", "9.255.255.255", "11.0.113.5", "100.63.255.255", "100.128.0.1", "128.0.0.1",
        "172.15.0.1", "172.32.0.1", "192.0.1.1", "192.167.0.1", "192.169.0.1",
        "223.255.255.255", "2001:4860::1", "2600:ab8:1::20", "2a00::1", "3fff::1",
    ),
}  # fmt: skip


def verdict(address: str) -> str:
    """What `allowed` says of an address, as vectors name it."""
    candidate = Candidate.at(Kind.HOST, address, 50_000)
    if not allowed(candidate, same_public=True):
        return "never"
    return "always" if allowed(candidate, same_public=False) else "same public address"


def probe_keys() -> tuple[probe.ProbeKeys, probe.ProbeKeys]:
    """The caller's end and the called's, new."""
    return (
        probe.ProbeKeys.derive(CALLER_PAIR, SESSION, CALLER_SECRET, CALLED_SECRET, caller=True),
        probe.ProbeKeys.derive(CALLED_PAIR, SESSION, CALLER_SECRET, CALLED_SECRET, caller=False),
    )


def probes() -> dict[str, Any]:
    caller, called = probe_keys()
    salt = SESSION + CALLER_SECRET + CALLED_SECRET
    key = CALLER_PAIR.derive(b"securecp probe caller", salt=salt)
    ping, second = caller.ping()[1], caller.ping()[1]
    pong = called.pong(0, Endpoint("11.0.113.5", 61_000))
    pong_v6 = called.pong(1, Endpoint("2600:ab8:1::20", 50_002))
    nowhere = called.pong(1, Endpoint("", 0))

    def forged(counter: int, plain: bytes, start: bytes = b"\x60\0\0\0") -> bytes:
        head = start + called.our_tag + counter.to_bytes(8)
        sealed = ChaCha20Poly1305(key).encrypt(bytes(4) + counter.to_bytes(8), plain, head)
        return head + sealed

    return {
        "session": SESSION,
        "caller_secret": CALLER_SECRET,
        "called_secret": CALLED_SECRET,
        "caller_key": key,
        "called_key": CALLER_PAIR.derive(b"securecp probe called", salt=salt),
        "caller_tag": caller.our_tag,
        "called_tag": called.our_tag,
        "ticket": caller.ticket,
        "in_order": [
            _probe("the first PING", "ping 0", "called", ping),
            _probe("the same again", "refused", "called", ping),
            _probe("PONG", "pong 0 11.0.113.5 61000", "caller", pong),
            _probe("PONG over IPv6", "pong 1 2600:ab8:1::20 50002", "caller", pong_v6),
            _probe("PONG through a circuit", "pong 1 nowhere", "caller", nowhere),
            _probe("a PONG again", "refused", "caller", pong),
            _probe("our own sent back", "refused", "caller", second),
            _probe("the second PING", "ping 1", "called", second),
            _probe("a high counter", "ping 65535", "called", forged(65_535, bytes(32))),
            _probe("a lower counter", "ping 9", "called", forged(9, bytes(32))),
            _probe("a counter too high", "refused", "called", forged(65_536, bytes(32))),
            _probe("the highest counter", "refused", "called", forged(2**64 - 1, bytes(32))),
            _probe("an unknown type", "refused", "called", forged(10, b"\2" + bytes(31))),
            _probe("a flag", "refused", "called", forged(11, b"\0\1" + bytes(30))),
            _probe("a PING with a port", "refused", "called", forged(12, b"\0\0\0\1" + bytes(28))),
            _probe("bytes at the end", "refused", "called", forged(13, bytes(31) + b"\1")),
            _probe(
                "a PONG to no PING of ours",
                "refused",
                "called",
                forged(14, b"\1" + bytes(26) + b"\4" + bytes(4)),
            ),
            _probe(
                "something in the head", "refused", "called", forged(15, bytes(32), b"\x60\0\0\1")
            ),
            _probe("another kind", "refused", "called", forged(16, bytes(32), b"\x61\0\0\0")),
        ],
    }


def _probe(name: str, expect: str, receiver: str, datagram: bytes) -> dict[str, Any]:
    return {"name": name, "expect": expect, "receiver": receiver, "datagram": datagram}


def beacons() -> dict[str, Any]:
    nonce = seed("lan nonce", 16)
    query = beacon.Asking(CALLER_PAIR, lambda _: nonce).query(0.0, DAY)
    answer = beacon.LanQuery(CALLED_PAIR, nonce).answer(beacon.Ports(50_001, 50_002))
    backwards = beacon.Asking(CALLED_PAIR, lambda _: nonce).query(0.0, DAY)
    mirrored = beacon.LanQuery(CALLER_PAIR, nonce).answer(beacon.Ports(50_001, 50_002))

    def asked(name: str, expect: str, day: int, datagram: bytes) -> dict[str, Any]:
        return {"name": name, "expect": expect, "day": day, "datagram": datagram}

    return {
        "nonce": nonce,
        "here": beacon.here(lambda n: seed("here", n)),
        "queries_to_called": [
            asked("the same day", "caller", DAY, query),
            asked("a day before", "caller", DAY - 1, query),
            asked("a day after", "caller", DAY + 1, query),
            asked("two days before", "nobody", DAY - 2, query),
            asked("two days after", "nobody", DAY + 2, query),
            asked("our own query for the caller", "nobody", DAY, backwards),
            asked("padding that is not zero", "refused", DAY, query[:-1] + b"\1"),
            asked("a byte too few", "refused", DAY, query[:-1]),
            asked("something in the head", "refused", DAY, query[:3] + b"\1" + query[4:]),
        ],
        "answers_to_caller": [
            {"name": "the answer", "expect": "50001 50002", "datagram": answer},
            {"name": "made by ourselves", "expect": "refused", "datagram": mirrored},
            {
                "name": "another port",
                "expect": "refused",
                "datagram": answer[:21] + b"\0" + answer[22:],
            },
            {
                "name": "to another nonce",
                "expect": "refused",
                "datagram": beacon.LanQuery(CALLED_PAIR, bytes(16)).answer(beacon.Ports(1, 2)),
            },
        ],
    }


def plain(value: Any) -> Any:
    """Bytes as hex, all the way down."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def make() -> dict[str, Any]:
    everything: dict[str, Any] = plain(
        {
            "pair": pair(),
            "envelopes": envelopes(),
            "addresses": ADDRESSES,
            "probes": probes(),
            "beacons": beacons(),
        }
    )
    return everything


if __name__ == "__main__":
    FILE.write_text(json.dumps(make(), indent=1) + "\n")
