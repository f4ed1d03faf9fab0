"""What peers signed for, kept by the sender: one file for each delivery.

The file can be read by a person, and `receipt` in it is the signed statement whole, so that anyone
who has both public keys can verify it (SPEC §8.7).
"""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from keys.identity import PublicKey
from securecp.transfer.receipt import Receipt


def keep(folder: Path, encoded: bytes) -> Path:
    """Write a receipt (as `Receipt.encode` gives it) into `folder`; an existing one is refused."""
    receipt = Receipt.parse(encoded)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    when = datetime.fromtimestamp(receipt.time, UTC)
    path = folder / f"{when:%Y%m%dT%H%M%SZ}-{receipt.transfer_id.hex()}.json"
    text = json.dumps(_readable(receipt, when) | {"receipt": encoded.hex()}, indent=2) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return path


def _readable(receipt: Receipt, when: datetime) -> dict[str, object]:
    return {
        "sender": str(PublicKey(receipt.sender)),
        "receiver": str(PublicKey(receipt.receiver)),
        "time": when.isoformat(),
        "files": receipt.files,
        "skipped": receipt.skipped,
        "bytes": receipt.size,
        "manifest_digest": receipt.manifest_digest.hex(),
        "content_digest": receipt.content_digest.hex(),
        "signature": receipt.signature.hex(),
    }
