"""Keys as something two people can compare (SPEC §2.4).

    fingerprint   one key      7 groups of 4 letters or digits    140 bits   x3kf-…
    pair code     two keys     8 groups of 5 digits               132 bits   01234 56789 …

A fingerprint names one key, to compare with what its owner printed. A pair code is the same on
both sides: the two read it to each other, half each. Both are compared whole or not at all;
nothing in securecp accepts a part.

Someone in the middle may choose *both* keys they show, one to each side, and needs only two that
give equal codes: a birthday search of 2^66 at 132 bits. So the pair code is hashed with scrypt,
0.1 s and 32 MiB each time, which takes that search out of reach; a fingerprint needs none, since
there the other key is given.
"""

import hashlib

from keys.bech32 import CHARSET

FINGERPRINT_LABEL = b"securecp 1 fingerprint"
PAIR_LABEL = b"securecp 1 pair code"
PAIR_WORK_FACTOR = 15

_FINGERPRINT_CHARACTERS = 28
_PAIR_DIGITS = 40


def fingerprint(public: bytes) -> str:
    """The fingerprint of one public key (32 bytes): `xxxx-xxxx-…`, 34 characters."""
    digest = hashlib.sha256(FINGERPRINT_LABEL + public).digest()
    number = int.from_bytes(digest) >> 256 - 5 * _FINGERPRINT_CHARACTERS
    text = "".join(
        CHARSET[number >> 5 * place & 31] for place in reversed(range(_FINGERPRINT_CHARACTERS))
    )
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def pair_code(one: bytes, other: bytes) -> str:
    """What two people read to each other: `ddddd ddddd …`, 47 characters, in either order."""
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    low, high = sorted((one, other))
    kdf = Scrypt(salt=PAIR_LABEL, length=32, n=1 << PAIR_WORK_FACTOR, r=8, p=1)
    number = int.from_bytes(kdf.derive(low + high)) % 10**_PAIR_DIGITS
    text = f"{number:0{_PAIR_DIGITS}d}"
    return " ".join(text[start : start + 5] for start in range(0, len(text), 5))
