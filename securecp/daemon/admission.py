"""What comes in at all, whoever is asked: the bounds that a contact's entry sets (MF-21, MB-06).

    never ─► resting ─► max_size ─► daily_quota ─► a reason to decline, or none

No clock, disk or face of its own. A stream has no size that could be judged before: it gets a
bound, and whoever watches it ends it there.
"""

from collections.abc import Callable, Iterable

from keys.policy import Contact
from securecp.daemon.chronicle import Ended, Ongoing
from securecp.daemon.quarantine import Quarantine, Resting
from securecp.daemon.quota import Quota
from securecp.events import Done, Offered, Progress

FAILED = (1, 2)
"""Exit codes of what no waiting mends: a disk, a peer or a setting of ours that is not right."""


class Admission:
    """Of one program that receives."""

    def __init__(
        self,
        quota: Quota,
        *,
        text_of: Callable[[bytes], str],
        ongoing: Callable[[], Iterable[Ongoing]],
        show: Callable[[str], str],
        amount: Callable[[int], str],
        wall: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        """`ongoing`: transfers that are not over; `amount` words a number of bytes."""
        self._quota = quota
        self._quarantine = Quarantine()
        self._text_of = text_of
        self._ongoing = ongoing
        self._show = show
        self._amount = amount
        self._wall = wall
        self._clock = clock
        self._bounds: dict[int, int] = {}
        """Bytes that a stream may bring, by the transfer's number."""

    def refusal(self, offered: Offered, contact: Contact, *, can_cancel: bool) -> str | None:
        """Why it is declined; None: it may come in, if somebody wants it."""
        if contact.accept == "never":
            return "accept is never"
        resting = self._quarantine.resting(offered.peer, offered.manifest_digest, self._clock())
        if resting is not None:
            minutes = int(resting.left // 60) + 1
            return f"it has failed too often ({self._show(resting.reason)}); again in {minutes} min"
        if contact.max_size is not None and offered.size > contact.max_size:
            return f"more than {self._amount(contact.max_size)} (max_size)"
        left = self._left(offered, contact)
        if left is not None and (offered.size > left or left <= 0):
            rest = self._amount(max(left, 0))
            return f"more than the {rest} that may still come today (daily_quota)"
        return self._bind(offered, contact, left, can_cancel=can_cancel) if offered.stream else None

    def is_beyond(self, event: Progress) -> bool:
        """Whether a stream has brought more than it may; said once."""
        bound = self._bounds.get(event.transfer)
        if bound is None or event.moved <= bound:
            return False
        del self._bounds[event.transfer]
        return True

    def ended(self, ended: Ended) -> bool:
        """A transfer is over; True if such offers rest from now on."""
        self._bounds.pop(ended.offered.transfer, None)
        self._quota.add(ended.record)
        peer, manifest, event = ended.offered.peer, ended.offered.manifest_digest, ended.event
        if isinstance(event, Done):
            self._quarantine.succeeded(peer, manifest)
        elif event.code in FAILED and not event.resumable:
            return self._quarantine.failed(peer, manifest, event.message, self._clock())
        return False

    def resting(self) -> list[Resting]:
        """Offers that are declined for now."""
        return self._quarantine.all_resting(self._clock())

    def _left(self, offered: Offered, contact: Contact) -> int | None:
        """Bytes that the contact may still bring today, apart from this offer; None: any."""
        if contact.daily_quota is None:
            return None
        others = [one for one in self._ongoing() if _is_another(one.offered, offered)]
        in_flight = sum(max(one.offered.size, one.moved) for one in others)
        besides = {one.offered.manifest_digest.hex() for one in others}
        besides.add(offered.manifest_digest.hex())
        key = self._text_of(offered.peer)
        used = self._quota.used(key, self._wall(), besides=frozenset(besides))
        return contact.daily_quota - used - in_flight

    def _bind(
        self, offered: Offered, contact: Contact, left: int | None, *, can_cancel: bool
    ) -> str | None:
        bounds = [bound for bound in (contact.max_size, left) if bound is not None]
        if not bounds:
            return None
        if not can_cancel or not offered.transfer:
            return "nobody knows how large it gets, and there is a bound for this contact"
        self._bounds[offered.transfer] = min(bounds)
        return None


def _is_another(one: Offered, offered: Offered) -> bool:
    """Of the same contact, and not the same transfer in an older session."""
    same = one.transfer == offered.transfer or (
        bool(offered.manifest_digest) and one.manifest_digest == offered.manifest_digest
    )
    return one.peer == offered.peer and not same
