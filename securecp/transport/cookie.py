"""What a handshake datagram must show before any key is computed: mac1, and under load a cookie.

    mac1    keyed by the receiver's public key: the sender knows whom it calls; checked always
    mac2    keyed by a cookie that we gave to this endpoint: the sender receives there; under load
    COOKIE  kind | version | zero u16 | receiver index u32 | nonce 12 | sealed cookie 32

The idea is WireGuard's. A cookie is a keyed hash of the endpoint: nothing is stored until it comes
back. It travels sealed under a key made of our public key, with the caller's mac1 as associated
data, so that only who sent that very HELLO can be made to use it (SPEC §4.7).

Measured on one core: mac1 of 1,200 bytes takes 5 µs: garbage costs us as much as its system call.
"""

import hmac
from enum import Enum
from hashlib import blake2s
from struct import Struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from securecp.endpoint import Endpoint
from securecp.errors import ProtocolError
from securecp.noise.keypairs import Entropy
from securecp.transport.rotation import Rotation
from securecp.transport.wire import COOKIE, COOKIE_LENGTH, VERSION

MAC_LENGTH = 16
MACS_LENGTH = 2 * MAC_LENGTH
COOKIE_LIFE = 120.0
"""Seconds for which a caller may use a cookie, and after which its maker takes a new secret."""

_HEAD = Struct(">BBHI12s32s")


def mac1_key(public: bytes) -> bytes:
    """The key of mac1 in datagrams to the owner of `public`."""
    return blake2s(b"securecp 1 mac1" + public).digest()


def mac(key: bytes, data: bytes) -> bytes:
    """BLAKE2s-128 of `data` under `key`."""
    return blake2s(data, key=key, digest_size=MAC_LENGTH).digest()


def with_mac1(body: bytes, key: bytes) -> bytes:
    """Append mac1: the end of a REPLY."""
    return body + mac(key, body)


def with_macs(body: bytes, key: bytes, cookie: bytes | None) -> bytes:
    """Append mac2 (zeros without a cookie) and mac1: the end of a HELLO."""
    return with_mac1(body + (mac(cookie, body) if cookie else bytes(MAC_LENGTH)), key)


def open_cookie(datagram: bytes, responder: bytes, mac1: bytes) -> bytes:
    """Read the cookie that answers our HELLO with this `mac1`, or raise ProtocolError."""
    if len(datagram) != COOKIE_LENGTH:
        raise ProtocolError("a COOKIE has the wrong length")
    *_, nonce, sealed = _HEAD.unpack(datagram)
    try:
        return ChaCha20Poly1305(_sealing_key(responder)).decrypt(nonce, sealed, mac1)
    except InvalidTag:
        raise ProtocolError("a COOKIE is not authentic") from None


def _sealing_key(responder: bytes) -> bytes:
    return blake2s(b"securecp 1 cookie key" + responder).digest()


class Proof(Enum):
    """What mac2 of a HELLO says."""

    ABSENT = "zeros"
    RIGHT = "the caller receives at this endpoint"
    WRONG = "neither"


class Gate:
    """The keyed hashes that guard one identity; knows no peer and stores nothing for any."""

    def __init__(self, public: bytes, entropy: Entropy) -> None:
        self._public = public
        self._mac1_key = mac1_key(public)
        self._entropy = entropy
        self._rotation = Rotation(COOKIE_LIFE, entropy)

    def check_mac1(self, datagram: bytes) -> None:
        """Raise ProtocolError unless the datagram was made for our public key."""
        body, mac1 = datagram[:-MAC_LENGTH], datagram[-MAC_LENGTH:]
        if not hmac.compare_digest(mac(self._mac1_key, body), mac1):
            raise ProtocolError("a handshake datagram is not for us")

    def proof(self, now: float, endpoint: Endpoint, hello: bytes) -> Proof:
        """What mac2 of a HELLO from `endpoint` proves; the previous secret still counts."""
        body, mac2 = hello[:-MACS_LENGTH], hello[-MACS_LENGTH:-MAC_LENGTH]
        if hmac.compare_digest(mac2, bytes(MAC_LENGTH)):
            return Proof.ABSENT
        right = [
            hmac.compare_digest(mac(_cookie(secret, endpoint), body), mac2)
            for secret in self._rotation.valid(now)
        ]
        return Proof.RIGHT if any(right) else Proof.WRONG

    def make_cookie(self, now: float, endpoint: Endpoint, index: int, hello: bytes) -> bytes:
        """Write the COOKIE that answers `hello` from the caller's `index`."""
        cookie = _cookie(self._rotation.valid(now)[0], endpoint)
        nonce = self._entropy(12)
        aead = ChaCha20Poly1305(_sealing_key(self._public))
        sealed = aead.encrypt(nonce, cookie, hello[-MAC_LENGTH:])
        return _HEAD.pack(COOKIE, VERSION, 0, index, nonce, sealed)


def _cookie(secret: bytes, endpoint: Endpoint) -> bytes:
    # Behind a relay many share one address: there the door tells them apart.
    door = f"%{endpoint.via}" if endpoint.via else ""
    return mac(secret, f"{endpoint}{door}".encode())
