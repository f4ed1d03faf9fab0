"""What whoever has something to send does, be it files or a stream (SPEC §8.5).

    IDLE ──start──► LISTING ──pages written──► ASKING ──ACCEPT──► SENDING ◄──► FINISHED ──RECEIPT──►
                       └────────DECLINE──────────┴──► DECLINED            DELIVERED

ABORT and `abort` lead to ABORTED from anywhere but the ends. Only a receipt that verifies makes a
transfer `Delivered`.
"""

from enum import Enum, auto
from typing import ClassVar

from securecp.errors import ProtocolError
from securecp.transfer import messages
from securecp.transfer.effects import Declined, Delivered
from securecp.transfer.manifest import Manifest
from securecp.transfer.party import Party
from securecp.transfer.receipt import Receipt, Verify


class State(Enum):
    """Where the sender stands."""

    IDLE = auto()
    LISTING = auto()
    ASKING = auto()
    SENDING = auto()
    FINISHED = auto()
    DELIVERED = auto()
    DECLINED = auto()
    ABORTED = auto()


class Offering(Party):
    """The offer and the receipt of one transfer; what comes between is for those who inherit.

    `ours` and `theirs` are public keys (32 bytes), `transfer_id` 16 random bytes.
    """

    over: ClassVar[frozenset[Enum]] = frozenset({State.DECLINED, State.ABORTED})
    ends: ClassVar[frozenset[Enum]] = over | {State.DELIVERED}
    aborted = State.ABORTED

    def __init__(
        self, manifest: Manifest, *, transfer_id: bytes, ours: bytes, theirs: bytes, verify: Verify
    ) -> None:
        super().__init__()
        self.state = State.IDLE
        self.manifest = manifest
        self.accepted = False
        """Whether the receiver has taken the offer."""
        self._transfer_id = transfer_id
        self._ours = ours
        self._theirs = theirs
        self._verify = verify
        self._pages = manifest.pages()

    def start(self) -> None:
        """Make the offer."""
        if self.state is not State.IDLE:
            raise ValueError("the offer has been made")
        manifest = self.manifest
        self._put(
            messages.Offer(
                self._transfer_id,
                len(manifest.entries),
                manifest.files,
                manifest.size,
                manifest.page_count,
                manifest.digest,
            )
        )
        self.state = State.LISTING

    def _refill(self) -> None:
        if self.state is State.LISTING:
            page = next(self._pages, None)
            if page is None:
                self.state = State.ASKING
            else:
                self._outbox.put(page)
        elif self.state is State.SENDING:
            self._go_on()

    def _go_on(self) -> None:
        """Put what may be told now."""

    def _accepted(self, accept: messages.Accept) -> None:  # noqa: ARG002 - as a route
        self.state = State.SENDING
        self.accepted = True

    def _declined(self, message: messages.Decline) -> None:
        self.state = State.DECLINED
        self._outbox.drop_unsent()
        self._effects.append(Declined(message.code, message.reason))

    def _deliver(self, message: messages.Received, failed: tuple[tuple[int, str], ...]) -> None:
        """The receipt fits what was sent: if it is signed, that is all."""
        if message.manifest_digest != self.manifest.digest:
            raise ProtocolError("a receipt that does not fit the offer")
        receipt = Receipt(
            self._ours,
            self._theirs,
            self._transfer_id,
            message.manifest_digest,
            message.content_digest,
            message.files,
            message.skipped,
            message.size,
            message.time,
            message.signature,
        )
        if not receipt.verified(self._verify):
            raise ProtocolError("a receipt that the receiver has not signed")
        self.state = State.DELIVERED
        self._outbox.drop_unsent()
        self._effects.append(Delivered(receipt, receipt.encode(), failed))
