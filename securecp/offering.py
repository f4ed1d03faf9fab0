"""What sessions of files and of streams have in common when they offer something (SPEC §8.5)."""

from collections.abc import Callable

from keys.xeddsa import verify
from securecp.errors import SecurecpError
from securecp.events import Done, Offered, Paused
from securecp.session import Session, Workshop, declined, needed, stopped
from securecp.transfer import messages
from securecp.transfer.effects import Aborted, Declined, Delivered
from securecp.transfer.manifest import FILE, Manifest
from securecp.transfer.offer import top_names
from securecp.transfer.offering import Offering
from securecp.transport import connection as transport
from securecp.transport.connection import Connection

__all__ = ["OfferSession", "verify"]

SMALL = 256 << 10
"""Bytes of content that wait for no better path."""


class OfferSession(Session):
    """Offers a manifest to the peer, and hears what becomes of it."""

    party: Offering

    def __init__(self, connection: Connection, workshop: Workshop, now: float) -> None:
        super().__init__(connection, workshop, now)
        self._begun = False

    @property
    def accepted(self) -> bool:
        """Whether the peer has taken the offer."""
        return self.party.accepted

    def _offer(self, transfer_id: bytes) -> None:
        """Make the offer, once there is a party."""
        manifest = self.party.manifest
        self._events.append(offered(self.peer, manifest, transfer_id))
        self.party.start()

    def _begin(self) -> bool:
        """The offer has been accepted, and content may flow; True the first time."""
        first, self._begun = not self._begun, True
        if first:
            self.started_at = self._now
        return first

    def _declined(self, effect: Declined) -> None:
        self._ended(effect, declined)

    def _aborted(self, effect: Aborted) -> None:
        self._ended(effect, stopped)

    def _ended(
        self, effect: Declined | Aborted, error: Callable[[int, str], SecurecpError]
    ) -> None:
        self.code = effect.code
        self.cancelled = isinstance(effect, Aborted) and effect.code == messages.CODE_INTERRUPTED
        if effect.code == messages.CODE_FULL:
            self._events.append(Paused(self.peer, needed(effect.reason)))
        self.connection.close(transport.CLOSE_DONE)
        self.fail(error(effect.code, effect.reason))

    def _done(self, effect: Delivered, saved: int = 0, present: int = 0) -> None:
        manifest, receipt = self.party.manifest, effect.receipt
        failed = tuple((b"/".join(manifest.path(entry)), reason) for entry, reason in effect.failed)
        files = sum(manifest.columns.kinds[entry] == FILE for entry, _ in effect.failed)
        self._events.append(
            Done(
                size=receipt.size,
                sent=self.connection.bytes_sent,
                seconds=self._now - self.started_at,
                files=receipt.files,
                digest=receipt.content_digest,
                skipped=receipt.skipped - files,
                failed=failed,
                receipt=effect.encoded,
                peer=self.peer,
                saved=saved,
                present=present,
                transfer_id=receipt.transfer_id,
                manifest_digest=receipt.manifest_digest,
                names=top_names(manifest),
            )
        )
        self.connection.close(transport.CLOSE_DONE)
        self._finish()


def offered(peer: bytes, manifest: Manifest, transfer_id: bytes) -> Offered:
    """What is said of our own offer."""
    columns = manifest.columns
    return Offered(
        peer,
        manifest.files,
        manifest.size,
        top_names(manifest),
        transfer_id=transfer_id,
        manifest_digest=manifest.digest,
        stream=columns.stream,
        links=columns.links,
        entries=len(columns),
    )
