"""Whether AES-256-GCM is the faster AEAD here: measured, not guessed from flags (SPEC §4.4)."""

import time
from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

_LENGTH = 1_400
_ROUNDS = 16


def aes_is_fast() -> bool:
    """Time both on datagrams of usual length; about 0.1 ms."""
    nonce, data = bytes(12), bytes(_LENGTH)
    times = []
    for aead in (AESGCM(bytes(32)), ChaCha20Poly1305(bytes(32))):
        times.append(min(_time(aead.encrypt, nonce, data) for _ in range(_ROUNDS)))
    return times[0] <= times[1]


def _time(encrypt: Callable[[bytes, bytes, None], bytes], nonce: bytes, data: bytes) -> float:
    start = time.perf_counter()
    encrypt(nonce, data, None)
    return time.perf_counter() - start
