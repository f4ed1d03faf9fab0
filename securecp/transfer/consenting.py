"""What a receiver does before anything comes: it reads the offer, and says yes or no (SPEC §8.6).

    IDLE ──OFFER──► LISTING ──last page──► ASKING ──accept──► PREPARING ──► `receiver.py`
                       └ over our limits      └──────decline──────┴──► DECLINED
                         ──► DECLINED

ABORT and `abort` lead to ABORTED from anywhere but the ends.
"""

from enum import Enum, auto
from typing import ClassVar, NamedTuple

from securecp.errors import ProtocolError
from securecp.transfer import messages
from securecp.transfer.effects import Consent, Declined, Prepare
from securecp.transfer.entries import ENTRY_LIMIT, SIZE_LIMIT
from securecp.transfer.manifest import Manifest, ManifestReader
from securecp.transfer.offer import summarise
from securecp.transfer.party import Party


class Limits(NamedTuple):
    """What we take at most from this contact; more is declined before anybody is asked."""

    entries: int = ENTRY_LIMIT
    size: int = SIZE_LIMIT


class State(Enum):
    """Where the receiver stands."""

    IDLE = auto()
    LISTING = auto()
    ASKING = auto()
    PREPARING = auto()
    RECEIVING = auto()
    STREAMING = auto()
    PUBLISHING = auto()
    COMPLETE = auto()
    DECLINED = auto()
    ABORTED = auto()


class Consenting(Party):
    """An offer on its way in; what comes after the yes is for who inherits."""

    over: ClassVar[frozenset[Enum]] = frozenset({State.DECLINED, State.ABORTED})
    ends: ClassVar[frozenset[Enum]] = over | {State.COMPLETE}
    aborted = State.ABORTED

    def __init__(self, limits: Limits | None) -> None:
        super().__init__()
        self.state = State.IDLE
        self._limits = limits or Limits()
        self._reader = ManifestReader()
        self._pages = 0

    @property
    def manifest(self) -> Manifest:
        """What was offered; only from `Consent` on."""
        return self._manifest

    def accept(self) -> None:
        """The person, or the contact's policy, said yes to all of it."""
        self._must_be(State.ASKING)
        self.state = State.PREPARING
        self._effects.append(Prepare(self._manifest))

    def decline(self, code: int, reason: str) -> None:
        """No: by the person, by policy, or for lack of room."""
        self._must_be(State.LISTING, State.ASKING, State.PREPARING)
        self._put(messages.Decline(code, messages.reason(reason)))
        self.state = State.DECLINED

    def _offered(self, message: messages.Offer) -> None:
        self._offer = message
        self.state = State.LISTING
        limits = self._limits
        if message.entries > min(limits.entries, ENTRY_LIMIT):
            self._refuse(f"{message.entries} entries are more than {limits.entries}")
        elif message.size > limits.size:
            self._refuse(f"{message.size} bytes are more than {limits.size}")
        else:
            self._ask_if_listed()

    def _other_offer(self, message: messages.OtherOffer) -> None:
        self._refuse(
            f"the offer is of version {message.version}, and {messages.VERSION} is known here: "
            "the older program needs an update",
            messages.CODE_VERSION,
        )

    def _page(self, message: messages.Page) -> None:
        self._reader.page(message.raw)
        self._pages += 1
        if self._reader.read > self._offer.entries:
            raise ProtocolError("the offer has more entries than it said")
        self._ask_if_listed()

    def _must_be(self, *states: State) -> None:
        if self.state not in states:
            raise ValueError(f"not while {self.state.name.lower()}")

    def _refuse(self, reason: str, code: int = messages.CODE_TOO_MUCH) -> None:
        """Say no before anybody is asked."""
        self._put(messages.Decline(code, messages.reason(reason)))
        self.state = State.DECLINED
        self._effects.append(Declined(code, reason))

    def _ask_if_listed(self) -> None:
        offer = self._offer
        if self._pages < offer.pages:
            return
        manifest = self._reader.finish()
        told = (offer.entries, offer.files, offer.size, offer.digest)
        if (len(manifest.entries), manifest.files, manifest.size, manifest.digest) != told:
            raise ProtocolError("the manifest is not what the offer said")
        self._manifest = manifest
        self.state = State.ASKING
        self._effects.append(Consent(summarise(manifest, offer.transfer_id)))
