"""What two contacts know of each other before they speak: keys of the pair, claims and tags.

    shared       X25519 of our identity and their public key; nobody else can compute it
    pair         HKDF-SHA256(shared, info "securecp pair 1" | smaller key | larger key)
    claim        HMAC-SHA256(pair, "securecp claim 1" | day u32 | from 32 | to 32), first 16 bytes
    tag          SHA-256("securecp tag 1" | claim), first 16 bytes

Whoever waits shows the claim to the server, whoever posts names the tag only: a tag that was seen
does not let anybody listen there (RV-02). Both change with the UTC day, so that a server cannot
follow a friendship over the days (RV-01, RV-10). Clocks may differ by a day: who waits is there
under yesterday's, today's and tomorrow's claim, who posts uses its own today (SPEC §11.1).

Measured on one core on which X25519 alone takes 65 µs: a pair's keys 80 µs, once; a claim 6 µs.
"""

import hmac
from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple, NoReturn

from keys.identity import Identity
from keys.secret import Secret
from securecp.noise.keypairs import Entropy

CLAIM_LENGTH = 16
TAG_LENGTH = 16
SECONDS_A_DAY = 86_400

_DAYS = 2**32


def day_of(unix_time: float) -> int:
    """The UTC day, counted from 1970, of a wall clock in seconds."""
    return int(unix_time // SECONDS_A_DAY)


def days_around(day: int) -> tuple[int, int, int]:
    """Yesterday, today and tomorrow."""
    return day - 1, day, day + 1


def day_bytes(day: int) -> bytes:
    """A day as u32; a clock that stands at 1970 or before must not stop us."""
    return (day % _DAYS).to_bytes(4)


def tag_of(claim: bytes) -> bytes:
    """The tag under which the holder of `claim` is reached."""
    assert len(claim) == CLAIM_LENGTH
    return sha256(b"securecp tag 1" + claim).digest()[:TAG_LENGTH]


def new_claim(entropy: Entropy) -> bytes:
    """A claim of one session: only whoever is told its tag can post there."""
    return entropy(CLAIM_LENGTH)


def hkdf(secret: bytes, info: bytes, *, salt: bytes = b"", length: int = 32) -> bytes:
    """HKDF-SHA256 (RFC 5869) for up to 32 bytes, which is all that we need of it."""
    assert length <= 32
    key = hmac.digest(salt or bytes(32), secret, "sha256")
    return hmac.digest(key, info + b"\x01", "sha256")[:length]


class PairKeys:
    """What we share with one contact; made once and kept. It prints as the contact's key."""

    __slots__ = ("__key", "our_public", "peer")

    def __init__(self, key: Secret, our_public: bytes, peer: bytes) -> None:
        self.__key = key
        self.our_public = our_public
        self.peer = peer
        """The contact's public key, 32 bytes."""

    @classmethod
    def of(cls, identity: Identity, peer: bytes) -> "PairKeys":
        """From our identity and a contact's public key; `KeysError` if that is not a useful one."""
        ours = bytes(identity.public)
        first, second = sorted((ours, peer))
        key = hkdf(identity.exchange(peer), b"securecp pair 1" + first + second)
        return cls(Secret(key), ours, peer)

    def our_claim(self, day: int) -> bytes:
        """What we show to be reached by this contact."""
        return self._claim(day, self.peer, self.our_public)

    def their_tag(self, day: int) -> bytes:
        """Where we reach this contact."""
        return tag_of(self._claim(day, self.our_public, self.peer))

    def derive(self, info: bytes, *, salt: bytes, length: int = 32) -> bytes:
        """A key of this pair for one purpose, which `info` names."""
        return hkdf(self.__key.reveal(), info, salt=salt, length=length)

    def mac(self, message: bytes) -> bytes:
        """HMAC-SHA256 under the pair's key, 16 bytes; the message begins with its purpose."""
        return hmac.digest(self.__key.reveal(), message, "sha256")[:16]

    def _claim(self, day: int, caller: bytes, called: bytes) -> bytes:
        return self.mac(b"securecp claim 1" + day_bytes(day) + caller + called)

    def __repr__(self) -> str:
        return f"<PairKeys {self.peer.hex()}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("the keys of a pair are not copied, pickled or sent elsewhere")


class Change(NamedTuple):
    """Claims to tell the server about; either may be empty."""

    subscribe: tuple[bytes, ...]
    unsubscribe: tuple[bytes, ...]

    def __repr__(self) -> str:
        return f"<Change +{len(self.subscribe)} -{len(self.unsubscribe)}>"


class Claims:
    """Where our contacts reach us: a claim for each contact and each of the three days.

    `update` at the start, when the contacts change and now and then because of the day, tells what
    the server must hear; after a reconnection it must hear `held`, all of it.
    """

    def __init__(self) -> None:
        self._pairs: dict[bytes, tuple[bytes, PairKeys]] = {}
        """By tag: our claim, and whose it is."""

    @property
    def held(self) -> tuple[bytes, ...]:
        """All claims as they stand."""
        return tuple(claim for claim, _ in self._pairs.values())

    def update(self, pairs: Iterable[PairKeys], day: int) -> Change:
        """Be reached by these contacts, and no others, on this day and the two beside it."""
        claims = ((pair.our_claim(one), pair) for pair in pairs for one in days_around(day))
        wanted = {tag_of(claim): (claim, pair) for claim, pair in claims}
        change = Change(
            subscribe=tuple(c for tag, (c, _) in wanted.items() if tag not in self._pairs),
            unsubscribe=tuple(c for tag, (c, _) in self._pairs.items() if tag not in wanted),
        )
        self._pairs = wanted
        return change

    def find(self, tag: bytes) -> PairKeys | None:
        """Whose tag this is: who must have sealed the envelope that came with it."""
        found = self._pairs.get(tag)
        return found[1] if found else None
