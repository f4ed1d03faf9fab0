"""The receipt: what the receiver's identity signs when all is flushed and published (SPEC §8.7).

It is bound to both keys, this transfer, this manifest and this content, so that it proves one
delivery to one person and nothing else (MF-14). Signing and verifying are given to us.

    b"securecp 1 receipt" | sender 32 | receiver 32 | transfer id 16 | manifest digest 32
    | content digest 32 | files u64 | skipped u64 | bytes u64 | time u64
"""

import struct
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from securecp import codec
from securecp.errors import ProtocolError
from securecp.transfer.entries import SIZE_LIMIT
from securecp.transfer.messages import (
    DIGEST_LENGTH,
    SIGNATURE_LENGTH,
    TIME_LIMIT,
    TRANSFER_ID_LENGTH,
)

Sign: TypeAlias = Callable[[bytes], bytes]
"""Message to signature (64 bytes) by our identity."""
Verify: TypeAlias = Callable[[bytes, bytes, bytes], bool]
"""Public key, message, signature."""

_LABEL = b"securecp 1 receipt"
_FIGURES = struct.Struct(">QQQQ")
_KEY_LENGTH = 32


class Receipt(NamedTuple):
    """Proof that the holder of `receiver` has the files; worth nothing before `verified`."""

    sender: bytes
    receiver: bytes
    transfer_id: bytes
    manifest_digest: bytes
    content_digest: bytes
    files: int
    """Files that were published."""
    skipped: int
    """Files of the offer that were not, for whatever reason."""
    size: int
    """Bytes of the published files."""
    time: int
    """Seconds since 1970 by the receiver's clock."""
    signature: bytes = bytes(SIGNATURE_LENGTH)

    def statement(self) -> bytes:
        """The bytes that are signed."""
        return (
            _LABEL
            + self.sender
            + self.receiver
            + self.transfer_id
            + self.manifest_digest
            + self.content_digest
            + _FIGURES.pack(self.files, self.skipped, self.size, self.time)
        )

    def signed(self, sign: Sign) -> "Receipt":
        """The same receipt with our signature."""
        return self._replace(signature=sign(self.statement()))

    def verified(self, verify: Verify) -> bool:
        """Whether `receiver` signed exactly this."""
        return verify(self.receiver, self.statement(), self.signature)

    def encode(self) -> bytes:
        """The receipt as it is kept in a file: canonical msgpack, complete in itself."""
        return codec.encode((_LABEL, *self))

    @classmethod
    def parse(cls, data: bytes) -> "Receipt":
        """Read `encode`'s form; `ProtocolError` if it is not. Says nothing about the signature."""
        fields = codec.array(codec.decode(data), 11)
        if fields[0] != _LABEL:
            raise ProtocolError("not a receipt")
        return cls(
            codec.binary(fields[1], _KEY_LENGTH),
            codec.binary(fields[2], _KEY_LENGTH),
            codec.binary(fields[3], TRANSFER_ID_LENGTH),
            codec.binary(fields[4], DIGEST_LENGTH),
            codec.binary(fields[5], DIGEST_LENGTH),
            codec.integer(fields[6], 0, 2**64 - 1),
            codec.integer(fields[7], 0, 2**64 - 1),
            codec.integer(fields[8], 0, SIZE_LIMIT),
            codec.integer(fields[9], 0, TIME_LIMIT),
            codec.binary(fields[10], SIGNATURE_LENGTH),
        )
