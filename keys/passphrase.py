"""A small secret sealed under a passphrase: an age v1 file with one scrypt stanza (SPEC §3.2).

    age-encryption.org/v1
    -> scrypt <salt, 16 bytes> <work factor, log2 N>
    <file key, 16 bytes, sealed: 32 bytes>
    --- <HMAC-SHA-256 of everything above from the first byte to "---">
    <nonce 16><one STREAM chunk>                         binary

What `age -p` writes and `age -d` opens. It is not the codec for sealed files in general: the
payload is a key, so the file is capped at 64 KiB and holds exactly one STREAM chunk.

The work factor comes from the file, which may be hostile: 2^20 costs 1 GiB and a few seconds,
more is refused before any work is done.
https://age-encryption.org/v1
"""

import binascii
import hmac
import re
from collections.abc import Callable
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from keys.errors import PassphraseError
from keys.secret import Secret

INTRODUCTION = b"age-encryption.org/v1\n"
WORK_FACTOR = 18
"""256 MiB and about a second: age's own choice."""
LARGEST_WORK_FACTOR = 20
LARGEST_FILE = 65_536

_LABEL = b"age-encryption.org/v1/scrypt"
_TAG = 16
_FILE_KEY = 16
_SALT = 16
_NONCE = 16
_ZERO_NONCE = bytes(12)
_LAST_CHUNK = bytes(11) + b"\x01"

# Base64 without padding of 16 and 32 bytes is 22 and 43 characters. Anything else that age's
# grammar allows (more stanzas, empty arguments, wrapped bodies) is not this file.
_HEADER = re.compile(
    rb"age-encryption\.org/v1\n"
    rb"-> scrypt (?P<salt>[A-Za-z0-9+/]{22}) (?P<factor>[1-9][0-9]{0,9})\n"
    rb"(?P<body>[A-Za-z0-9+/]{43})\n"
    rb"---(?= (?P<mac>[A-Za-z0-9+/]{43})\n)"
)
_MAC_LENGTH = 1 + 43 + 1


def is_sealed(data: bytes) -> bool:
    """Whether this is an age file by its first line, whatever follows."""
    return data.startswith(INTRODUCTION)


def seal(
    content: Secret,
    passphrase: Secret,
    entropy: Callable[[int], bytes],
    work_factor: int = WORK_FACTOR,
) -> bytes:
    """`content` as an age file under `passphrase`; it uses 48 bytes of `entropy`."""
    if not passphrase:
        raise PassphraseError("the passphrase is empty", "Use --no-passphrase to have none.")
    assert 1 <= work_factor <= LARGEST_WORK_FACTOR
    file_key, salt, nonce = entropy(_FILE_KEY), entropy(_SALT), entropy(_NONCE)
    wrapped = _wrapping(passphrase, salt, work_factor).encrypt(_ZERO_NONCE, file_key, None)
    header = INTRODUCTION + b"-> scrypt %b %d\n%b\n---" % (
        _to_base64(salt),
        work_factor,
        _to_base64(wrapped),
    )
    payload = _payload(file_key, nonce).encrypt(_LAST_CHUNK, content.reveal(), None)
    sealed = header + b" " + _to_base64(_mac(file_key, header)) + b"\n" + nonce + payload
    assert len(sealed) <= LARGEST_FILE
    return sealed


def open_sealed(
    data: bytes, passphrase: Secret, largest_work_factor: int = LARGEST_WORK_FACTOR
) -> Secret:
    """The content of an age file under `passphrase`; `PassphraseError` for anything amiss."""
    if len(data) > LARGEST_FILE:
        raise PassphraseError("the sealed key is far too long to be one", _RESTORE)
    header = _HEADER.match(data)
    if header is None:
        raise PassphraseError("the sealed key is not in age's passphrase form", _RESTORE)
    factor = int(header["factor"])
    if factor > largest_work_factor:
        raise PassphraseError(
            f"opening the sealed key would take a work factor of {factor}; "
            f"{largest_work_factor} is the most that is accepted",
            "If it is yours: open it with age and seal it with a lower factor.",
        )
    salt, wrapped = _from_base64(header["salt"]), _from_base64(header["body"])
    mac = _from_base64(header["mac"])
    file_key = _open(_wrapping(passphrase, salt, factor), _ZERO_NONCE, wrapped, _WRONG)
    if not hmac.compare_digest(mac, _mac(file_key, header[0])):
        raise PassphraseError("the header of the sealed key was altered", _RESTORE)
    rest = data[header.end() + _MAC_LENGTH :]
    nonce, payload = rest[:_NONCE], rest[_NONCE:]
    if len(payload) < _TAG:
        raise PassphraseError("the sealed key is cut short", _RESTORE)
    return Secret(_open(_payload(file_key, nonce), _LAST_CHUNK, payload, _DAMAGED))


_RESTORE = "Restore the file from a copy."
_WRONG = "wrong passphrase"
_DAMAGED = "the sealed key is damaged"


def _open(cipher: ChaCha20Poly1305, nonce: bytes, sealed: bytes, trouble: str) -> bytes:
    try:
        return cipher.decrypt(nonce, sealed, None)
    except InvalidTag:
        raise PassphraseError(trouble, "" if trouble is _WRONG else _RESTORE) from None


def _wrapping(passphrase: Secret, salt: bytes, work_factor: int) -> ChaCha20Poly1305:
    kdf = Scrypt(salt=_LABEL + salt, length=32, n=1 << work_factor, r=8, p=1)
    try:
        return ChaCha20Poly1305(kdf.derive(passphrase.reveal()))
    except MemoryError:
        raise PassphraseError("there is not enough memory to open the sealed key") from None


def _payload(file_key: bytes, nonce: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(HKDF(SHA256(), 32, nonce, b"payload").derive(file_key))


def _mac(file_key: bytes, header: bytes) -> bytes:
    key = HKDF(SHA256(), 32, None, b"header").derive(file_key)
    return hmac.digest(key, header, sha256)


def _to_base64(data: bytes) -> bytes:
    return binascii.b2a_base64(data, newline=False).rstrip(b"=")


def _from_base64(text: bytes) -> bytes:
    """Strict: the one encoding of these bytes, so that no header has two spellings."""
    data = binascii.a2b_base64(text + b"=" * (-len(text) % 4), strict_mode=True)
    if _to_base64(data) != text:
        raise PassphraseError("the sealed key is not in age's passphrase form", _RESTORE)
    return data
